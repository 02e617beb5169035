"""Choosing one of the engines that the backend offers, and changing its settings."""

import bpy

from ..jobs import engine_settings, offers
from ..work.errors import AddonError
from ..work.operators import QuickOperator
from ..work.properties import Text


class EX4D_OT_choose_engine(offers.Choose, bpy.types.Operator):
    """Choose this engine"""

    bl_label = "Choose Engine"
    find = staticmethod(offers.engine)
    engine: Text("Engine", "Name of the backend's engine")


class EX4D_OT_set_engine_setting(QuickOperator, bpy.types.Operator):
    """Change this setting of the chosen engine"""

    bl_label = "Change Setting"
    panel = "Takes"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    setting: Text("Setting", "Name of the engine's setting")
    value: Text("Value", "One of its choices")

    def run(self, context: bpy.types.Context) -> str:
        scene = context.scene
        chosen = {**engine_settings.values(scene, scene.ex4d.engine), self.setting: self.value}
        if engine_settings.restore(scene, scene.ex4d.engine, chosen):
            raise AddonError(f"The engine '{scene.ex4d.engine}' has no setting {self.setting} of {self.value}.")
        return f"{self.setting} is {self.value} now."
