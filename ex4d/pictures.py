"""Pictures for people: holes shown as what is not there."""

import numpy as np

from ex4d_ground.arrays import Bool, UInt8

PLANE_TINT = np.array([-24, 14, 46], np.int16)
"""What makes the pattern's grey blue where a plane of the place goes on."""


def checkered(
    colour: UInt8,  # [H, W, 3]
    mask: Bool,  # [H, W]
    *,
    cell: int | None = None,
    on_plane: Bool | None = None,  # [H, W]
) -> UInt8:  # [H, W, 3]
    """``colour`` with a grey checker pattern where ``mask`` is false, as image editors show what is not there.

    The pattern is blue ``on_plane``.
    """
    height, width = mask.shape
    size = cell or max(4, min(height, width) // 32)
    rows, columns = np.arange(height) // size, np.arange(width) // size
    board = np.where(rows[:, None] % 2 == columns % 2, np.uint8(96), np.uint8(64))
    holes = board[..., None]
    if on_plane is not None:
        holes = (holes + on_plane[..., None] * PLANE_TINT).astype(np.uint8)
    return np.where(mask[..., None], colour, holes)
