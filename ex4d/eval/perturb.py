"""Depth made worse on purpose, in the ways estimated depth is wrong: noise, slow drift of scale, smeared edges."""

from collections.abc import Callable

import cv2
import numpy as np

from ex4d_ground.arrays import Float32
from ex4d_ground.errors import SettingError

DRIFT = 0.05
NOISE = 0.01
BLUR_PX = 1.0


def with_noise(depth: Float32, rng: np.random.Generator) -> Float32:
    """Each value scaled by 1 + 1 % Gaussian noise."""
    return (depth * (1 + NOISE * rng.standard_normal(depth.shape)).clip(0.5, 1.5)).astype(np.float32)


def with_drift(depth: Float32, rng: np.random.Generator) -> Float32:
    """A smooth field over picture and time, at most 5 % up or down, scales the depth."""
    frames, height, width = depth.shape
    knots = rng.uniform(-1, 1, (4, 4, 4))
    in_time = np.linspace(0, 3, frames)
    low = np.minimum(in_time.astype(int), 2)
    share = (in_time - low)[:, None, None]
    coarse = knots[low] * (1 - share) + knots[low + 1] * share
    field = [cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC).clip(-1, 1) for c in coarse]
    return (depth * (1 + DRIFT * np.stack(field))).astype(np.float32)


def with_blur(depth: Float32, rng: np.random.Generator) -> Float32:
    """Edges smeared by a Gaussian of one pixel in inverse depth, as resizing and networks do."""
    del rng
    blurred = [1.0 / cv2.GaussianBlur(1.0 / d.astype(np.float64), (0, 0), BLUR_PX) for d in depth]
    return np.stack(blurred).astype(np.float32)


def with_drift_and_blur(depth: Float32, rng: np.random.Generator) -> Float32:
    """Drift, then blur: the usual faults of estimated depth together."""
    return with_blur(with_drift(depth, rng), rng)


PERTURBATIONS: dict[str, Callable[[Float32, np.random.Generator], Float32]] = {
    "noise": with_noise,
    "drift": with_drift,
    "blur": with_blur,
    "drift+blur": with_drift_and_blur,
}


def perturbed(depth: Float32, name: str, *, seed: int = 0) -> Float32:  # [T, H, W]
    """``depth`` with the named fault, the same for the same seed. Raises SettingError for an unknown name."""
    if name not in PERTURBATIONS:
        raise SettingError(f"Depth can be perturbed by {', '.join(PERTURBATIONS)}, got {name!r}.")
    return PERTURBATIONS[name](depth, np.random.default_rng(seed))
