"""Guides spoilt as bad depth spoils them, so that the model learns to mend what it is shown.

Four faults, after what depth estimators do: the surface wavers from frame to frame (pixels shift, more where it is
near), edges smear the near side's colour over the far one, single pixels fly off edges, and colours drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float32, UInt8

_STREAM = 0xDE64A


@dataclass(frozen=True)
class DegradeRecipe:
    """How strong the faults are at most; each clip draws its own strengths evenly from zero."""

    wobble: float = 0.006
    """Shift of the nearest pixels, as a share of the picture's height."""
    smear: float = 0.01
    """Width of what edges smear, likewise."""
    flying: float = 0.15
    """Share of edge pixels that fly off."""
    gain: float = 0.08
    """Factor by which a channel drifts over the clip."""


def degraded(clip: Clip, mask: Bool, seed: int, recipe: DegradeRecipe = DegradeRecipe()) -> UInt8:  # [T, H, W, 3]
    """The clip's frames as guides made from bad depth would show them; frame 0 is as it was."""
    chance = np.random.default_rng([_STREAM, seed])
    strength = chance.uniform(0, 1, 4)
    count, height, width = clip.depth.shape
    out = np.array(clip.frames)
    near = float(np.quantile(clip.depth[0], 0.02))
    gains = 1 + recipe.gain * strength[3] * chance.uniform(-1, 1, 3)
    wave = _smooth_noise(chance, (count, 4, 4, 2))
    for t in range(1, count):
        depth = np.asarray(clip.depth[t])
        nearness = np.clip(near / depth, 0, 1)[..., None]
        field = cv2.resize(wave[t], (width, height), interpolation=cv2.INTER_CUBIC)
        shift = (recipe.wobble * strength[0] * height * field * nearness).astype(np.float32)
        edges = _edges(depth)
        frame = _shifted(out[t], shift)
        frame = _smeared(frame, edges, round(recipe.smear * strength[1] * height))
        frame = _flown(frame, edges, recipe.flying * strength[2], chance)
        share = t / max(1, count - 1)
        out[t] = np.clip(frame * (1 + (gains - 1) * share), 0, 255).astype(np.uint8)
    return np.where(mask[..., None], out, np.uint8(0))


def _smooth_noise(chance: np.random.Generator, shape: tuple[int, ...]) -> Float32:
    """Unit noise that hangs together over a few frames."""
    noise = chance.normal(size=shape).astype(np.float32)
    for t in range(1, len(noise)):
        noise[t] = 0.7 * noise[t - 1] + 0.714 * noise[t]
    return noise


def _edges(depth: Float32) -> Bool:  # [H, W]
    """Pixels beside a jump of depth."""
    inverse = (1 / depth).astype(np.float32)
    span = cv2.dilate(inverse, np.ones((3, 3), np.uint8)) - cv2.erode(inverse, np.ones((3, 3), np.uint8))
    return span > 0.1 * inverse


def _shifted(frame: UInt8, shift: Float32) -> UInt8:
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    moved = cv2.remap(
        np.ascontiguousarray(frame), columns + shift[..., 0], rows + shift[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(moved, np.uint8)


def _smeared(frame: UInt8, edges: Bool, width: int) -> UInt8:
    if width < 1:
        return frame
    wide = cv2.dilate(edges.astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0
    blurred = cv2.blur(frame, (2 * width + 1, 2 * width + 1))
    return np.where(wide[..., None], blurred, frame)


def _flown(frame: UInt8, edges: Bool, share: float, chance: np.random.Generator) -> UInt8:
    rows, columns = np.nonzero(edges & (chance.uniform(size=edges.shape) < share))
    height, width = edges.shape
    reach = max(2, height // 40)
    to_rows = np.clip(rows + chance.integers(-reach, reach + 1, len(rows)), 0, height - 1)
    to_columns = np.clip(columns + chance.integers(-reach, reach + 1, len(rows)), 0, width - 1)
    out = frame.copy()
    out[to_rows, to_columns] = frame[rows, columns]
    return out
