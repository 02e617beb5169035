"""Named camera moves: what each is called, how far it goes by default, and how to make it."""

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np

from ex4d.trajectory.moves import MoveSetup, dolly, lens_zoom, orbit, pedestal, sway, truck, vertigo
from ex4d.trajectory.published import TARGET_MARGIN, published_poses
from ex4d.trajectory.timing import Easing
from ex4d.types import Clip, check_clip_size
from ex4d_ground.arrays import Float32, Float64
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.descriptions import PresetInfo
from ex4d_ground.errors import DepthError, SettingError, TrajectoryError
from ex4d_ground.options import MeshOptions

_ANGLE, _SHARE, _FACTOR = "degrees", "share of target distance", "focal factor"
_PUBLISHED = {
    **{angle: f"The published curve: {angle} degrees to the right, rising slightly." for angle in ("30", "60", "90")},
    "180": "The published curve: right, left and back; it reaches 45 degrees on each side.",
    "180_outer": "EX-4D's removed wide curve: right, left and back, reaching 90 degrees on each side.",
}
_pitch = partial(orbit, 0.0)
_crane = partial(pedestal, keep_centred=True)
_MOVES: tuple[tuple[str, str, str, float, float, Callable[..., Trajectory], int], ...] = (
    ("zoom_in", "Moves along the view axis towards the target.", _SHARE, 0.4, 0.95, dolly, 1),
    ("zoom_out", "Moves along the view axis away from the target.", _SHARE, 0.5, 20.0, dolly, -1),
    ("orbit_left", "Circles the target to the left and really reaches the angle.", _ANGLE, 45.0, 90.0, orbit, -1),
    ("truck_left", "Slides to the left without turning.", _SHARE, 0.3, 20.0, truck, -1),
    ("orbit_right", "Circles the target to the right and really reaches the angle.", _ANGLE, 45.0, 90.0, orbit, 1),
    ("truck_right", "Slides to the right without turning.", _SHARE, 0.3, 20.0, truck, 1),
    ("orbit_up", "Arcs up over the target and really reaches the angle.", _ANGLE, 30.0, 90.0, _pitch, 1),
    ("pedestal_up", "Moves straight up without tilting.", _SHARE, 0.2, 20.0, pedestal, 1),
    ("crane_up", "Moves straight up and tilts to hold the target.", _SHARE, 0.4, 20.0, _crane, 1),
    ("orbit_down", "Arcs down over the target and really reaches the angle.", _ANGLE, 30.0, 90.0, _pitch, -1),
    ("pedestal_down", "Moves straight down without tilting.", _SHARE, 0.2, 20.0, pedestal, -1),
    ("crane_down", "Moves straight down and tilts to hold the target.", _SHARE, 0.4, 20.0, _crane, -1),
    ("sway", "Orbits right, left and back; each side reaches the angle.", _ANGLE, 20.0, 90.0, sway, 1),
    ("vertigo_in", "Moves in while the lens widens: the target keeps its size.", _SHARE, 0.4, 0.9, vertigo, 1),
    ("vertigo_out", "Moves out while the lens lengthens: the target keeps its size.", _SHARE, 0.6, 9.0, vertigo, -1),
    ("lens_zoom", "Changes the focal length; the camera stands still.", _FACTOR, 1.5, 10.0, lens_zoom, 1),
    ("static", "Stands at the source camera.", _SHARE, 0.0, 0.0, dolly, 1),
)
"""Name, help, unit, default and largest amount, the move, and the way it goes for a positive amount."""

PRESETS: dict[str, PresetInfo] = {
    name: PresetInfo(
        name, f"EX-4D {name}", text, "share of published curve", 1.0, 0.0, 1.0, easing="linear", published=True
    )
    for name, text in _PUBLISHED.items()
} | {
    name: PresetInfo(
        name, name.replace("_", " ").capitalize(), text, unit, amount, 0.1 * (unit == _FACTOR), largest, "ease_in_out"
    )
    for name, text, unit, amount, largest, _, _ in _MOVES
}
_MAKERS = {name: (move, way) for name, *_, move, way in _MOVES}


