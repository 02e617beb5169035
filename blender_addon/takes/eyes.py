"""The two eyes of the shot camera: Blender's own stereo settings of that camera are where they are kept.

The shot camera is the left eye. Distances there are Blender's; a take has them in the clip's unit, which the shot's
scale leads to.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ex4d_ground.errors import InputError
from ex4d_ground.stereo import Comfort, Eyes, fitting_eyes

from ..scene import cameras, keyframes, shot
from ..work import files, pc2
from ..work.errors import AddonError

DISTANCE, CONVERGENCE = "stereo.interocular_distance", "stereo.convergence_distance"
"""Where a camera keeps them."""
_UNTOUCHED = (0.065, 1.95)
"""What Blender gives every new camera."""


def of_shot(context: bpy.types.Context, target: bpy.types.Object) -> Eyes | None:
    """The eyes of the next take, in the clip's unit; None without stereo. Keys on the camera make one for each frame.

    Raises AddonError for what no take can have: toed-in eyes, another pivot, distances that are none.
    """
    if not context.scene.ex4d.stereo:
        return None
    cam = shot.shot_camera(target, context.scene)
    _require_usable(cam)
    frames = range(target.ex4d.frame_start, target.ex4d.frame_start + max(target.ex4d.num_frames, 1))
    scale, parallel = scale_of(target), cam.data.stereo.convergence_mode == "PARALLEL"
    distance, convergence = ([value / scale for value in _values(cam.data, path, frames)] for path in _PATHS)
    try:
        return Eyes.of(distance, None if parallel else convergence)
    except InputError as error:
        raise AddonError(str(error)) from error


_PATHS = (DISTANCE, CONVERGENCE)


def now(cam: bpy.types.Object, target: bpy.types.Object) -> Eyes:
    """The eyes as the camera has them now, in the clip's unit. Raises AddonError as :func:`of_shot`."""
    _require_usable(cam)
    stereo, scale = cam.data.stereo, scale_of(target)
    parallel = stereo.convergence_mode == "PARALLEL"
    try:
        return Eyes.of(stereo.interocular_distance / scale, None if parallel else stereo.convergence_distance / scale)
    except InputError as error:
        raise AddonError(str(error)) from error


def comfort(context: bpy.types.Context, target: bpy.types.Object, cam: bpy.types.Object) -> Comfort:
    """Parallax of the clip's first frame between the eyes as they are now. Raises AddonError."""
    return Comfort.of(now(cam, target), *depth_range(target), **lens(context.scene, cam))


def fit(scene: bpy.types.Scene, target: bpy.types.Object, cam: bpy.types.Object) -> Eyes:
    """Give the camera the eyes that fit the clip's depth; returns them, in the clip's unit. Raises AddonError."""
    require_own(cam)
    eyes = fitting_eyes(*depth_range(target), **lens(scene, cam))
    put(cam, target, eyes)
    return eyes


def put(cam: bpy.types.Object, target: bpy.types.Object, eyes: Eyes) -> None:
    """Give the camera these eyes, which are in the clip's unit; of eyes with a number a frame, the first frame's."""
    stereo, scale = cam.data.stereo, scale_of(target)
    stereo.pivot, stereo.convergence_mode = "LEFT", "OFFAXIS" if eyes.convergence else "PARALLEL"
    stereo.interocular_distance = eyes.distance[0] * scale
    if eyes.convergence:
        stereo.convergence_distance = eyes.convergence[0] * scale


def is_untouched(cam: bpy.types.Object) -> bool:
    """Whether nobody has set the camera's eyes yet."""
    stereo = cam.data.stereo
    return np.allclose((stereo.interocular_distance, stereo.convergence_distance), _UNTOUCHED, rtol=1e-5)


def require_own(cam: bpy.types.Object) -> None:
    """Raise AddonError for a camera whose settings another file keeps."""
    if cam.data.library is not None:
        raise AddonError(f"Camera '{cam.name}' is linked from another file; make it local to set its eyes.")


def depth_range(target: bpy.types.Object) -> tuple[float, float]:
    """Depth of the nearest and the farthest thing in the clip's first frame, in its own unit. Raises AddonError."""
    near = float(target.ex4d.near_depth)
    path = shot.folder_of(target) / files.CACHE_FILE
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise AddonError(f"The mesh cache {path} is not there; import the clip again.", str(error)) from error
    grid = shot.grid_of(target)
    return near, max(near, _farthest(path, changed, grid.height, grid.width))


@lru_cache(maxsize=4)
def _farthest(path: Path, _changed: int, height: int, width: int) -> float:
    """Without the outermost rows and columns, which close the mesh behind the scene."""
    return float(pc2.read_pc2(path)[0].reshape(height, width, 3)[1:-1, 1:-1, 2].max())


def lens(scene: bpy.types.Scene, cam: bpy.types.Object) -> dict[str, Any]:
    """Focal length and width in pixels of what the camera renders now."""
    width, _ = cameras.render_size(scene)
    height_of = cameras.Picture.of(scene)
    focal = cameras.lens_at(bpy.context.evaluated_depsgraph_get(), height_of, cam, scene.frame_current)[0]
    return {"focal_px": focal, "width": width}


def scale_of(target: bpy.types.Object) -> float:
    """Blender's units for one of the clip's."""
    return max(float(abs(np.linalg.det(np.array(target.matrix_world)[:3, :3])) ** (1 / 3)), 1e-9)


def _values(data: bpy.types.Camera, path: str, frames: range) -> list[float]:
    curve = next((each for each in keyframes.fcurves(data) if each.data_path == path), None)
    if curve is None or curve.mute:
        return [float(data.path_resolve(path))]
    return [float(curve.evaluate(frame)) for frame in frames]


def _require_usable(cam: bpy.types.Object) -> None:
    stereo = cam.data.stereo
    if stereo.convergence_mode == "TOE":
        raise AddonError(f"Camera '{cam.name}' toes its eyes in, which shears the picture; fit its eyes to the scene.")
    if stereo.pivot != "LEFT":
        raise AddonError(f"Camera '{cam.name}' is not the left eye (its pivot); fit its eyes to the scene.")
