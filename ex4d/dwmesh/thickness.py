"""How far things reach behind their rims, guessed from what the picture shows of them, or painted."""

import numpy as np

from ex4d.bands import Split
from ex4d.dwmesh import edges
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.errors import SettingError, ShapeError

# Found on rendered scenes with known visibility (see ex4d.eval), and checked on others.
DEPTH_PER_WIDTH = 0.93
"""How deep a thing is taken to be, from its nearest point on, for its smaller extent across the picture."""
LEAST_PER_WIDTH = 0.25
"""What a wall has of that extent at least."""
COLUMN_RATIO = 2.4
"""How much more an extent down a column counts: what is wider than tall, as a table is, goes back further than up."""
PER_COVERED_END = 0.7
"""Share by which an extent grows for each end that something nearer covers."""
PARTLY_COVERED_PX = 0.7
"""Pixels that a run counts too many: those at its ends are covered in part."""
LARGEST_SHARE = 0.3
"""No estimate is more than this share of the depth."""
CROWD_PX = 9
"""Side of the window in which cut pixels are counted."""
BUSH_PX = 8.5
"""The thickness, in pixels, where they are dense (foliage)."""
REMEMBERED_BUSH_PX = 4.0
"""The same where the world's memory knows what lies behind: too thick a thicket hides it."""
CROWD_SHARES = (0.3, 0.52)
"""Share of cut pixels in the window at which a thicket begins, and is complete."""


def estimated(
    inverse: Float32,  # [H, W] inverse depth
    cuts: UInt8,  # [H, W] depth edges, as edges.cut_rows marks them
    pitch: Float64,  # [2] width and height of a pixel at depth 1
    bush_px: float,
    split: Split,
) -> Float32:  # [H, W]
    """The thickness at every pixel, in the depth's unit, from the extent of what is seen; thickets have ``bush_px``."""
    (height, width), pitch_x, pitch_down = inverse.shape, float(pitch[0]), COLUMN_RATIO * float(pitch[1])
    thickness = np.empty(inverse.shape, np.float32)
    extent = np.empty(inverse.shape, np.float32)
    shape: Float64 = np.array([DEPTH_PER_WIDTH, LEAST_PER_WIDTH, PER_COVERED_END], np.float64)
    split(height, lambda a, b: edges.row_thickness(inverse, cuts, pitch_x, shape, a, b, extent, thickness))
    split(width, lambda a, b: edges.column_thickness(inverse, cuts, pitch_down, shape, a, b, extent, thickness))
    area = CROWD_PX**2
    limits = np.array(
        [PARTLY_COVERED_PX, LARGEST_SHARE, CROWD_SHARES[0] * area, CROWD_SHARES[1] * area, bush_px], np.float64
    )
    reach = CROWD_PX // 2
    split(height, lambda a, b: edges.settle_thickness(inverse, cuts, reach, pitch_x, limits, a, b, thickness))
    return thickness


def checked_map(clip: Clip, thickness: Float32) -> Float32:
    """A painted thickness of a clip. Raises ShapeError or SettingError for one that does not fit or is negative."""
    wanted = clip.depth.shape
    if thickness.shape not in (wanted, wanted[1:]):
        raise ShapeError(f"The thickness map must be {wanted[1:]} or {wanted}, got {thickness.shape}.")
    bad = int((np.isinf(thickness) | (thickness < 0)).sum())
    if bad:
        raise SettingError(
            f"The thickness map is negative or infinite at {bad} pixels; use NaN to leave a pixel alone."
        )
    return np.ascontiguousarray(thickness, np.float32)
