"""A picture of how much of each frame of a move the clip really shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ex4d.engines.plane_share import PlaneShares
from ex4d.pictures import checkered
from ex4d.types import Guides
from ex4d_ground.arrays import UInt8

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN_PX = 384
"""Longer side of a guide on the page, twice what its place there has: matplotlib takes long for large pictures."""


def plot_coverage(guides: Guides, *, low: float = 0.4, title: str, planes: PlaneShares | None = None) -> Figure:
    """Plot coverage over the frames, frames below ``low`` (0..1) marked, above the guides of six of them.

    With ``planes`` of these guides, what goes on a floor or a wall is blue, in the plot and in the guides.
    """
    from matplotlib.figure import Figure  # only now: it takes 25 MB, which nobody needs while guides are drawn

    values = 100 * guides.coverage
    frames = np.arange(len(values))
    figure = Figure(figsize=(10, 5.6), dpi=120, layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=[3, 1.35])
    curve = figure.add_subplot(grid[0])
    curve.plot(frames, values, color="#2563a8", linewidth=2, marker="o", markersize=3)
    curve.fill_between(frames, values, color="#2563a8", alpha=0.15)
    shares = None if planes is None else planes.shares
    if shares is not None:
        curve.fill_between(frames, values, values + 100 * shares, color="#5aa9d6", alpha=0.45, label="goes on a plane")
        curve.fill_between(frames, values + 100 * shares, 100, color="#9a9a9a", alpha=0.2, label="invented")
    marked = values < 100 * low
    curve.plot(frames[marked], values[marked], "o", color="#c2410c", label=f"below {100 * low:.0f} %")
    curve.axhline(100 * low, color="#c2410c", linewidth=1, linestyle="--")
    if marked.any() or shares is not None:
        curve.legend(loc="best", frameon=False)
    curve.set(
        title=title, xlabel="Frame", ylabel="Covered by the clip (%)", ylim=(0, 104), xlim=(-0.5, len(values) - 0.5)
    )
    curve.grid(alpha=0.25)
    shown = shown_frames(len(values))
    row = grid[1].subgridspec(1, len(shown), wspace=0.03)
    for axes, i in zip((figure.add_subplot(cell) for cell in row), shown, strict=True):
        mask = guides.mask[i]
        on_plane = None if planes is None else planes.where(i, mask)
        axes.imshow(_small(checkered(guides.colour[i], mask, on_plane=on_plane)))
        axes.set_title(f"{i}: {values[i]:.0f} %", fontsize=9)
        axes.set_axis_off()
    return figure


def shown_frames(count: int) -> list[int]:
    """The frames whose guides the plot shows, of ``count``."""
    return np.unique(np.linspace(0, count - 1, 6).round().astype(int)).tolist()


def _small(picture: UInt8) -> UInt8:  # [H, W, 3]
    height, width = picture.shape[:2]
    share = _SHOWN_PX / max(height, width)
    if share >= 1:
        return picture
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