def near_depth_of(
    source: Clip | Float32,  # a clip, or depth [H, W] / [T, H, W]
    border_depth: float | None = None,
) -> float:
    """Nearest depth of frame 0, from which presets take their target distance (this + 0.15).

    With ``border_depth`` the outermost rows and columns count as that depth, as they do in the mesh (and in EX-4D).
    Raises DepthError if there is no finite positive depth, ShapeError if it is too small.
    """
    depth = source.depth[0] if isinstance(source, Clip) else np.asarray(source)
    depth = depth[0] if depth.ndim == 3 else depth
    if depth.ndim != 2:
        raise DepthError(f"Depth must be [H, W] or [T, H, W], got {depth.shape}.")
    check_clip_size(*depth.shape)
    if border_depth is not None:
        depth = np.pad(depth[1:-1, 1:-1], 1, constant_values=border_depth)
    near = float(depth.min())
    if not (math.isfinite(near) and near > 0):
        raise DepthError(
            f"The nearest depth of frame 0 must be positive and finite, got {near}; fill or mask such pixels."
        )
    return near


def preset(
    name: str,
    clip: Clip | None = None,
    *,
    num_frames: int | None = None,
    intrinsics: Intrinsics | None = None,
    near_depth: float | None = None,
    amount: float | None = None,
    easing: Easing | None = None,
    overshoot: bool = False,
    target: tuple[float, float, float] | None = None,
    source_time: Float64 | None = None,
    start: Float64 | None = None,
) -> Trajectory:
    """The named move of ``PRESETS`` through ``clip``, from which come length, lens and ``near_depth`` not given.

    It goes its way in the world, from where the camera stood that filmed the first frame it shows, or from ``start``
    (world_from_camera); ``SourceCamera.in_world`` makes a move of it that goes along with that camera.

    ``near_depth`` is :func:`near_depth_of` the clip; the target is 0.15 behind it on the view axis unless ``target``
    (a point in the start camera's axes) is given, for which EX-4D's own curves take the distance. ``amount`` is in the
    preset's unit. ``overshoot`` (published curves only) repeats EX-4D's over-long angle at lengths other than 49.
    Raises SettingError for an unknown name, an amount out of range, or where neither a clip nor all three are given,
    TrajectoryError for a bad depth or target.
    """
    if clip is not None:
        num_frames = clip.num_frames if num_frames is None else num_frames
        lens, pose = clip.camera_at(0.0 if source_time is None or not len(source_time) else float(source_time[0]))
        intrinsics = lens if intrinsics is None else intrinsics
        start = pose if start is None and clip.moving_camera is not None else start
        near_depth = near_depth_of(clip, MeshOptions().border_depth) if near_depth is None else near_depth
    if num_frames is None or intrinsics is None or near_depth is None:
        raise SettingError(f"The move {name!r} needs a clip, or all of num_frames, intrinsics and near_depth.")
    info = PRESETS.get(name)
    if info is None:
        raise SettingError(f"There is no camera preset {name!r}; choose one of {', '.join(PRESETS)}.")
    if not (math.isfinite(near_depth) and near_depth > 0):
        raise TrajectoryError(f"The nearest depth must be positive and finite, got {near_depth}.")
    if overshoot and not info.published:
        raise SettingError(f"Overshoot repeats EX-4D's own curves and does not apply to {name!r}; leave it off.")
    value = info.amount if amount is None else amount
    if isinstance(value, bool) or not isinstance(value, int | float) or not info.minimum <= value <= info.maximum:
        raise SettingError(
            f"The amount of {name!r} must be between {info.minimum:g} and {info.maximum:g} ({info.unit}), "
            f"got {value!r}."
        )
    setup = MoveSetup(
        num_frames,
        intrinsics,
        target or (0.0, 0.0, near_depth + TARGET_MARGIN),
        easing or cast(Easing, info.easing),
        source_time,
        start,
    )
    if info.published:
        poses = published_poses(
            name, share=setup.share, radius=setup.distance, amount=float(value), overshoot=overshoot
        )
        return setup.trajectory(poses, name=name)
    move, way = _MAKERS[name]
    return move(way * float(value), setup=setup, name=name)
