"""A camera move as FBX or Alembic, by Blender's own exporters: one camera, keyed on every frame, in world space."""

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.files import atomic_path

from ..scene import axes, keyframes
from ..scene.cameras import key_lens
from ..work import files
from ..work.errors import AddonError

_LARGEST, _LARGEST_PER_FRAME = 64 << 10, 2 << 10
"""Bytes: more than either exporter writes of a camera, and of a frame of it. Alembic's would take Blender down."""


def save(scene: bpy.types.Scene, shot: bpy.types.Object, move: Trajectory, path: Path, *, layout: str) -> None:
    """Write ``move`` as "FBX" or "ALEMBIC". Raises AddonError, also if this Blender cannot."""
    write = _fbx if layout == "FBX" else _alembic
    temporary = bpy.data.scenes.new("EX-4D Camera Export")
    render = scene.render
    temporary.render.fps, temporary.render.fps_base = render.fps, render.fps_base
    temporary.render.resolution_x, temporary.render.resolution_y = move.width, move.height
    start = shot.ex4d.frame_start
    temporary.frame_start, temporary.frame_end = start, start + len(move.source_time) - 1
    lens = bpy.data.cameras.new(move.name)
    obj = bpy.data.objects.new(move.name, lens)
    temporary.collection.objects.link(obj)
    temporary.camera = obj
    try:
        key(obj, in_world(np.array(shot.matrix_world), move), move, start)
        with files.writing(path), atomic_path(path) as partial:
            files.require_short(path.parent, partial.name)
            files.try_room(partial, _LARGEST + len(move.source_time) * _LARGEST_PER_FRAME)
            with bpy.context.temp_override(scene=temporary, view_layer=temporary.view_layers[0]):
                temporary.frame_set(start)
                _try(write, partial, temporary)
            if not partial.exists():
                raise AddonError(f"Blender wrote nothing to {path}; choose another folder or layout.")
    finally:
        animated = [each.animation_data for each in (obj, lens) if each.animation_data is not None]
        for action in {data.action for data in animated if data.action}:  # from 4.4 they may share one
            bpy.data.actions.remove(action)
        bpy.data.objects.remove(obj)
        bpy.data.cameras.remove(lens)
        bpy.data.scenes.remove(temporary)


def _try(write: Callable[[Path, bpy.types.Scene], None], path: Path, scene: bpy.types.Scene) -> None:
    try:
        write(path, scene)
    except RuntimeError as error:
        raise AddonError(f"Blender could not write {path.name}: {error}".strip().rstrip(".") + ".") from error


def in_world(
    world_from_shot: Float64,  # [4, 4], or [N, 4, 4] of a shot that moves itself
    move: Trajectory,
) -> Float64:  # [N, 4, 4]
    """The move's cameras in Blender's axes and world, rigid: a shot's scale moves a camera and does not scale it."""
    world = []
    for matrix in world_from_shot @ axes.blender_from_pose(move.world_from_camera):
        place, turn, _scale = Matrix(matrix.tolist()).decompose()
        world.append(np.array(Matrix.LocRotScale(place, turn, None)))
    return np.stack(world)


def key(obj: bpy.types.Object, world: Float64, move: Trajectory, start: int) -> None:  # [N, 4, 4]
    """Key a camera object in the scene's root, on every frame from ``start``: its pose and the move's lens."""
    keyframes.key_poses(obj, world, frame_start=start)
    key_lens(obj.data, move, frame_start=start)
    for owner in (obj, obj.data):
        keyframes.set_interpolation(owner, "LINEAR")


def _fbx(path: Path, _scene: bpy.types.Scene) -> None:
    exporter(bpy.ops.export_scene, "fbx", "FBX", "enable the add-on 'FBX format' in the preferences, or use Alembic")(
        filepath=str(path),
        object_types={"CAMERA"},
        bake_anim_use_all_actions=False,
        bake_anim_use_nla_strips=False,
        bake_anim_simplify_factor=0.0,
    )


def _alembic(path: Path, scene: bpy.types.Scene) -> None:
    exporter(bpy.ops.wm, "alembic_export", "Alembic", "use FBX, or a Blender that was built with Alembic")(
        filepath=str(path), start=scene.frame_start, end=scene.frame_end, flatten=True
    )


def exporter(module: object, name: str, what: str, remedy: str) -> Callable[..., object]:
    """Blender's operator. Raises AddonError if this Blender lacks it."""
    if name not in dir(module):
        raise AddonError(f"This Blender has no {what} exporter; {remedy}.")
    return getattr(module, name)
