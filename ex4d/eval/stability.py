"""Stability over time: how much a video changes beyond its own motion (flow-warped error, OpenCV's DIS flow)."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.depth.flow import followed
from ex4d.eval.metrics import known_mean
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.errors import ShapeError

_CONSISTENT_PX = 1.0


@dataclass(frozen=True)
class Stability:
    """Means over all neighbouring frames; NaN where no pixel could be followed."""

    warped_error: float
    """Mean absolute colour difference (of 255) between a frame and its predecessor moved along the flow."""
    mask_flicker: float
    """Share of the followed pixels whose mask changes from one frame to the next."""
    followed: float
    """Share of the pixels that the flow follows consistently forth and back."""


Flow = tuple[Float32, Bool]
"""Where each pixel was in the frame before [H, W, 2], and whether the flow is consistent there [H, W]."""


def backward_flows(frames: UInt8) -> list[Flow]:
    """The flow from each frame of [N, H, W, 3] to its predecessor, N - 1 of them."""
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return [_backward_flow(dis, before, after) for before, after in itertools.pairwise(grey)]


def flow_stability(
    frames: UInt8, mask: Bool | None = None, *, reference: UInt8 | None = None, flows: Sequence[Flow] | None = None
) -> Stability:
    """Measure ``frames`` [N, H, W, 3]; colours count only where ``mask`` [N, H, W] is set in both frames.

    The flow is computed on ``reference`` (default: the frames themselves): true pictures of the same move, where
    there are some, so that holes do not disturb it; or it is given ready-made as ``flows``. Raises ShapeError for
    fewer than two frames or sizes that differ.
    """
    reference = frames if reference is None else reference
    if len(frames) < 2 or reference.shape != frames.shape or (mask is not None and mask.shape != frames.shape[:3]):
        raise ShapeError(f"Stability needs two or more frames of one size, got {frames.shape} and {reference.shape}.")
    errors, flickers, followed = [], [], []
    for i, (back, consistent) in enumerate(backward_flows(reference) if flows is None else flows):
        followed.append(float(consistent.mean()))
        colour = consistent
        if mask is not None:
            before = _warp(mask[i].astype(np.uint8), back, cv2.INTER_NEAREST) > 0
            if consistent.any():
                flickers.append(float((before != mask[i + 1])[consistent].mean()))
            colour = consistent & before & mask[i + 1]
        if colour.any():
            moved = _warp(frames[i], back, cv2.INTER_LINEAR).astype(np.float32)
            errors.append(float(np.abs(moved - frames[i + 1])[colour].mean()))
    return Stability(known_mean(errors), known_mean(flickers), known_mean(followed))


def _backward_flow(dis: cv2.DISOpticalFlow, before: UInt8, after: UInt8) -> Flow:
    """Where each pixel of ``after`` was in ``before``, and whether the forward flow leads back to it."""
    nothing = np.zeros((*before.shape, 2), np.float32)
    back, forth = followed(dis, after, before, nothing.copy()), followed(dis, before, after, nothing.copy())
    returned = back + _warp(forth, back, cv2.INTER_LINEAR)
    height, width = before.shape
    x = np.arange(width, dtype=np.float32)[None, :] + back[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + back[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return back, inside & (np.linalg.norm(returned, axis=2) < _CONSISTENT_PX)


def _warp(image: np.ndarray, flow: Float32, interpolation: int) -> np.ndarray:
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32)[None, :] + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return cv2.remap(image, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
