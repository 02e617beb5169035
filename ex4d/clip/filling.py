"""Filling holes of a depth picture from what surrounds them.

Two kinds of holes come from depth cameras. *Shadows* lie beside near things where a projector or a second lens does not
reach; what is missing lies behind. They are told by their side and width (:mod:`ex4d.clip.hole_shadows`) and take the
far end of their row, but for the pixels next to the near thing that are its own. All others are *holes in a surface*
(dark, shiny, grazing, too far): where a row's or a column's two ends are one surface, they are joined as a plane
joins them, whose inverse depth is linear in the picture; else the nearest valid pixel is taken.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from ex4d.clip.hole_shadows import Shadow
from ex4d.compiled.arrays import plain
from ex4d_ground.arrays import Bool, Float32, Int32


def fill_holes(frame: Float32, valid: Bool, shadows: Sequence[Shadow] = ()) -> Float32:  # [H, W]
    """``frame`` with its holes filled; ``valid`` pixels stay as they are. At least one must be valid.

    ``shadows`` are what :func:`ex4d.clip.hole_shadows.find_shadows` found in the clip. The loops run outside Python's
    lock, so that several frames can be filled side by side in threads.
    """
    from ex4d.clip.hole_kernels import fill, find_ends

    filled = np.array(frame, np.float32, order="C")
    valid = plain(valid)
    count = valid.size - np.count_nonzero(valid)
    if not count:
        return filled
    holes, ends = np.empty(count, np.int32), np.empty((4, count), np.int32)
    find_ends(valid, holes, ends)
    inverse = np.zeros_like(filled)
    np.divide(np.float32(1), filled, out=inverse, where=valid)
    told = np.array([(s.side, s.reach, s.rim, *s.own) for s in shadows], np.float64).reshape(-1, 5)
    flat = inverse.reshape(-1)
    fill(filled.reshape(-1), flat, holes, ends, _nearest(flat, valid, holes), told, frame.shape[1])
    return filled


def _nearest(values: Float32, valid: Bool, holes: Int32) -> Float32:  # [H*W], [H, W], [N] -> [N]
    """The value of the valid pixel that is nearest to each hole's pixel (OpenCV's 5x5 chamfer distance)."""
    width = valid.shape[1]
    first, last = max(int(holes[0]) // width - 1, 0), int(holes[-1]) // width + 2  # no farther than the next row
    part = valid[first:last]
    holed = (~part).astype(np.uint8)
    _, found = cv2.distanceTransformWithLabels(holed, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels, start = np.asarray(found, np.int32).reshape(-1), first * width
    known = np.flatnonzero(part)
    source = np.zeros(len(known) + 1, np.float32)
    source[labels[known]] = values[start + known]
    return source[labels[np.subtract(holes, start, dtype=np.int32)]]
