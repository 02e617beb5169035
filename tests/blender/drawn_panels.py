"""Panels drawn onto a layout that writes down what it is asked for, and refuses what Blender would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import bpy

from ex4d_ground.descriptions import EngineInfo, EstimatorInfo, PresetInfo, Setting
from ex4d_ground.remedies import fetch_weights
from ex4d_protocol import messages as m

UNIT, GAP, BOX, PAD = 20.0, 4.0, 5.0, 12.0
"""Pixels at scale 1, by Blender's own style: a line, the space between two, a box's rim, around a button's text."""

INSIDE = 236.0
"""Pixels between the rims of a panel in a sidebar of default width, measured in a window."""
NAMES, VALUES = 0.4, 0.6
"""Shares of a line with the name of a property to the left."""
HEADER, SUB_HEADER, RIM = 28.0, 26.0, 14.0
"""Pixels of a panel's header with the space to the next one, of a part's, above and below what is open; measured."""


@dataclass
class Leaf:
    """One thing in a panel: its text, its icon, and how wide and high it is."""

    kind: str
    text: str
    icon: bool = False
    height: float = UNIT
    split: bool = False
    """Whether its name stands to the left of it."""
    value: str = ""
    """What a choice shows."""
    translate: bool = True
    """Whether Blender looks its text up in the language of the interface."""

    @property
    def value_width(self) -> float:
        from blender_addon.panels.base import text_width

        return text_width(self.value) + PAD + UNIT  # the arrow of a choice

    @property
    def width(self) -> float:
        from blender_addon.panels.base import text_width

        pad = PAD if self.kind in ("operator", "prop", "menu") and self.text else 4.0
        return (text_width(self.text) + pad if self.text else 0.0) + (UNIT if self.icon else 0.0)


