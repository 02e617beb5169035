"""Numbers for one picture: mask scores against the truth, PSNR and SSIM over a mask."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from ex4d_ground.arrays import Bool, Float64, UInt8
from ex4d_ground.errors import ShapeError

PSNR_CEILING = 100.0
"""Reported where two pictures are equal, so that means stay finite."""


@dataclass(frozen=True)
class MaskScores:
    """How a guide's mask agrees with true visibility. Shares are 0..1, NaN where the share is of nothing."""

    precision: float
    recall: float
    iou: float
    false_visible: float
    """Share of the guide's visible pixels that the source did not show."""
    false_visible_known: float
    """The same without the unknowable: pixels whose true surface was never in the source's picture."""
    false_visible_of_picture: float
    """Falsely visible pixels as a share of the whole picture."""
    iou_known: float
    """IoU over the pixels that are not unknowable."""
    coverage: float
    """Share of the picture that the guide shows."""
    true_coverage: float
    """Share of the picture that the source truly showed."""


def mask_scores(mask: Bool, visible: Bool, unknowable: Bool) -> MaskScores:  # [H, W] each
    """Compare a guide's mask with the truth. Raises ShapeError if the sizes differ."""
    if not mask.shape == visible.shape == unknowable.shape:
        raise ShapeError(f"Masks must be of one size, got {mask.shape}, {visible.shape} and {unknowable.shape}.")
    hit = int((mask & visible).sum())
    false, missed = mask & ~visible, int((visible & ~mask).sum())
    wrong, wrong_known = int(false.sum()), int((false & ~unknowable).sum())
    return MaskScores(
        precision=_share(hit, hit + wrong),
        recall=_share(hit, hit + missed),
        iou=_share(hit, hit + wrong + missed),
        false_visible=_share(wrong, hit + wrong),
        false_visible_known=_share(wrong_known, hit + wrong),
        false_visible_of_picture=wrong / mask.size,
        iou_known=_share(hit, hit + wrong_known + missed),
        coverage=float(mask.mean()),
        true_coverage=float(visible.mean()),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def known_mean(values: Iterable[float]) -> float:
    """Mean of what was measured: NaN values are left out, and the mean of nothing is NaN."""
    known = [v for v in values if not math.isnan(v)]
    return float(np.mean(known)) if known else math.nan


def psnr(a: UInt8, b: UInt8, where: Bool | None = None) -> float:  # [H, W, 3], [H, W]
    """Peak signal-to-noise ratio in dB over ``where`` (default: everywhere); NaN where there is nothing to compare."""
    _check_pair(a, b, where)
    error = (a.astype(np.float64) - b.astype(np.float64)) ** 2
    if where is not None:
        error = error[where]
    if error.size == 0:
        return math.nan
    mean = float(error.mean())
    return PSNR_CEILING if mean == 0 else min(PSNR_CEILING, 10 * math.log10(255.0**2 / mean))


def ssim(a: UInt8, b: UInt8, where: Bool | None = None) -> float:  # [H, W, 3], [H, W]
    """Structural similarity (Wang et al. 2004: Gaussian window of 11, sigma 1.5), mean over channels and ``where``.

    Outside ``where`` the second picture stands in for the first, so that the windows along the mask's rim are not
    judged by what lies beyond it. NaN where there is nothing to compare.
    """
    _check_pair(a, b, where)
    if where is not None:
        if not where.any():
            return math.nan
        a = np.where(where[..., None], a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    mx, my = _window(x), _window(y)
    vx, vy, cov = _window(x * x) - mx * mx, _window(y * y) - my * my, _window(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    per_pixel = similarity.mean(axis=2)
    return float(per_pixel.mean() if where is None else per_pixel[where].mean())


def _window(image: Float64) -> Float64:
    return cv2.GaussianBlur(image, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT).astype(np.float64)


def _check_pair(a: UInt8, b: UInt8, where: Bool | None) -> None:
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] != 3 or (where is not None and where.shape != a.shape[:2]):
        raise ShapeError(
            f"Pictures must be [H, W, 3] of one size with a mask [H, W], got {a.shape}, {b.shape}"
            f"{'' if where is None else f' and {where.shape}'}."
        )
