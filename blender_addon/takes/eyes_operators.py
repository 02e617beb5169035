"""Setting the eyes of the shot camera: by the clip's depth, or converging on something in the scene."""

import bpy
import numpy as np

from ..scene import shot
from ..work.errors import AddonError
from ..work.operators import QuickOperator
from ..work.properties import Choice
from . import eyes

CHOICES = (
    ("CURSOR", "3D Cursor", "Nothing at the 3D cursor's depth has parallax"),
    ("OBJECT", "Active Object", "Nothing at the depth of the active object's origin has parallax"),
)


class EX4D_OT_fit_eyes(QuickOperator, bpy.types.Operator):
    """Set the eyes' distance and where they converge by the clip's depth, and the shot camera as the left eye"""

    bl_label = "Fit Eyes to Scene"
    bl_options = {"REGISTER", "UNDO"}
    panel = "Takes"
    requires = (shot.active_shot, shot.active_camera)

    def run(self, context: bpy.types.Context) -> str:
        target = shot.active_shot(context)
        cam = shot.shot_camera(target, context.scene)
        eyes.fit(context.scene, target, cam)
        stereo = cam.data.stereo
        return (
            f"The eyes are {stereo.interocular_distance:.4g} apart and converge at {stereo.convergence_distance:.4g}."
        )


class EX4D_OT_converge_eyes(QuickOperator, bpy.types.Operator):
    """Let the eyes converge on something: what lies as far from the shot camera as that has no parallax"""

    bl_label = "Converge On"
    bl_options = {"REGISTER", "UNDO"}
    panel = "Takes"
    requires = (shot.active_shot, shot.active_camera)

    on: Choice("On", "What the eyes converge on", *CHOICES)

    def run(self, context: bpy.types.Context) -> str:
        cam = shot.shot_camera(shot.active_shot(context), context.scene)
        eyes.require_own(cam)
        where = context.scene.cursor.location
        if self.on == "OBJECT":
            chosen = context.active_object
            if chosen is None or chosen == cam:
                raise AddonError("No object is active beside the camera; click what the eyes are to converge on.")
            where = chosen.matrix_world.translation
        depth = -float((np.array(cam.matrix_world.normalized().inverted()) @ (*where, 1.0))[2])
        if depth <= 0:
            raise AddonError(f"That lies {-depth:.4g} behind the camera; eyes converge on what lies before it.")
        stereo = cam.data.stereo
        stereo.convergence_mode, stereo.convergence_distance = "OFFAXIS", depth
        return f"The eyes converge at {depth:.4g}."