@dataclass
class Layout:
    """Enough of UILayout, with what was drawn: (kind, text, enabled)."""

    parent: Layout | None = None
    kind: str = "column"
    align: bool = False
    factor: float = 0.0
    heading: str = ""
    drawn: list[tuple[str, str, bool]] = field(default_factory=list)
    buttons: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Every operator with what it is called with, and its text."""
    items: list[Any] = field(default_factory=list)
    """Leaves and layouts, as they are laid out."""
    enabled: bool = True
    active: bool = True
    alert: bool = False
    scale_x: float = 1.0
    scale_y: float = 1.0
    alignment: str = "EXPAND"
    emboss: str = "NORMAL"
    ui_units_x: float = 0.0
    operator_context: str = "INVOKE_DEFAULT"
    use_property_split: bool = False
    use_property_decorate: bool = True

    def __post_init__(self) -> None:
        if self.parent is not None:
            self.drawn, self.buttons = self.parent.drawn, self.parent.buttons
            self.use_property_split = self.parent.use_property_split

    @property
    def usable(self) -> bool:
        return self.enabled and (self.parent is None or self.parent.usable)

    def _sub(self, kind: str, **options: Any) -> Layout:
        made = Layout(self, kind, **options)
        self.items.append(made)
        return made

    def row(self, *, align: bool = False, heading: str = "") -> Layout:
        return self._sub("row", align=align, heading=heading)

    def column(self, *, align: bool = False, heading: str = "") -> Layout:
        return self._sub("column", align=align, heading=heading)

    def box(self) -> Layout:
        return self._sub("box")

    def split(self, *, factor: float = 0.0, align: bool = False) -> Layout:
        return self._sub("split", factor=factor, align=align)

    def _put(self, kind: str, name: str, text: str, icon: str, usable: bool, **look: Any) -> None:
        assert icon in ICONS, icon
        self.drawn.append((kind, name, usable))
        self.items.append(Leaf(kind, text, icon != "NONE" or bool(look.get("icon_value"))))

    def label(
        self, *, text: str = "", icon: str = "NONE", icon_value: int = 0, translate: bool = True, text_ctxt: str = ""
    ) -> None:
        self._put("label", text, text, icon, self.usable, icon_value=icon_value)
        self.items[-1].translate = translate

    def operator(
        self,
        name: str,
        *,
        text: str | None = None,
        icon: str = "NONE",
        icon_value: int = 0,
        emboss: bool = True,
        depress: bool = False,
        text_ctxt: str = "",
        translate: bool = True,
    ) -> Any:
        group, operator = name.split(".")
        function = getattr(getattr(bpy.ops, group), operator)
        known = {item.identifier for item in function.get_rna_type().properties}
        shown = function.get_rna_type().name if text is None else text
        self._put("operator", name, shown, icon, self.usable and function.poll(), icon_value=icon_value)
        self.items[-1].translate = translate
        given = Arguments(known)
        self.buttons.append((name, vars(given)))
        vars(given)["text"] = text or ""
        return given

    def prop(
        self,
        owner: Any,
        name: str,
        *,
        text: str | None = None,
        icon: str = "NONE",
        expand: bool = False,
        slider: bool = False,
        toggle: int = -1,
        emboss: bool = True,
        invert_checkbox: bool = False,
        translate: bool = True,
        icon_only: bool = False,
    ) -> None:
        assert name.startswith("[") or hasattr(owner, name), f"{owner} has no {name}"
        kind = owner.bl_rna.properties.get(name)
        shown = (kind.name if kind is not None else name) if text is None else text
        if expand and kind is not None:
            self.drawn.append(("prop", name, self.usable))
            row = self._sub("row", align=True)
            row.items += [Leaf("operator", item.name) for item in kind.enum_items]
            return
        self._put("prop", name, shown, icon, self.usable)
        if kind is not None and kind.type == "ENUM" and getattr(owner, name):
            self.items[-1].value = kind.enum_items[getattr(owner, name)].name
        self.items[-1].split = self.use_property_split and (kind is None or kind.type != "BOOLEAN")

    def menu(self, name: str, *, text: str | None = None, icon: str = "NONE") -> None:
        assert hasattr(bpy.types, name), f"no menu {name}"
        self._put("menu", name, getattr(bpy.types, name).bl_label if text is None else text, icon, self.usable)

    def popover(self, panel: str, *, text: str | None = None, icon: str = "NONE") -> None:
        assert hasattr(bpy.types, panel), f"no panel {panel}"
        self._put("popover", panel, text or "", icon, self.usable)

    def progress(self, *, factor: float = 0.0, text: str = "") -> None:
        assert 0 <= factor <= 1, factor
        self._put("label", text, text, "NONE", self.usable)
        self.items[-1].translate = False

    def separator(self, *, factor: float = 1.0) -> None:
        self.items.append(Leaf("separator", "", height=6 * factor))

    def template_icon(self, icon_value: int, *, scale: float = 1.0) -> None:
        self.items.append(Leaf("icon", "", height=UNIT * scale))

    def template_list(
        self, kind: str, _id: str, owner: Any, name: str, active: Any, index: str, *, rows: int = 5
    ) -> None:
        """Draws every item that the list shows, as Blender does."""
        assert isinstance(getattr(active, index), int)
        drawer, items = getattr(bpy.types, kind), list(getattr(owner, name))
        flags = [1] * len(items)
        if hasattr(drawer, "filter_items"):
            holder = type("List", (), {"bitflag_filter_item": 1})()
            flags = drawer.filter_items(holder, bpy.context, owner, name)[0] or flags
        shown = self._sub("column", align=True)
        for number, (item, flag) in enumerate(zip(items, flags, strict=True)):
            if flag:
                given = (None, bpy.context, shown, owner, item, 0, active, index, number)
                drawer.draw_item(*given[: drawer.draw_item.__code__.co_argcount])
        lines = max(rows, sum(map(bool, flags)))
        self.items[-1] = Leaf("list", "", height=UNIT * (lines + 1))  # below them, the line that filters

    def __setattr__(self, name: str, value: Any) -> None:
        assert name in self.__dataclass_fields__, f"UILayout has no {name} here"
        object.__setattr__(self, name, value)


class Arguments:
    """What a button is called with; takes only what its operator has."""

    __slots__ = ("__dict__", "_known")

    def __init__(self, known: set[str]):
        object.__setattr__(self, "_known", known)

    def __setattr__(self, name: str, value: Any) -> None:
        assert name in self._known, name
        object.__setattr__(self, name, value)


ICONS = frozenset(bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys())


def height(layout: Any) -> float:
    """Pixels that a layout takes at scale 1."""
    if isinstance(layout, Leaf):
        return layout.height
    heights = [height(item) for item in layout.items]
    if not heights:
        return 0.0
    if layout.kind in ("row", "split"):
        inner = max(heights)
    else:
        inner = sum(heights) + (0 if layout.align else GAP * (len(heights) - 1))
    return inner * layout.scale_y + (2 * BOX if layout.kind == "box" else 0)


def wanted(layout: Any) -> float:
    """Pixels that a layout's words need beside each other at scale 1."""
    if isinstance(layout, Leaf):
        return layout.width
    widths = [wanted(item) for item in layout.items] or [0.0]
    return sum(widths) if layout.kind in ("row", "split") else max(widths)


