"""The bars that our masks are held to against the published program's; see tests/golden/README.md."""

from __future__ import annotations

import numpy as np


def assert_masks_meet_the_bars(found: np.ndarray, published: np.ndarray, *, blended: bool = True) -> None:
    """Masks [T, H, W] of every frame but the first: overlap as published, and few pixels that differ.

    ``blended`` says that silhouettes were antialiased and vertices lay where the published program has them: then at
    most 0.05 % of a picture's pixels may differ, or two. A frame with at most two such pixels counts as the same, so
    that small masks are not judged by one pixel.
    """
    different = (found != published).sum(axis=(1, 2))
    either = (found | published).sum(axis=(1, 2))
    overlap = np.where(different <= 2, 1.0, 1 - different / np.maximum(either, 1))
    assert overlap.min() >= 0.99
    assert overlap.mean() >= 0.997
    if blended:
        assert different.max() <= max(2, 0.0005 * found[0].size)
