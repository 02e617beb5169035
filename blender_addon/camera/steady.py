"""New moves made of the filming camera's own: locked to the world, riding on it, or without its shake."""

import bpy
import numpy as np
from mathutils import Matrix

from ex4d_ground.arrays import Float64
from ex4d_ground.filmed_paths import stabilised
from ex4d_ground.source_camera import SourceCamera

from ..scene import axes, cameras, keyframes, retime, rig, shot
from ..scene.drivers import Variable, drive
from ..work.errors import AddonError
from ..work.operators import QuickOperator
from . import move
from .properties import Smoothing


def require_rig(context: bpy.types.Context) -> SourceCamera:
    """How the active shot was filmed. Raises AddonError where nobody knows, or where its rig was changed by hand."""
    shot.require_object_mode(context)
    camera = rig.as_filmed(shot.active_shot(context))
    if camera is None:
        raise AddonError("Nobody knows how the camera moved that filmed this shot; give it a filming camera first.")
    return camera


class _OfSource(QuickOperator):
    """Mixin: one press makes a camera, which becomes the shot's."""

    panel = "Camera"
    bl_options = {"REGISTER", "UNDO"}
    requires = (require_rig,)


class EX4D_OT_lock_to_world(_OfSource, bpy.types.Operator):
    """Add a locked-off camera that stays where the filming camera is at this frame, with its lens"""

    bl_label = "Lock to World"

    def run(self, context: bpy.types.Context) -> str:
        camera, target = require_rig(context), shot.active_shot(context)
        shown = retime.shown_frame(context, target) - target.ex4d.frame_start
        t = min(max(shown, 0), len(camera) - 1)
        made = shot.new_camera(f"{target.name} Locked Camera", target, scene=context.scene)
        made.matrix_local = Matrix(axes.blender_from_pose(camera.world_from_camera[t]).tolist())
        _give_lens(target, made, camera, t)
        move.look_through(context.scene, target, made)
        return f"'{made.name}' stays where source frame {t + 1} was filmed."


class EX4D_OT_follow_source(_OfSource, bpy.types.Operator):
    """Add a camera that rides on the filming camera; move and key it, and the filming camera's own move is added"""

    bl_label = "Follow the Source"

    def run(self, context: bpy.types.Context) -> str:
        camera, target = require_rig(context), shot.active_shot(context)
        made = shot.new_camera(f"{target.name} Riding Camera", target, scene=context.scene)
        made.parent = target.ex4d.rig
        _give_lens(target, made, camera, 0)
        source = target.ex4d.source_camera.data
        for path in keyframes.LENS_PATHS:
            if keyframes.varies(source, path):
                drive(made.data.driver_add(path), "own", Variable("own", source, path))
        move.look_through(context.scene, target, made)
        return f"'{made.name}' rides on the filming camera."


class EX4D_OT_stabilise(_OfSource, bpy.types.Operator):
    """Key the filming camera's move without its shake on a new camera; the keys are ordinary ones"""

    bl_label = "Stabilise"

    strength: Smoothing()

    def run(self, context: bpy.types.Context) -> str:
        camera, target = require_rig(context), shot.active_shot(context)
        frames = self.strength * (target.ex4d.fps or context.scene.render.fps)
        path = stabilised(camera, frames, source_times(context, target))
        applied = move.apply(context.scene, target, path, timed=True)
        return f"Keyed the filming camera's move without its shake on {applied.done}."


def source_times(context: bpy.types.Context, target: bpy.types.Object) -> Float64:  # [N]
    """The source frame that each frame of the shot shows, keyed or not."""
    if not target.ex4d.use_source_time:
        return np.arange(target.ex4d.num_frames, dtype=np.float64)
    return cameras.sample(context, target, target.ex4d.source_camera).source_time


def _give_lens(target: bpy.types.Object, made: bpy.types.Object, camera: SourceCamera, t: int) -> None:
    cameras.match_lens(made.data, tuple(camera.intrinsics[t]), width=camera.width, height=camera.height)
    cameras.start_lens(made.data, near_depth=target.ex4d.near_depth)
