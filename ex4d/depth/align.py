"""Per-frame scale and shift: makes single-image depth of a clip agree with itself.

Every frame is aligned to a keyframe on points that flow says are the same. A moving camera changes the true depth of a
still point (a dolly adds a constant, which a free shift would swallow), so the camera's motion is solved first from the
keyframe's points and their new places in the image (robust PnP), and the frame's values are fitted to the depths that
these points then have. Scale and shift are found by iteratively reweighted least squares with Tukey's weights.
"""

from dataclasses import dataclass
from typing import Unpack

import cv2
import numpy as np

from ex4d.depth.base import FrameSource
from ex4d.depth.flow import flow_between, pixel_grid, sample, to_gray
from ex4d.progress import CancelToken, Watch, check, reported
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.descriptions import Meaning

MAX_POINTS = 6000
NEW_KEYFRAME_SHARE = 0.6
"""Below this share of consistent points the current frame becomes the next keyframe."""
CUT_SHARE = 0.1
"""Below this share the frame shows something else (a cut): it keeps its predecessor's scale and shift."""
STILL_PX = 0.3
"""Median motion below which the camera is taken to stand still: flow's own noise is of this size."""
FAR_SHARE = 0.2
"""Disparity below this share of the median counts like it: nothing is known of it but that it is far."""
REFINEMENTS = 4
_NO_DISTORTION = np.zeros(4)


@dataclass(frozen=True)
class Alignment:
    """aligned = scale * value + shift, per frame, with a median scale of 1 and a median shift of 0."""

    scale: Float64  # [T]
    shift: Float64  # [T]
    keyframes: tuple[int, ...]
    cuts: tuple[int, ...]
    """Frames that share too few points with what came before to be aligned."""
    moving: int
    """Frames for which a camera motion was found and taken into account."""

    def apply(self, values: Float32, *, cancel: CancelToken | None = None) -> Float32:  # [T, H, W], overwritten
        """Align in place."""
        for t, frame in enumerate(values):
            check(cancel)
            frame *= np.float32(self.scale[t])
            frame += np.float32(self.shift[t])
        return values


@dataclass
class _Keyframe:
    index: int
    gray: UInt8  # [h, w]
    values: Float32  # [H, W] aligned


def align(
    values: Float32,  # [T, H, W], read only
    frames: FrameSource,
    meaning: Meaning,
    intrinsics: Intrinsics,
    *,
    with_shift: bool = True,
    **watch: Unpack[Watch],
) -> Alignment:
    """Scale and shift per frame that make still points agree. Memory: two frames."""
    first = _pass(values, frames, meaning, intrinsics, (1.0, 0.0), with_shift, watch)
    if not first.moving:
        return first
    # A camera's motion is solved from the first frame's depth, whose own scale and shift are as random as any other's:
    # once the clip's typical scale and shift are known, solve again from a first frame that has them.
    start = (float(first.scale[0]), float(first.shift[0]))
    return _pass(values, frames, meaning, intrinsics, start, with_shift, watch)


def _pass(
    values: Float32,
    frames: FrameSource,
    meaning: Meaning,
    intrinsics: Intrinsics,
    start: tuple[float, float],
    with_shift: bool,
    watch: Watch,
) -> Alignment:
    num_frames = len(values)
    scale, shift = np.full(num_frames, start[0]), np.full(num_frames, start[1])
    keyframes, cuts, moving = [0], [], 0
    key: _Keyframe | None = None
    for t, frame in enumerate(reported(frames, stages.DEPTH_ALIGN, num_frames, **watch)):
        gray = to_gray(frame)
        fit: _Fit | None = None
        if key is not None:
            fit = _fit_frame(key, gray, np.asarray(values[t]), meaning, intrinsics, with_shift)
            if fit is None:
                scale[t], shift[t] = scale[t - 1], shift[t - 1]
                cuts.append(t)
            else:
                scale[t], shift[t] = fit.scale, fit.shift
                moving += fit.moved
        if key is None or fit is None or fit.share < NEW_KEYFRAME_SHARE:
            key = _Keyframe(t, gray, (values[t] * scale[t] + shift[t]).astype(np.float32))
            keyframes += [t] if t else []
    middle_scale, middle_shift = float(np.median(scale)), float(np.median(shift))
    return Alignment(scale / middle_scale, (shift - middle_shift) / middle_scale, tuple(keyframes), tuple(cuts), moving)


@dataclass(frozen=True)
class _Fit:
    scale: float
    shift: float
    share: float
    moved: bool


