"""Plates with things in them: files as a plate store has them, and clips of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ex4d.clip.exr_writing import write_exr
from ex4d_ground.arrays import Float32
from ex4d_ground.colour import PRIMARIES

FRAMES, HEIGHT, WIDTH = 3, 72, 96


def smooth_light(brightest: float = 4.0) -> Float32:  # [T, H, W, 3]
    """Scene light that changes slowly, with a little below 0, and a bright lamp."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / (HEIGHT, WIDTH)[0]
    frames = []
    for i in range(FRAMES):
        ramp = 0.5 + 0.45 * np.stack([np.sin(3 * x + 0.2 * i), np.cos(4 * y), np.sin(2 * x + 3 * y)], axis=-1)
        lamp = brightest * np.exp(-40 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))[..., None]
        frames.append(ramp + lamp - 0.06)
    return np.stack(frames).astype(np.float32)


def box_depth() -> Float32:  # [T, H, W]
    """A wall with a box in front of it."""
    depth = np.full((FRAMES, HEIGHT, WIDTH), 4, np.float32)
    depth[:, 20:50, 30:66] = 2.5
    return depth


def write_plate(
    folder: Path, pixels: NDArray, *, first: int = 1001, primaries: str = "ap1", header: Mapping[str, Any] = {}
) -> Path:
    """A sequence of EXRs of [T, H, W, 3], numbered from ``first``."""
    folder.mkdir(parents=True)
    for i, frame in enumerate(pixels):
        channels = {letter: frame[..., k] for k, letter in enumerate("RGB")}
        attributes = {"chromaticities": PRIMARIES[primaries], **header}
        write_exr(folder / f"plate.{first + i:04d}.exr", channels, header=attributes)
    return folder
