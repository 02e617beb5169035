"""What a button does not say is the operator's default, not what somebody else ran it with last."""

from __future__ import annotations

from typing import Any

import bpy
import pytest

pytestmark = pytest.mark.any_blender


def operators() -> dict[str, Any]:
    """Our registered operators, by class name."""
    return {name: getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("EX4D_OT_")}


def kept(name: str) -> set[str]:
    """The settings that Blender brings back when the operator is run by a button."""
    own = getattr(bpy.ops.ex4d, name.removeprefix("EX4D_OT_")).get_rna_type().properties
    return {each.identifier for each in own if each.identifier != "rna_type" and not each.is_skip_save}


def test_no_operator_brings_back_what_it_does_not_say(blender):
    found = operators()
    assert len(found) > 80
    assert {
        name: left for name, kind in found.items() if (left := kept(name) ^ set(getattr(kind, "remembers", ())))
    } == {}


def test_an_import_and_a_take_bring_back_nothing(blender):
    """The example's video stood in for the panel's, and a take's seed and settings for the scene's."""
    assert kept("EX4D_OT_import_clip") == kept("EX4D_OT_generate") == set()


def test_dialogs_begin_as_they_were_left(blender):
    assert kept("EX4D_OT_finish_edit") == {"mode", "before", "after", "falloff", "every_frame"}
    assert "kind" in kept("EX4D_OT_export_take")


def test_options_of_a_property_stay(blender):
    """What is added to a property's options takes none of them away, nor its other traits."""
    properties = blender.ops.ex4d.import_clip.get_rna_type().properties
    assert properties["video_path"].subtype == "FILE_PATH" and properties["fov_deg"].hard_max == 179.0
    assert blender.ops.ex4d.import_camera.get_rna_type().properties["filter_glob"].is_hidden
    assert not blender.context.scene.ex4d.bl_rna.properties["video_path"].is_skip_save
