"""What holes are like: how much is hidden, how long it stays hidden, how large holes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ex4d_ground.arrays import Bool, Float64

SIZE_EDGES = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Bins of a hole's area, as shares of the picture."""


@dataclass(frozen=True)
class HoleStatistics:
    """Of several masks together."""

    hidden: float
    """Mean share of hidden pixels, frame 0 left out."""
    hidden_by_time: list[float]
    """The same in ten parts of the clip."""
    persistence: float
    """Of the pixels hidden in a frame, the share that is hidden in the next one too."""
    area_by_size: list[float]
    """Share of the hidden area that lies in holes of each size; see :data:`SIZE_EDGES`."""


def hole_statistics(
    masks: Sequence[Bool],  # each [T, H, W], true where shown
) -> HoleStatistics:
    """Statistics over all of ``masks``."""
    hidden, stays, before = 0.0, 0, 0
    by_time: list[Float64] = []
    areas: list[Float64] = []
    for mask in masks:
        holes = ~mask
        share = holes.reshape(len(holes), -1).mean(axis=1)
        hidden += float(share[1:].mean())
        by_time.append(np.interp(np.linspace(0, 1, 10), np.linspace(0, 1, len(share)), share))
        before += int(holes[:-1].sum())
        stays += int((holes[1:] & holes[:-1]).sum())
        areas += [_areas(frame) for frame in holes[1:]]
    sizes = np.concatenate(areas) if areas else np.zeros(0)
    counts, _ = np.histogram(sizes, SIZE_EDGES, weights=sizes)
    total = max(float(sizes.sum()), 1e-12)
    return HoleStatistics(
        hidden / len(masks),
        np.mean(by_time, axis=0).round(4).tolist(),
        stays / max(1, before),
        (counts / total).round(4).tolist(),
    )


def _areas(holes: Bool) -> Float64:
    """Each connected hole's area as a share of the picture."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(holes.astype(np.uint8), connectivity=8)
    return stats[1:, cv2.CC_STAT_AREA].astype(np.float64) / holes.size