def _fit_frame(
    key: _Keyframe, gray: UInt8, values: Float32, meaning: Meaning, intrinsics: Intrinsics, with_shift: bool
) -> _Fit | None:
    size = (values.shape[0], values.shape[1])
    flow = flow_between(key.gray, gray, size)
    source = pixel_grid(size)
    target = source + flow.forward
    share = float(flow.ok_forward.mean())
    if share < CUT_SHARE:
        return None
    there = sample(values, target)
    usable = flow.ok_forward & np.isfinite(key.values) & np.isfinite(there) & (key.values > 0) & _smooth(key.values)
    picked = np.flatnonzero(usable)
    if len(picked) < 50:
        return None
    picked = picked[:: max(1, len(picked) // MAX_POINTS)]
    p, q = source.reshape(-1, 2)[picked], target.reshape(-1, 2)[picked]
    old, new = key.values.reshape(-1)[picked].astype(np.float64), there.reshape(-1)[picked].astype(np.float64)
    depth = 1 / np.maximum(old, 1e-6) if meaning == "disparity" else old
    moved = _moved_depth(p, q, depth, intrinsics)
    static = np.ones(len(p), bool) if moved is None else moved[1]
    expected = depth if moved is None else moved[0]
    wanted = 1 / expected if meaning == "disparity" else expected
    # errors of the solved motion are in proportion to the value; of what is very far there is only noise
    base = 1 / (np.maximum(wanted, FAR_SHARE * np.median(wanted)) if meaning == "disparity" else wanted)
    s, b = robust_line(new[static], wanted[static], base[static], with_shift=with_shift)
    return _Fit(s, b, share, moved is not None)


def _smooth(values: Float32) -> Bool:  # [H, W]
    """Away from depth edges, where half a pixel of flow error would be a large error of depth."""
    kernel = np.ones((5, 5), np.uint8)
    low, high = cv2.erode(values, kernel), cv2.dilate(values, kernel)
    return (high - low) < 0.1 * np.abs(high)


def _moved_depth(
    p: Float32,  # [N, 2] in the keyframe
    q: Float32,  # [N, 2] in the current frame
    depth: Float64,  # [N] at p, in the keyframe
    intrinsics: Intrinsics,
) -> tuple[Float64, Bool] | None:  # depth [N] in the current frame, and which points move with the camera alone
    """Depth of the keyframe's points seen from the current camera, or None if the camera stands still."""
    if np.median(np.linalg.norm(q - p, axis=1)) < STILL_PX:
        return None
    # remap counts from pixel centres, intrinsics from the image's corner
    k = intrinsics.matrix - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    unit = np.median(depth)
    rays = np.column_stack([(p - [k[0, 2], k[1, 2]]) / [k[0, 0], k[1, 1]], np.ones(len(p))])
    points = rays * (depth / unit)[:, None]
    solved, turn, move, inliers = cv2.solvePnPRansac(
        points,
        q.astype(np.float64),
        k,
        _NO_DISTORTION,
        iterationsCount=200,
        reprojectionError=1.0,
        flags=cv2.SOLVEPNP_SQPNP,
    )  # pyright: ignore[reportCallIssue, reportArgumentType]
    if not solved or inliers is None or len(inliers) < 0.4 * len(p):
        return None
    pixels = q.astype(np.float64)
    chosen = np.array(inliers, np.intp).reshape(-1)
    seen = points
    for _ in range(REFINEMENTS):
        turn, move = cv2.solvePnPRefineLM(points[chosen], pixels[chosen], k, _NO_DISTORTION, turn, move)
        seen = points @ cv2.Rodrigues(turn)[0].T + move.T
        ahead = seen[:, 2] > 1e-6
        places = seen @ k.T
        error = np.linalg.norm(places[:, :2] / np.where(ahead, places[:, 2], 1.0)[:, None] - pixels, axis=1)
        # ever closer to the bulk: points that move a little by themselves, or whose flow is off, pull at the pose
        limit = max(2.5 * 1.4826 * float(np.median(error[chosen])), 0.05)
        keep = ahead & (error < min(limit, 1.0))
        if keep.sum() < 0.25 * len(p):
            break
        chosen = np.flatnonzero(keep)
    good = np.zeros(len(p), bool)
    good[chosen] = seen[chosen, 2] > 1e-6
    return np.where(good, seen[:, 2] * unit, 1.0), good


def robust_line(
    x: Float64,  # [N]
    y: Float64,  # [N]
    weight: Float64,  # [N] on residuals
    *,
    with_shift: bool = True,
    iterations: int = 20,
) -> tuple[float, float]:
    """s and b that minimise the robust size of weight * (s x + b - y): Tukey's biweight at 4.685 robust deviations."""
    s, b = _start(x, y, with_shift)
    for _ in range(iterations):
        residual = weight * (s * x + b - y)
        # the deviation as 1.4826 median absolute residuals; the floor keeps exact data from dividing by zero
        sigma = max(1.4826 * float(np.median(np.abs(residual))), 1e-9 * float(np.abs(weight * y).max()))
        u = np.minimum(np.abs(residual) / (4.685 * sigma), 1.0)
        root = weight * (1 - u**2)  # square root of Tukey's weight, times the base weight
        columns = np.column_stack([x, np.ones_like(x)]) if with_shift else x[:, None]
        solution = np.linalg.lstsq(columns * root[:, None], y * root, rcond=None)[0]
        previous, s = s, float(solution[0])
        b = float(solution[1]) if with_shift else 0.0
        if abs(s - previous) <= 1e-10 * abs(s):
            break
    return s, b


def _start(x: Float64, y: Float64, with_shift: bool) -> tuple[float, float]:
    """A start that outliers cannot spoil: medians of the ratios, or of the slopes between distant quantiles."""
    if not with_shift:
        ok = np.abs(x) > 1e-12
        return (float(np.median(y[ok] / x[ok])) if ok.any() else 1.0), 0.0
    order = np.argsort(x)
    third = max(1, len(x) // 3)
    dx = x[order[-third:]] - x[order[:third]]
    dy = y[order[-third:]] - y[order[:third]]
    ok = dx > 1e-9 * max(1e-30, float(np.abs(x).max()))
    if not ok.any():  # constant depth fixes only one number
        return 1.0, float(np.median(y - x))
    s = float(np.median(dy[ok] / dx[ok]))
    return s, float(np.median(y - s * x))
