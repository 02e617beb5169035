"""Edge care as a list of steps, in their order, for whoever runs or draws them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ex4d.depth.edges import EdgeOptions, align_edges, clamp_far, fill_frame
from ex4d.depth.sharpen import sharpen_edges
from ex4d.types import Float32, UInt8

EDGE_STEPS: tuple[str, ...] = ("fill", "sharpen", "clamp", "align")
"""Names of the steps, in their order."""

EdgeStep = Callable[[Float32, UInt8], tuple[Float32, int]]
"""(depth [H, W], picture [H, W, 3]) -> depth, and how many pixels were changed."""


def edge_steps(options: EdgeOptions, *, estimated: bool) -> dict[str, EdgeStep]:
    """The steps that ``options`` choose, in their order. ``estimated`` is False for depth from a file."""

    def fill(depth: Float32, _: UInt8) -> tuple[Float32, int]:
        return fill_frame(depth)

    def sharpen(depth: Float32, frame: UInt8) -> tuple[Float32, int]:
        return _counted(depth, sharpen_edges(depth, frame)) if np.isfinite(depth).all() else (depth, 0)

    def clamp(depth: Float32, _: UInt8) -> tuple[Float32, int]:
        return clamp_far(depth, options)

    def align(depth: Float32, frame: UInt8) -> tuple[Float32, int]:
        # edges can only be found where every pixel has a depth
        return _counted(depth, align_edges(depth, frame, options)) if np.isfinite(depth).all() else (depth, 0)

    wanted = {
        "fill": options.fill,
        "sharpen": estimated if options.sharpen is None else options.sharpen,
        "clamp": options.clamp_far,
        "align": options.align,
    }
    steps: dict[str, EdgeStep] = {"fill": fill, "sharpen": sharpen, "clamp": clamp, "align": align}
    return {name: steps[name] for name in EDGE_STEPS if wanted[name]}


def _counted(before: Float32, after: Float32) -> tuple[Float32, int]:
    return after, int((after != before).sum())
