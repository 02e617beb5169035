"""Pictures for people: holes shown as what is not there."""

import numpy as np

from ex4d_ground.arrays import Bool, UInt8


def checkered(colour: UInt8, mask: Bool, *, cell: int | None = None) -> UInt8:  # [H, W, 3], [H, W] -> [H, W, 3]
    """``colour`` with a grey checker pattern where ``mask`` is false, as image editors show what is not there."""
    height, width = mask.shape
    size = cell or max(4, min(height, width) // 32)
    rows, columns = np.indices((height, width)) // size
    board = np.where((rows + columns) % 2 == 0, 96, 64).astype(np.uint8)
    return np.where(mask[..., None], colour, board[..., None])