def too_narrow(layout: Any, width: float) -> list[str]:
    """Texts that have less room than they need where ``width`` pixels are there."""
    if isinstance(layout, Leaf):
        parts = [(layout.text, layout.width, width)]
        if layout.split:  # the name to the left, the value to the right
            parts = [
                (layout.text, layout.width - PAD, width * NAMES),
                (layout.value, layout.value_width, width * VALUES),
            ]
        return [text for text, needed, room in parts if text and needed > room]
    if layout.kind == "box":
        width -= 2 * BOX
    count = len(layout.items)
    if layout.kind in ("column", "box") or not count:
        shares = [width] * count
    elif layout.kind == "split" and layout.factor:
        shares = [width * layout.factor, *[width * (1 - layout.factor) / max(count - 1, 1)] * (count - 1)]
    else:  # each as much more or less than it wants as the others
        all_wanted = sum(map(wanted, layout.items)) or 1.0
        shares = [wanted(item) * width / all_wanted for item in layout.items]
    return [text for item, share in zip(layout.items, shares, strict=True) for text in too_narrow(item, share)]


def cut_off(drawn: Drawn) -> list[str]:
    """Texts that a sidebar of default width cuts off."""
    return too_narrow(drawn.layout, INSIDE)


def list_height(found: dict[str, Drawn]) -> float:
    """Pixels that the sidebar's list takes at scale 1, panels closed that are closed at first."""
    total = 0.0
    closed = {name for name, drawn in found.items() if drawn.closed}
    labels = {drawn.panel.__name__: name for name, drawn in found.items()}
    for name, drawn in found.items():
        parent = labels.get(getattr(drawn.panel, "bl_parent_id", ""), "")
        if drawn.panel.bl_region_type != "UI" or parent in closed:
            continue
        if "HIDE_HEADER" not in getattr(drawn.panel, "bl_options", ()):
            total += SUB_HEADER if parent else HEADER
        if name not in closed:
            total += height(drawn.layout) + RIM
    return total


class Drawn:
    """What one panel drew."""

    def __init__(self, panel: type, context: Any):
        self.layout, self.header = Layout(), Layout()
        self.name, self.panel = panel.bl_label, panel
        self.closed = "DEFAULT_CLOSED" in getattr(panel, "bl_options", ())
        for draw, onto in (("draw", self.layout), ("draw_header", self.header), ("draw_header_preset", self.header)):
            method = panel.__dict__.get(draw) or (getattr(panel, draw, None) if draw == "draw" else None)
            if method is not None:
                holder = type("Panel", (), {"layout": onto})()
                method(holder, context)

    @property
    def words(self) -> str:
        return " ".join(text for kind, text, _ in self.layout.drawn if kind == "label")

    def button(self, operator: str) -> dict[str, Any]:
        """What the last button of that operator is called with, and its text."""
        return [given for name, given in self.layout.buttons if name == operator][-1]

    def operators(self, usable: bool = True) -> list[str]:
        return [text for kind, text, enabled in self.layout.drawn if kind == "operator" and enabled == usable]

    @property
    def leaves(self) -> list[Leaf]:
        """Everything that was drawn, in order, the lines of lists included."""
        found: list[Leaf] = []
        stack = [self.layout]
        while stack:
            item = stack.pop()
            if isinstance(item, Leaf):
                found.append(item)
            else:
                stack += reversed(item.items)
        return found

    @property
    def props(self) -> list[str]:
        return [text for kind, text, _ in self.layout.drawn + self.header.drawn if kind == "prop"]


