"""Optical flow between frames, with the points where it can be trusted.

OpenCV's DIS flow (Kroeger et al. 2016) both ways; a point is consistent if going there and back ends within a pixel of
where it began. Flow is computed at a reduced size for large frames and scaled back.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d_ground.arrays import Bool, Float32, UInt8

FLOW_SIDE = 640
"""Longest side at which flow is computed."""
SMALL_SIDE = 320
"""Frames up to this size get flow at their full size."""

_LEAST_SIDE = 12
"""OpenCV refuses pictures of which both sides are shorter."""


@dataclass(frozen=True)
class FlowPair:
    """Flow between two frames a and b, in pixels of the full frame."""

    forward: Float32  # [H, W, 2] (dx, dy): the point (x, y) of a is at (x + dx, y + dy) in b
    backward: Float32  # [H, W, 2] the same from b to a
    ok_forward: Bool  # [H, W] on a's pixels: there and back agrees and stays inside
    ok_backward: Bool  # [H, W] on b's pixels


def to_gray(frame: UInt8) -> UInt8:  # [H, W, 3] -> [h, w]
    """Luma at the size flow is computed at."""
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    scale = FLOW_SIDE / max(gray.shape)
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return gray.astype(np.uint8, copy=False)


def followed(
    dis: cv2.DISOpticalFlow, before: UInt8, after: UInt8, start: Float32 | None = None
) -> Float32:  # [h, w] twice -> [h, w, 2]
    """Where each pixel of ``before`` is in ``after``, as a shift; none in pictures that are too small to tell.

    ``start`` is a flow for OpenCV to begin with, which is changed.
    """
    if max(before.shape) < _LEAST_SIDE:
        return np.zeros((*before.shape, 2), np.float32)
    return dis.calc(before, after, start).astype(np.float32, copy=False)  # pyright: ignore[reportCallIssue, reportArgumentType]


def flow_between(
    gray_a: UInt8,  # [h, w]
    gray_b: UInt8,  # [h, w]
    size: tuple[int, int],  # H, W of the result
) -> FlowPair:
    """Flow both ways between two frames and where it is consistent."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if max(gray_a.shape) <= SMALL_SIDE:
        dis.setFinestScale(0)  # the preset stops at half size, which costs small frames too much accuracy
    forward, backward = (_scaled(followed(dis, *pair), size) for pair in ((gray_a, gray_b), (gray_b, gray_a)))
    return FlowPair(forward, backward, _consistent(forward, backward), _consistent(backward, forward))


def pixel_grid(size: tuple[int, int]) -> Float32:  # [H, W, 2]
    """(x, y) of every pixel, integer at its centre as OpenCV's remap counts."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    return np.stack([x, y], axis=-1).astype(np.float32)


def sample(
    image: Float32,  # [H, W] or [H, W, C]
    points: Float32,  # [H, W, 2] (x, y)
) -> Float32:
    """``image`` at ``points``, bilinear; points outside take the border's value."""
    found = cv2.remap(image, points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return found.astype(np.float32, copy=False)


def inside(points: Float32, size: tuple[int, int]) -> Bool:  # [H, W, 2] -> [H, W]
    """Whether each point lies within the frame."""
    x, y = points[..., 0], points[..., 1]
    return (x >= 0) & (y >= 0) & (x <= size[1] - 1) & (y <= size[0] - 1)


def _consistent(there: Float32, back: Float32) -> Bool:
    size = there.shape[:2]
    target = pixel_grid((size[0], size[1])) + there
    error = np.linalg.norm(there + sample(back, target), axis=-1)
    # a pixel, and a little more where the motion is long (Sundaram et al. 2010 use the same form)
    limit = 0.7 + 0.02 * np.linalg.norm(there, axis=-1)
    return (error < limit) & inside(target, (size[0], size[1]))


def _scaled(flow: Float32, size: tuple[int, int]) -> Float32:
    h, w = flow.shape[:2]
    if (h, w) == size:
        return flow
    full = cv2.resize(flow, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return (full * np.array([size[1] / w, size[0] / h], np.float32)).astype(np.float32)
