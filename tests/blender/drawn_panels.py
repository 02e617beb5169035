"""Panels drawn onto a layout that writes down what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import bpy

from ex4d_ground.descriptions import EngineInfo, EstimatorInfo, PresetInfo, Setting
from ex4d_ground.remedies import fetch_weights
from ex4d_protocol import messages as m


@dataclass
class Layout:
    """Enough of UILayout, with what was drawn: (kind, text, enabled)."""

    parent: Layout | None = None
    drawn: list[tuple[str, str, bool]] = field(default_factory=list)
    buttons: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Every operator with what it is called with, and its text."""
    enabled: bool = True

    def __post_init__(self) -> None:
        if self.parent is not None:
            self.drawn, self.buttons = self.parent.drawn, self.parent.buttons

    @property
    def usable(self) -> bool:
        return self.enabled and (self.parent is None or self.parent.usable)

    def _sub(self, *_: Any, **__: Any) -> Layout:
        return Layout(self)

    row = column = box = split = grid_flow = _sub

    def label(self, *, text: str = "", **_: Any) -> None:
        self.drawn.append(("label", text, self.usable))

    def operator(self, name: str, *, text: str = "", **_: Any) -> Any:
        self.drawn.append(("operator", name, self.usable))

        class Arguments:
            pass

        given = Arguments()
        self.buttons.append((name, vars(given)))
        vars(given)["text"] = text
        return given

    def prop(self, owner: Any, name: str, **_: Any) -> None:
        assert hasattr(owner, name), f"{owner} has no {name}"
        self.drawn.append(("prop", name, self.usable))

    def menu(self, name: str, **_: Any) -> None:
        assert hasattr(bpy.types, name), f"no menu {name}"
        self.drawn.append(("menu", name, self.usable))

    def progress(self, *, factor: float = 0.0, text: str = "") -> None:
        self.drawn.append(("label", text, self.usable))

    def separator(self, *_: Any, **__: Any) -> None:
        pass

    template_icon = template_list = separator_spacer = separator

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


class Drawn:
    """What one panel drew."""

    def __init__(self, panel: type, context: Any):
        self.layout = Layout()
        if not hasattr(panel, "poll") or panel.poll(context):
            panel.draw(self, context)
        self.name = panel.bl_label

    @property
    def words(self) -> str:
        return " ".join(text for kind, text, _ in self.layout.drawn if kind == "label")

    def button(self, operator: str) -> dict[str, Any]:
        """What the last button of that operator is called with, and its text."""
        return [given for name, given in self.layout.buttons if name == operator][-1]

    def operators(self, usable: bool = True) -> list[str]:
        return [text for kind, text, enabled in self.layout.drawn if kind == "operator" and enabled == usable]


def panels() -> list[type]:
    from blender_addon import registration

    return [c for c in registration.classes() if issubclass(c, bpy.types.Panel)]


def draw_all(context: Any) -> dict[str, Drawn]:
    found = {panel.bl_label: Drawn(panel, context) for panel in panels()}
    for name, drawn in found.items():
        if drawn.operators(usable=False):
            assert drawn.words, f"{name} disables {drawn.operators(usable=False)} and says nothing"
    return found


SETTING = Setting(name="memory", kind="choice", default="auto", choices=("auto", "offload"), help="Where.")
ENGINES = (
    EngineInfo(name="preview", title="Preview", is_preview=True),
    EngineInfo(name="wan", title="EX-4D on Wan 2.1", settings=(SETTING,), licence="Apache-2.0"),
    EngineInfo(name="other", title="Other", available=False, missing="Weights are missing.", remedy=fetch_weights()),
)
ESTIMATORS = (
    EstimatorInfo(name="free", title="Free", licence="Apache-2.0"),
    EstimatorInfo(name="crafter", title="Crafter", licence="academic", research_only=True, available=False,
                    missing="Not here.", remedy=fetch_weights("crafter")),
)  # fmt: skip
CAPABILITIES = m.Capabilities(
    engines=ENGINES, estimators=ESTIMATORS, devices=(m.DeviceSpec(name="H200", memory_bytes=140 << 30),),
    presets=(PresetInfo(name="30", title="Orbit 30", unit="degrees", amount=30, minimum=1, maximum=90),),
)  # fmt: skip
