"""The mesh as another lens makes it: a filming camera brings its own, which may zoom, and the import had one for all.

A vertex lies on its pixel's ray at its pixel's depth, so another lens moves it by a matrix that is the same for the
whole frame.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.source_camera import SourceCamera

from ..work import files, pc2
from . import layers
from . import shot as shots

_SAME_PX = 0.02
"""Lenses closer than this draw the same picture; single precision may differ by as much."""


def as_imported(shot: bpy.types.Object, camera: SourceCamera) -> SourceCamera:
    """``camera`` with the import's own lens to the last bit, where it has no other."""
    own = _own(shot)
    same = np.abs(camera.intrinsics - own).max() <= _SAME_PX
    return replace(camera, intrinsics=np.tile(own, (len(camera), 1))) if same else camera


def play(shot: bpy.types.Object, camera: SourceCamera | None) -> bool:
    """Have the mesh play what the lens of ``camera`` makes of it, None for the import's; whether that is another.

    Raises StorageError if it cannot be written, AddonError if the import's cache is gone.
    """
    props = shot.ex4d
    name = "" if camera is None or _is_own(shot, camera) else _name(shot, camera)
    if name == props.lens_cache:
        return False
    folder = shots.folder_of(shot)
    if name and camera is not None and not (folder / name).exists():
        _write(folder / name, folder / files.CACHE_FILE, lens_changes(_own(shot), camera.intrinsics))
    props.lens_cache = name
    layers.cache_of(props.mesh).filepath = files.blender_path(shots.cache_of(shot), bpy.data.filepath)
    props.mesh.update_tag()
    return True


def lens_changes(before: Float64, after: Float64) -> Float64:  # [4], [T, 4] fx, fy, cx, cy -> [T, 3, 3]
    """What takes points of a mesh made with one lens to where another one has them."""
    out = np.tile(np.eye(3), (len(after), 1, 1))
    out[:, 0, 0], out[:, 1, 1] = before[0] / after[:, 0], before[1] / after[:, 1]
    out[:, 0, 2], out[:, 1, 2] = (before[2] - after[:, 2]) / after[:, 0], (before[3] - after[:, 3]) / after[:, 1]
    return out


def _write(target: Path, source: Path, changes: Float64) -> None:  # [T, 3, 3]
    cached = pc2.read_pc2(source)
    samples, points = cached.shape[:2]
    with files.writing(target), pc2.Pc2Writer(target, points=points, samples=samples) as writer:
        for t in range(samples):
            writer.write(t, (cached[t] @ changes[t].T).astype(np.float32))
        writer.close()


def _own(shot: bpy.types.Object) -> Float64:  # [4]
    return np.array(shot.ex4d.intrinsics, np.float64)


def _is_own(shot: bpy.types.Object, camera: SourceCamera) -> bool:
    return bool((camera.intrinsics == _own(shot)).all())


def _name(shot: bpy.types.Object, camera: SourceCamera) -> str:
    digest = hashlib.sha256(_own(shot).tobytes() + camera.intrinsics.tobytes()).hexdigest()
    return f"mesh_lens_{digest[:16]}.pc2"
