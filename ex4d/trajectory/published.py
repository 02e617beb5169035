"""EX-4D's own camera curves, exactly as its code draws them (commit b456a41), and its view matrices.

Radius r = nearest depth of frame 0 + 0.15. Every camera looks at (0, 0, r) with up = (0, 1, 0).
"""

from __future__ import annotations

import numpy as np

from ex4d.errors import SettingError
from ex4d.trajectory.poses import inverse, look_at
from ex4d.types import Float64, Trajectory

PUBLISHED_FRAMES = 49
"""The clip length the curves were written for; only other lengths overshoot."""

TARGET_MARGIN = 0.15
"""Added to the nearest depth of frame 0 to give the orbit radius."""

# Upstream's view rows are (right, up, forward) with right = -x; see the module's functions.
_VIEW_SIGNS = np.array([-1.0, 1.0, 1.0, 1.0])
# Upstream saves the view after flipping rows 0..2 in place.
_SAVED_SIGNS = np.array([-1.0, -1.0, -1.0, 1.0])


def published_poses(
    name: str,
    *,
    share: Float64,  # [N] 0..1
    radius: float,
    amount: float = 1.0,
    overshoot: bool = False,
) -> Float64:  # [N, 4, 4] world_from_camera
    """The curve called "30", "60", "90", "180" or "180_outer".

    ``amount`` scales the angle. ``overshoot`` multiplies it by 49/N or N/49, whichever is above 1, as the published
    program does; it makes short clips turn several times too far and exists for parity alone.
    Raises SettingError for another name.
    """
    n = len(share)
    factor = max(PUBLISHED_FRAMES / n, n / PUBLISHED_FRAMES) if overshoot else 1.0
    if name in ("30", "60", "90"):
        a = share * np.radians(float(name)) * (amount * factor)
        rise = 0.2 * radius * (np.abs(np.cos(a)) - 1)
        depth = radius - radius * np.abs(np.cos(a))
    elif name in ("180", "180_outer"):
        a = share * (2 * np.pi * factor)
        rise = 0.2 * radius * (np.cos(a) - 1) * amount
        depth = np.zeros(n) if name == "180" else (radius - radius * np.abs(np.cos(a))) * amount
    else:
        raise SettingError(f"EX-4D has no camera curve {name!r}; it has 30, 60, 90, 180 and 180_outer.")
    side = radius * np.sin(a) * (amount if name.startswith("180") else 1.0)
    return look_at(np.stack([side, rise, depth], axis=1), np.array([0.0, 0.0, radius]))


def view_from_poses(world_from_camera: Float64) -> Float64:  # [N, 4, 4]
    """EX-4D's view matrices: rows right, up, forward, where right is -x and up is +y on screen."""
    return _VIEW_SIGNS[:, None] * inverse(world_from_camera)


def poses_from_view(view: Float64) -> Float64:  # [N, 4, 4]
    """Inverse of :func:`view_from_poses`."""
    return inverse(_VIEW_SIGNS[:, None] * np.asarray(view, np.float64))


def saved_extrinsics(trajectory: Trajectory) -> Float64:  # [N, 4, 4]
    """What EX-4D writes into ``camera_*.npz``: the view matrices with rows 0..2 negated."""
    return _SAVED_SIGNS[:, None] * view_from_poses(trajectory.world_from_camera)


def poses_from_saved(extrinsics: Float64) -> Float64:  # [N, 4, 4]
    """Inverse of :func:`saved_extrinsics`."""
    return poses_from_view(_SAVED_SIGNS[:, None] * np.asarray(extrinsics, np.float64))
