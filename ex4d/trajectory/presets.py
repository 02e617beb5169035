"""Named camera moves: what each is called, how far it goes by default, and how to make it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ex4d.errors import DepthError, SettingError, TrajectoryError
from ex4d.trajectory import moves
from ex4d.trajectory.moves import MoveSetup
from ex4d.trajectory.published import TARGET_MARGIN, published_poses
from ex4d.trajectory.timing import Easing
from ex4d.types import Clip, Float32, Float64, Intrinsics, Trajectory

AmountUnit = Literal["degrees", "share of target distance", "focal factor", "share of published curve"]


@dataclass(frozen=True)
class PresetInfo:
    """One preset as a menu shows it."""

    name: str
    title: str
    help: str
    unit: AmountUnit
    amount: float
    """Default amount, in ``unit``."""
    minimum: float
    maximum: float
    easing: Easing = "ease_in_out"
    published: bool = False
    """Whether this is one of EX-4D's own curves, exact to its code."""


_Make = Callable[[MoveSetup, float, str], Trajectory]
_MAKERS: dict[str, _Make] = {}
PRESETS: dict[str, PresetInfo] = {}


def _add(info: PresetInfo, make: _Make) -> None:
    PRESETS[info.name] = info
    _MAKERS[info.name] = make


def _add_published(name: str, text: str) -> None:
    info = PresetInfo(
        name, f"EX-4D {name}", text, "share of published curve", 1.0, 0.0, 1.0, easing="linear", published=True
    )
    PRESETS[name] = info


def _add_distance(name: str, title: str, text: str, amount: float, maximum: float, make: _Make) -> None:
    _add(PresetInfo(name, title, text, "share of target distance", amount, 0.0, maximum), make)


def _add_angle(name: str, title: str, text: str, amount: float, make: _Make) -> None:
    _add(PresetInfo(name, title, text, "degrees", amount, 0.0, 90.0), make)


def _fill_registry() -> None:
    for degrees in ("30", "60", "90"):
        _add_published(degrees, f"The published curve: {degrees} degrees to the right, rising slightly.")
    _add_published("180", "The published curve: right, left and back; it reaches 45 degrees on each side.")
    _add_published("180_outer", "EX-4D's removed wide curve: right, left and back, reaching 90 degrees on each side.")

    _add_distance(
        "zoom_in", "Zoom in", "Moves along the view axis towards the target.", 0.4, 0.95,
        lambda s, a, n: moves.dolly(a, setup=s, name=n),
    )  # fmt: skip
    _add_distance(
        "zoom_out", "Zoom out", "Moves along the view axis away from the target.", 0.5, 20.0,
        lambda s, a, n: moves.dolly(-a, setup=s, name=n),
    )  # fmt: skip
    for side, sign in (("left", -1), ("right", 1)):
        _add_angle(
            f"orbit_{side}", f"Orbit {side}", f"Circles the target to the {side} and really reaches the angle.", 45.0,
            lambda s, a, n, sign=sign: moves.orbit(sign * a, setup=s, name=n),
        )  # fmt: skip
        _add_distance(
            f"truck_{side}", f"Truck {side}", f"Slides to the {side} without turning.", 0.3, 20.0,
            lambda s, a, n, sign=sign: moves.truck(sign * a, setup=s, name=n),
        )  # fmt: skip
    for way, sign in (("up", 1), ("down", -1)):
        _add_angle(
            f"orbit_{way}", f"Orbit {way}", f"Arcs {way} over the target and really reaches the angle.", 30.0,
            lambda s, a, n, sign=sign: moves.orbit(0.0, sign * a, setup=s, name=n),
        )  # fmt: skip
        _add_distance(
            f"pedestal_{way}", f"Pedestal {way}", f"Moves straight {way} without tilting.", 0.2, 20.0,
            lambda s, a, n, sign=sign: moves.pedestal(sign * a, setup=s, name=n),
        )  # fmt: skip
        _add_distance(
            f"crane_{way}", f"Crane {way}", f"Moves straight {way} and tilts to hold the target.", 0.4, 20.0,
            lambda s, a, n, sign=sign: moves.pedestal(sign * a, setup=s, keep_centred=True, name=n),
        )  # fmt: skip
    _add_angle(
        "sway", "Sway", "Orbits right, left and back; each side reaches the angle.", 20.0,
        lambda s, a, n: moves.sway(a, setup=s, name=n),
    )  # fmt: skip
    _add_distance(
        "vertigo_in", "Vertigo in", "Moves in while the lens widens: the target keeps its size.", 0.4, 0.9,
        lambda s, a, n: moves.vertigo(a, setup=s, name=n),
    )  # fmt: skip
    _add_distance(
        "vertigo_out", "Vertigo out", "Moves out while the lens lengthens: the target keeps its size.", 0.6, 9.0,
        lambda s, a, n: moves.vertigo(-a, setup=s, name=n),
    )  # fmt: skip
    _add(
        PresetInfo("lens_zoom", "Lens zoom", "Changes the focal length; the camera stands still.", "focal factor",
                   1.5, 0.1, 10.0),
        lambda s, a, n: moves.lens_zoom(a, setup=s, name=n),
    )  # fmt: skip
    _add(
        PresetInfo("static", "Static", "Stands at the source camera.", "share of target distance", 0.0, 0.0, 0.0),
        lambda s, a, n: moves.dolly(a, setup=s, name=n),
    )


_fill_registry()


def near_depth_of(
    source: Clip | Float32,  # a clip, or depth [H, W] / [T, H, W]
    border_depth: float | None = None,
) -> float:
    """Nearest depth of frame 0, from which presets take their target distance (this + 0.15).

    With ``border_depth`` the outermost rows and columns count as that depth, as they do in the mesh (and in EX-4D).
    Raises DepthError if there is no finite positive depth.
    """
    depth = source.depth[0] if isinstance(source, Clip) else np.asarray(source)
    depth = depth[0] if depth.ndim == 3 else depth
    if depth.ndim != 2 or min(depth.shape) < 3:
        raise DepthError(f"Depth must be [H, W] or [T, H, W] with sides of at least 3 pixels, got {depth.shape}.")
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
    *,
    num_frames: int,
    intrinsics: Intrinsics,
    near_depth: float,
    amount: float | None = None,
    easing: Easing | None = None,
    overshoot: bool = False,
    target: tuple[float, float, float] | None = None,
    source_time: Float64 | None = None,
    start: Float64 | None = None,
) -> Trajectory:
    """The named move of ``PRESETS``.

    ``near_depth`` is :func:`near_depth_of` the clip; the target is 0.15 behind it on the view axis unless ``target``
    (a point in the start camera's axes) is given, for which EX-4D's own curves take the distance. ``amount`` is in the
    preset's unit. ``overshoot`` (published curves only) repeats EX-4D's over-long angle at lengths other than 49.
    Raises SettingError for an unknown name or an amount out of range, TrajectoryError for a bad depth or target.
    """
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
        easing or info.easing,
        source_time,
        start,
    )
    if info.published:
        poses = published_poses(
            name, share=setup.share, radius=setup.distance, amount=float(value), overshoot=overshoot
        )
        return setup.trajectory(poses, name=name)
    return _MAKERS[name](setup, float(value), name)
