"""Edge care as a list of steps, in their order, for whoever runs or draws them."""

from collections.abc import Callable

import numpy as np

from ex4d.depth.edges import EdgeOptions, align_edges, clamp_far, fill_frame
from ex4d.depth.sharpen import sharpen_edges
from ex4d_ground.arrays import Float32, UInt8

EdgeStep = Callable[[Float32, UInt8], tuple[Float32, int]]
"""(depth [H, W], picture [H, W, 3]) -> depth, and how many pixels were changed."""


def edge_steps(options: EdgeOptions, *, estimated: bool) -> dict[str, EdgeStep]:
    """The steps that ``options`` choose, in their order. ``estimated`` is False for depth from a file."""
    steps: dict[str, tuple[bool, EdgeStep]] = {
        "fill": (options.fill, lambda depth, _: fill_frame(depth)),
        "sharpen": (estimated if options.sharpen is None else options.sharpen, _where_whole(sharpen_edges)),
        "clamp": (options.clamp_far, lambda depth, _: clamp_far(depth, options)),
        "align": (options.align, _where_whole(lambda depth, frame: align_edges(depth, frame, options))),
    }
    return {name: step for name, (wanted, step) in steps.items() if wanted}


def _where_whole(mend: Callable[[Float32, UInt8], Float32]) -> EdgeStep:
    """``mend`` as a step for frames where every pixel has a depth: elsewhere no edges can be found."""

    def step(depth: Float32, frame: UInt8) -> tuple[Float32, int]:
        mended = mend(depth, frame) if np.isfinite(depth).all() else depth
        return mended, int((mended != depth).sum()) if mended is not depth else 0

    return step
