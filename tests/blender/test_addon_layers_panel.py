"""What the Edits panel offers in each state. A strict recorder stands for the layout, which needs a window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from test_addon_layers import current, edit


class Recorder:
    """Takes what a panel draws, and refuses operators, properties and icons that Blender does not have."""

    def __init__(self, blender: Any, shown: list[str] | None = None):
        self._blender = blender
        self.shown: list[str] = [] if shown is None else shown

    def _below(self, **_options: object) -> Recorder:
        return Recorder(self._blender, self.shown)

    row = column = box = _below

    def label(self, *, text: str, icon: str = "NONE") -> None:
        self._icon(icon)
        self.shown.append(text)

    def operator(self, name: str, *, text: str | None = None, icon: str = "NONE", emboss: bool = True) -> Any:
        del text, emboss
        self._icon(icon)
        group, operator = name.split(".")
        known = getattr(getattr(self._blender.ops, group), operator).get_rna_type()
        self.shown.append(name)
        return _Settings({item.identifier for item in known.properties})

    def prop(self, owner: Any, path: str, *, text: str = "", icon: str = "NONE", emboss: bool = True) -> None:
        del emboss
        self._icon(icon)
        owner.path_resolve(path)
        self.shown.append(text or path)

    def template_list(self, kind: str, _id: str, owner: Any, name: str, active: Any, index: str, *, rows: int) -> None:
        del rows
        assert isinstance(getattr(active, index), int)
        drawer = getattr(self._blender.types, kind)
        flags, _ = drawer.filter_items(SimpleNamespace(bitflag_filter_item=1), None, owner, name)
        for item, flag in zip(getattr(owner, name), flags, strict=True):
            if flag:
                drawer.draw_item(None, None, self, owner, item, 0, active, index)

    def _icon(self, name: str) -> None:
        icons = self._blender.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
        assert name in icons, name


class _Settings:
    def __init__(self, known: set[str]):
        object.__setattr__(self, "_known", known)

    def __setattr__(self, name: str, value: object) -> None:
        assert name in self._known, name


def draw(blender) -> list[str]:
    from blender_addon.edit import panels as edit_panels

    layout = Recorder(blender)
    edit_panels.EX4D_PT_edits.draw(SimpleNamespace(layout=layout), blender.context)
    return layout.shown


def test_without_a_shot_it_says_what_to_do(blender):
    assert draw(blender) == ["Import a clip first"]


def test_an_unedited_shot_can_be_edited(blender, shot):
    assert draw(blender)[:2] == ["ex4d.edit_frame", "Finished edits are listed here"]


def test_an_open_edit_can_be_finished_or_discarded_and_offers_its_helpers(blender, shot):
    blender.context.scene.frame_set(2)
    blender.ops.ex4d.edit_frame()
    blender.context.scene.frame_set(4)
    shown = draw(blender)
    assert shown[:4] == ["Editing frame 2", "The timeline is at frame 4", "ex4d.finish_edit", "ex4d.discard_edit"]
    assert {"ex4d.smooth_depth", "ex4d.flatten_depth", "ex4d.push_edge"} <= set(shown)
    assert "ex4d.edit_frame" not in shown


@pytest.mark.parametrize("mode", ["OFFSET", "RAY"])
def test_layers_are_listed_with_name_weight_and_mute(blender, shot, mode):
    current(blender).modifiers.new("Mine", "SMOOTH")
    edit(blender, 3, mode=mode)
    shown = draw(blender)
    assert shown.count("name") == 1, "only layers are listed"
    for wanted in ("ex4d.mute_layer", "ex4d.move_layer", "ex4d.remove_layer", "Weight", "First", "Last", "Falloff"):
        assert wanted in shown


def test_an_older_blender_is_told_so(blender, shot, monkeypatch):
    from blender_addon.scene import layer_nodes as layers_nodes

    monkeypatch.setattr(layers_nodes, "NEEDED", (99, 1, 0))
    assert draw(blender) == ["Edits need Blender 99.1"]


def test_other_objects_are_given_a_role_and_the_shots_own_are_not(blender, shot):
    scene, active = blender.context.scene, blender.context.view_layer.objects
    cube = blender.data.objects.new("Cube", blender.data.meshes.new("Cube"))
    scene.collection.objects.link(cube)
    active.active = shot.ex4d.mesh
    assert "Select an object to add it" in draw(blender)
    active.active = cube
    assert "Cube" in draw(blender)
    cube.ex4d.role = "GUIDE"
    assert "1 in the guides" in draw(blender)
