"""Presets of an engine's settings, by Blender's own mechanism: kept per engine among the user's presets."""

import random
from typing import Any

import bpy
from bl_operators.presets import AddPresetBase  # pyright: ignore[reportMissingImports]
from bl_ui.utils import PresetPanel  # pyright: ignore[reportMissingImports]

from ..jobs import engine_settings, offers
from ..work.operators import QuickOperator


def _folder(_self: Any) -> str:
    """Below Blender's folder of presets; each engine has its own, as their settings differ."""
    return f"ex4d/{bpy.context.scene.ex4d.engine}"


class EX4D_PT_engine_presets(PresetPanel, bpy.types.Panel):
    """Saved settings of this engine"""

    bl_label = "Engine Presets"
    bl_space_type = "VIEW_3D"
    bl_region_type = "HEADER"
    bl_options = {"INSTANCED"}
    preset_subdir = property(_folder)
    preset_operator = "script.execute_preset"
    preset_add_operator = "ex4d.save_engine_preset"


class EX4D_OT_save_engine_preset(AddPresetBase, bpy.types.Operator):
    """Save this engine's settings as a preset, or remove one"""

    bl_idname = "ex4d.save_engine_preset"
    bl_label = "Save Engine Preset"
    preset_menu = "EX4D_PT_engine_presets"
    preset_subdir = property(_folder)

    @property
    def preset_defines(self) -> list[str]:
        return [f"settings = bpy.context.scene.{engine_settings.attribute(bpy.context.scene.ex4d.engine)}"]

    @property
    def preset_values(self) -> list[str]:
        spec = offers.engine(bpy.context.scene.ex4d.engine)
        return [f"settings.{engine_settings.identifier(each.name)}" for each in spec.settings] if spec else []


class EX4D_OT_roll_seed(QuickOperator, bpy.types.Operator):
    """Roll another seed: other frames from the same settings"""

    bl_label = "Roll Seed"
    bl_options = {"REGISTER", "UNDO"}
    panel = "Takes"

    def run(self, context: bpy.types.Context) -> str:
        context.scene.ex4d.seed = random.randrange(2**31)
        return ""
