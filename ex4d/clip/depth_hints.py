"""What depth gives away about itself: that it is inverse depth, or in another unit than the scene's."""

import numpy as np

from ex4d.frames import Frames, bounds_of
from ex4d.sky import SKY_FROM
from ex4d_ground.arrays import Float32
from ex4d_ground.remedies import Remedy, scale_or_border

_ASKED = 5
"""Frames that are looked at."""
_GROWS = 1.3
"""How many times larger the lower quarter of the picture must be than the upper one."""
_STRAIGHTER = 0.5
"""How much less the values themselves may bend than their inverse."""
_MOST_BEYOND = 0.5
"""Share of the depth behind the border from which on the unit is doubted."""


def disparity_hint(depth: Frames, label: str = "The depth") -> str:  # [T, H, W], NaN allowed
    """A sentence without its full stop if ``depth`` looks like inverse depth (disparity), else "".

    What stands lower in a picture is mostly nearer, and inverse depth is linear along a plane. So disparity grows
    downwards, where depth falls, and bends less than its own inverse, where depth bends more. Both must say so.
    """
    chosen = [depth[t] for t in np.unique(np.linspace(0, len(depth) - 1, _ASKED).astype(int))]
    if not all(_grows_downwards(frame) for frame in chosen):
        return ""
    if np.mean([_straighter(frame) for frame in chosen]) <= 0.5:
        return ""
    return f"{label} looks like inverse depth (disparity), which has to be converted to depth (1 / value) first"


def _grows_downwards(frame: Float32) -> bool:
    quarter = max(frame.shape[0] // 4, 1)
    upper, lower = (part[(part > 0) & (part < SKY_FROM)] for part in (frame[:quarter], frame[-quarter:]))
    return min(upper.size, lower.size) > 0 and float(np.median(lower)) > _GROWS * float(np.median(upper))


def _straighter(frame: Float32) -> bool:
    """Whether the values bend less than their inverse, from row to row: there floors and ceilings change steadily."""
    step = max(frame.shape[0] // 64, 2)
    if len(frame) <= 2 * step:
        return False
    values = np.where((frame > 0) & (frame < SKY_FROM), frame, np.float32(np.nan))
    return _bend(values, step) < _STRAIGHTER * _bend(1 / values, step)


def _bend(v: Float32, step: int) -> float:
    """Median bend from row to row in shares of the change, where values change smoothly; 0 if they nowhere do."""
    a, b, c = v[: -2 * step], v[step:-step], v[2 * step :]
    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.abs(c - a) / b
        smooth = (change > 0.02) & (change < 0.5)
    bend = np.abs(a - 2 * b + c)[smooth] / np.abs(c - a)[smooth]
    return float(np.median(bend)) if bend.size else 0.0


def border_hint(depth: Frames, border_depth: float, sky_from: float) -> tuple[str, Remedy] | None:  # [T, H, W]
    """A sentence if most of what has a depth lies behind the mesh's border, else None."""
    if (bounds_of(depth)[:, 1] <= border_depth).all():
        return None
    known, beyond, nearest = 0, 0, np.inf
    for frame in depth:
        there = frame[frame < sky_from]
        known += there.size
        beyond += int((there > border_depth).sum())
        nearest = min(nearest, float(there.min(initial=np.inf)))
    if not known or beyond <= _MOST_BEYOND * known:
        return None
    share = f"{100 * beyond / known:.0f} %"
    text = f"{share} of the depth lies beyond the border at {border_depth:g}, where the mesh is closed"
    nothing = f" (it begins at {nearest:g}), so nothing of the clip is seen" if beyond == known else ""
    return text + nothing, scale_or_border()
