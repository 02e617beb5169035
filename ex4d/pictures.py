"""Pictures for people: holes shown as what is not there."""

import numpy as np

from ex4d_ground.arrays import Bool, UInt8


def checkered(colour: UInt8, mask: Bool, *, cell: int | None = None) -> UInt8:  # [H, W, 3], [H, W] -> [H, W, 3]
    """``colour`` with a grey checker pattern where ``mask`` is false, as image editors show what is not there."""
    height, width = mask.shape
    size = cell or max(4, min(height, width) // 32)
    rows, columns = np.arange(height) // size, np.arange(width) // size
    board = np.where(rows[:, None] % 2 == columns % 2, np.uint8(96), np.uint8(64))
    return np.where(mask[..., None], colour, board[..., None])
