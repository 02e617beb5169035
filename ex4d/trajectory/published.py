"""EX-4D's own camera curves, exactly as its code draws them (commit b456a41), and its view matrices.

Radius r = nearest depth of frame 0 + 0.15. Every camera looks at (0, 0, r) with up = (0, 1, 0).
"""

import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.errors import SettingError
from ex4d_ground.poses import look_at

PUBLISHED_FRAMES = 49
"""The clip length the curves were written for; only other lengths overshoot."""

TARGET_MARGIN = 0.15
"""Added to the nearest depth of frame 0 to give the orbit radius."""


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
