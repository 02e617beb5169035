"""The texture of one surface: what the plate shows of it, and the rest made up from that."""

import cv2
import numpy as np

from ex4d.engines.fill import push_pull
from ex4d_ground.arrays import Bool, Float32, Int32, UInt8

COARSE = 4
"""Texels of the texture to one of the smooth part."""
SMOOTH = 4
"""Size, in texels of the smooth part, of what counts as smooth."""
LEAST_KNOWN = 0.002
"""Share of a texture that must be seen for the rest to be made up from it."""


def completed(
    colour: UInt8,  # [T, T, 3]
    known: Bool,  # [T, T]
    *,
    level: bool = False,
    detail: bool = True,
) -> tuple[Float32, Float32]:  # [T, T, 3], [T, T]
    """The whole texture, 0..255, and how much of each texel stands on what is seen, 0..1.

    The smooth part is carried on; the detail of the known part is mirrored at its border. Of a ``level`` texture both
    go on along its rows, as hills, trees and clouds lie along the horizon. Without ``detail`` all of it is smooth.
    """
    whole = cv2.erode(known.view(np.uint8), np.ones((5, 5), np.uint8)).view(np.bool_)
    if whole.mean() < LEAST_KNOWN:
        return colour.astype(np.float32), np.zeros(known.shape, np.float32)
    smooth = _smooth(colour, whole, level=level)
    rest = colour.astype(np.float32) - smooth
    distance, labels = cv2.distanceTransformWithLabels(
        (~whole).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    size = np.array(known.shape, np.int32)
    here = np.stack(np.meshgrid(*map(np.arange, known.shape), indexing="ij"), axis=-1).astype(np.int32)  # [T, T, 2]
    if level:
        left, right = _beside(whole)
        columns = here[..., 1]
        near = np.where((left >= 0) & ((right < 0) | (columns - left < right - columns)), left, right)
        nearest = np.dstack([here[..., 0], near])
    else:
        label = np.asarray(labels, np.int32)
        place = np.zeros((int(label.max()) + 1, 2), np.int32)
        place[label[whole]] = here[whole]
        nearest = place[label]
    source = 2 * nearest - here
    inside = ((source >= 0) & (source < size)).all(axis=-1)
    source = source.clip(0, size - 1)
    usable = inside & whole[source[..., 0], source[..., 1]]
    made = np.where(usable[..., None], rest[source[..., 0], source[..., 1]], 0)
    out = np.where(whole[..., None], colour, smooth + made) if detail else smooth
    trust = np.exp(-np.asarray(distance, np.float32) / size.max())
    return out.clip(0, 255).astype(np.float32), trust.astype(np.float32)


def _beside(known: Bool) -> tuple[Int32, Int32]:  # [T, T]
    """The nearest known column to the left and to the right in each texel's row, its own where known; -1 for none."""
    columns = np.arange(known.shape[1], dtype=np.int32)
    left = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    beyond = known.shape[1]
    right = np.minimum.accumulate(np.where(known, columns, beyond)[:, ::-1], axis=1)[:, ::-1]
    return left.astype(np.int32), np.where(right < beyond, right, -1).astype(np.int32)


def _along_rows(values: Float32, weight: Float32) -> None:  # [h, w, 4], [h, w]
    """Carry values on along their rows, between two known ones by their distances; changed in place, as are weights."""
    known = weight >= 1
    left, right = _beside(known)
    columns = np.arange(known.shape[1])
    parts = [np.where(at >= 0, 1 / (np.abs(at - columns) + 1.0), 0).astype(np.float32) for at in (left, right)]
    rows = np.arange(len(known))[:, None]
    total = np.maximum(parts[0] + parts[1], 1e-9)[..., None]
    carried = (parts[0][..., None] * values[rows, left] + parts[1][..., None] * values[rows, right]) / total
    met = known.any(axis=1)
    values[met] += (1 - weight[met, :, None]) * (carried[met] - values[met])
    weight[met] = 1


def _smooth(colour: UInt8, known: Bool, *, level: bool) -> Float32:  # [T, T, 3]
    height, width = known.shape
    size = (max(width // COARSE, 1), max(height // COARSE, 1))
    sums = np.dstack([colour * known[..., None].astype(np.float32), known.astype(np.float32)])
    sums = cv2.resize(sums, size, interpolation=cv2.INTER_AREA)
    sums = cv2.GaussianBlur(sums, (0, 0), SMOOTH, borderType=cv2.BORDER_REPLICATE)
    weight = np.minimum(1, 4 * sums[..., 3]).astype(np.float32)
    values = np.zeros((*weight.shape, 4), np.float32)
    values[..., :3] = sums[..., :3] / np.maximum(sums[..., 3:], 1e-6)
    if level:
        _along_rows(values, weight)
    push_pull(values, weight)
    return np.asarray(cv2.resize(values[..., :3], (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def with_smaller(texture: UInt8) -> UInt8:  # [T, T, 4] -> [T, 2 * T, 4]
    """The texture, and beside it a column of itself at half the size, a quarter, and so on."""
    size = len(texture)
    out = np.zeros((size, 2 * size, 4), np.uint8)
    out[:, :size] = texture
    top, level = 0, texture
    while len(level) > 8:
        level = cv2.resize(level, (len(level) // 2,) * 2, interpolation=cv2.INTER_AREA)
        out[top : top + len(level), size : size + len(level)] = level
        top += len(level)
    return out
