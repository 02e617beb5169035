"""The texture of one surface: what the plate shows of it, and the rest made up from that."""

from typing import Any

import cv2
import numpy as np

from ex4d.engines.fill import push_pull
from ex4d.fill.lattice import Pattern, aligned, pattern_of
from ex4d_ground.arrays import Bool, Float32, Int32, UInt8

COARSE = 4
"""Texels of the texture to one of the smooth part."""
SMOOTH = 4
"""Size, in texels of the smooth part, of what counts as smooth."""
BLURRED = 24.0
"""Texels over which it is looked at how sharply a pattern is seen."""
AROUND, USUAL = 6.0, 1.0
"""Where a pattern goes on, other detail does, but where it is stronger over so many texels than so many times what is
usual, it is weakened to that: shadows, and rims of things."""
LEAST_KNOWN = 0.002
"""Share of a texture that must be seen for the rest to be made up from it."""


def completed(
    colour: UInt8,  # [T, T, 3]
    known: Bool,  # [T, T]
    *,
    level: bool = False,
    detail: bool = True,
    sharp: Bool | None = None,  # [T, T]
) -> tuple[Float32, Float32]:  # [T, T, 3], [T, T]
    """The whole texture, 0..255, and how much of each texel stands on what is seen, 0..1.

    The smooth part is carried on; the detail of the known part is mirrored at its border. Of a ``level`` texture both
    go on along its rows, as hills, trees and clouds lie along the horizon. A pattern that repeats where the texture is
    ``sharp`` (None: everywhere) goes on as such (:mod:`ex4d.fill.lattice`), and other detail in step with it. Without
    ``detail`` all of it is smooth.
    """
    whole = cv2.erode(known.view(np.uint8), np.ones((5, 5), np.uint8)).view(np.bool_)
    if whole.mean() < LEAST_KNOWN:
        return colour.astype(np.float32), np.zeros(known.shape, np.float32)
    smooth = _smooth(colour, whole, level=level)
    rest = colour.astype(np.float32) - smooth
    distance, labels = cv2.distanceTransformWithLabels(
        (~whole).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    here = _places(known.shape)
    source, usable = _mirrored(here, _nearest_in_row(here, whole) if level else _nearest(here, whole, labels), whole)
    pattern = None if level or not detail else pattern_of(rest, whole if sharp is None else whole & sharp)
    if pattern is None:
        made = np.where(usable[..., None], rest[source[..., 0], source[..., 1]], 0)
    else:
        wanted = np.where(usable[..., None], source, _nearest(here, whole, labels))
        made = _going_on(pattern, rest, whole, wanted)
    out = np.where(whole[..., None], colour, smooth + made) if detail else smooth
    trust = np.exp(-np.asarray(distance, np.float32) / max(known.shape))
    return out.clip(0, 255).astype(np.float32), trust.astype(np.float32)


def mirrored_on(colour: UInt8, known: Bool) -> UInt8:  # [T, T, 3], [T, T]
    """A texture whose unknown part mirrors the known one at its border, as far as that goes; beyond, it is smooth."""
    whole = cv2.erode(known.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
    if not whole.any():
        return colour
    _, labels = cv2.distanceTransformWithLabels((~whole).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    here = _places(known.shape)
    source, usable = _mirrored(here, _nearest(here, whole, labels), whole)
    beyond = _smooth(colour, whole, level=False).clip(0, 255).astype(np.uint8)
    return np.where(usable[..., None], colour[source[..., 0], source[..., 1]], beyond)


def _going_on(pattern: Pattern, rest: Float32, known: Bool, wanted: Int32) -> Float32:  # [T, T, 3], [T, T, 2]
    """The detail of a texture with a pattern; what else there is comes from near the ``wanted`` rows and columns."""
    repeated = pattern.at(known.shape)
    other = _beside_pattern(rest, repeated, known)
    source = aligned(pattern.vectors, wanted, known)
    return repeated + np.where(source[..., :1] >= 0, other[source[..., 0], source[..., 1]], 0)


def _places(shape: tuple[int, ...]) -> Int32:  # [T, T, 2]
    """Row and column of each texel."""
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(np.int32)


def _nearest(here: Int32, known: Bool, labels: Any) -> Int32:  # [T, T, 2]
    """Row and column of each texel's nearest known one; ``labels`` are those of a distance transform of the others."""
    label = np.asarray(labels, np.int32)
    place = np.zeros((int(label.max()) + 1, 2), np.int32)
    place[label[known]] = here[known]
    return place[label]


def _nearest_in_row(here: Int32, known: Bool) -> Int32:  # [T, T, 2]
    left, right = _beside(known)
    columns = here[..., 1]
    near = np.where((left >= 0) & ((right < 0) | (columns - left < right - columns)), left, right)
    return np.dstack([here[..., 0], near])


def _mirrored(here: Int32, nearest: Int32, known: Bool) -> tuple[Int32, Bool]:  # [T, T, 2], [T, T]
    """Each texel's place mirrored at the nearest known one, and whether that is known."""
    size = np.array(known.shape, np.int32)
    source = 2 * nearest - here
    inside = ((source >= 0) & (source < size)).all(axis=-1)
    source = source.clip(0, size - 1)
    return source, inside & known[source[..., 0], source[..., 1]]


def _beside_pattern(rest: Float32, pattern: Float32, known: Bool) -> Float32:  # [T, T, 3]
    """What the known detail holds beside what repeats, however blurred that is, and nowhere stronger than usual."""
    inside = known.astype(np.float32)[..., None]
    alike = cv2.GaussianBlur((rest * pattern * inside).mean(axis=2), (0, 0), BLURRED)
    power = cv2.GaussianBlur((pattern * pattern * inside).mean(axis=2), (0, 0), BLURRED)
    share = (alike / np.maximum(power, 1e-3)).clip(0, 1)[..., None]
    out = (rest - share * pattern) * inside
    size = cv2.GaussianBlur(np.abs(out).mean(axis=2), (0, 0), AROUND)
    most = USUAL * float(np.median(size[known]))
    return (out * np.minimum(1, most / np.maximum(size, 1e-3))[..., None]).astype(np.float32)


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