def panels() -> list[type]:
    """Those of the sidebar and the popover; presets are Blender's own drawing."""
    from blender_addon import registration

    found = [c for c in registration.classes() if issubclass(c, bpy.types.Panel)]
    return [panel for panel in found if "PresetPanel" not in (base.__name__ for base in panel.__mro__)]


def is_shown(panel: type, context: Any) -> bool:
    """Whether Blender shows the panel: its own poll and those of the panels it is part of."""
    parent = getattr(bpy.types, getattr(panel, "bl_parent_id", ""), None)
    own = not hasattr(panel, "poll") or panel.poll(context)
    return own and (parent is None or is_shown(parent, context))


def draw_all(context: Any) -> dict[str, Drawn]:
    """Every panel that is shown, by its label; a greyed button says why in its tooltip or beside it."""
    found = {panel.bl_label: Drawn(panel, context) for panel in panels() if is_shown(panel, context)}
    for name, drawn in found.items():
        for operator in drawn.operators(usable=False):
            group, short = operator.split(".")
            kind = getattr(bpy.types, f"{group.upper()}_OT_{short}", None)
            reason = kind is not None and hasattr(kind, "lacking") and kind.lacking(context)
            assert reason or drawn.words, f"{name} disables {operator} and says nothing"
    return found


SETTING = Setting(name="memory", kind="choice", default="auto", choices=("auto", "offload"), help="Where.")
STEPS = Setting(name="steps", kind="int", default=25, minimum=1, maximum=100, help="How many.")
CFG = Setting(name="cfg_scale", kind="float", default=5.0, minimum=1, maximum=20, help="Guidance.")
LORA = Setting(name="fuse_lora", kind="bool", default=True, help="Faster.")
ENGINES = (
    EngineInfo(name="preview", title="Preview (no model)", is_preview=True),
    EngineInfo(name="wan", title="Wan 2.1 (EX-4D)", settings=(SETTING, STEPS, CFG, LORA), licence="Apache-2.0"),
    EngineInfo(name="other", title="Other", available=False, missing="Weights are missing.", remedy=fetch_weights()),
)
ESTIMATORS = (
    EstimatorInfo(name="free", title="Free", licence="Apache-2.0", research_only_with=("model=large",), settings=(
        Setting(name="model", kind="choice", default="small", choices=("small", "large"), help="Its size."),
    )),
    EstimatorInfo(name="crafter", title="Crafter", licence="academic", research_only=True, available=False,
                    missing="Not here.", remedy=fetch_weights("crafter")),
)  # fmt: skip
PRESETS = (
    PresetInfo(name="30", title="Orbit 30", unit="degrees", amount=30, minimum=1, maximum=90),
    PresetInfo(name="orbit_left", title="Orbit left", unit="degrees", amount=45, minimum=0, maximum=90),
    PresetInfo(name="zoom_in", title="Zoom in", unit="share of target distance", amount=0.4, minimum=0, maximum=0.95),
    PresetInfo(name="lens_zoom", title="Lens zoom", unit="focal factor", amount=1.5, minimum=0.1, maximum=10),
    PresetInfo(name="static", title="Static", unit="share of target distance"),
)
CAPABILITIES = m.Capabilities(
    engines=ENGINES, estimators=ESTIMATORS, devices=(m.DeviceSpec(name="H200", memory_bytes=140 << 30),),
    presets=PRESETS,
)  # fmt: skip
