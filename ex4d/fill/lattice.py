"""Floors of tiles, walls of bricks: textures that repeat along two vectors, so that what is not seen of them is known.

What repeats is looked for where it is seen sharply, in the autocorrelation of the detail (by Fourier transforms, with
the mask's own taken into account: Padfield 2012). Of pairs of its peaks those are tried on whose whole grid it is high,
and one is believed if every other cell foretells those between. One cell, the median of all, then stands for each: what
is not everywhere, such as a shadow, is not in it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d_ground.arrays import Bool, Float32, Float64, Int32

LEAST_SEEN = 0.02
"""Share of the texture that must be seen sharply: of less, jagged outlines pass for a pattern."""
COARSE = 2
"""Texels to one place of the autocorrelation, along either side."""
FINE = 2.0
"""Size, in such places, of what is too smooth to count as detail."""
CLIP = 2.0
"""Detail is cut at as many times its usual size: edges of shadows would drown what repeats."""
OVERLAP = 0.15
"""Share of the known part that must lie on itself where it is moved."""
SHORTEST, LONGEST = 7, 0.2
"""Bounds of the vectors: in places, and as a share of the texture's side."""
PEAK, PEAKS = 0.1, 32
"""How high a peak must be, and how many are tried, the highest first."""
UPRIGHT = 0.35
"""Sine of the least angle between the vectors."""
REACH = 0.3
"""Share of the texture's side up to which the grid is looked at."""
LEAST_POINTS = 8
"""Points of the grid that must be known."""
AS_GOOD = 0.9
"""Share of the best grid's correlation from which on one of smaller cells is taken instead."""
LEAST = 0.4
"""Correlation from which on it is believed that what one cell shows comes again in others."""
TRIED = 5
"""Grids that are looked at more closely."""
AROUND = 2
"""Cells around a place within which a known one is looked for."""
LEAST_CELLS = 3
"""Cells that must show a place of the pattern."""


@dataclass(frozen=True)
class Pattern:
    """What repeats."""

    vectors: Float64  # [2, 2] x, y in texels of either
    cell: Float32  # [h, w, 3] detail over one cell: rows along the second vector, columns along the first

    def at(self, shape: tuple[int, ...]) -> Float32:  # [T, T, 3]
        """It over a whole texture."""
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        rows, columns = _bins(self.vectors, x, y, self.cell.shape)
        return self.cell[rows, columns]


def pattern_of(detail: Float32, sharp: Bool) -> Pattern | None:  # [T, T, 3], [T, T]
    """What repeats in the detail of what is seen sharply; None where one half of it does not foretell the other."""
    found = _autocorrelation(detail, sharp) if sharp.mean() >= LEAST_SEEN else None
    if found is None:
        return None
    fine = (detail - cv2.GaussianBlur(detail, (0, 0), COARSE * FINE))[sharp]
    y, x = (each.astype(np.float32) for each in np.nonzero(sharp))
    told: list[tuple[float, Float64]] = []
    for vectors in _grids(found):
        vectors = COARSE * _refined(found, _refined(found, vectors, 0.5), 1.0)
        told.append((_foretold(fine, x, y, vectors), vectors))
    best = max((each for each, _ in told), default=0.0)
    if best < LEAST:
        return None
    good = [vectors for each, vectors in told if each >= AS_GOOD * best]
    chosen = min(good, key=lambda vectors: abs(float(np.linalg.det(vectors))))
    return Pattern(chosen, _folded(detail[sharp], x, y, chosen))


def _grids(found: Float32) -> list[Float64]:
    """Pairs of peaks on whose grids the autocorrelation is highest, the highest first."""
    peaks = _peaks(found)
    tried: list[tuple[float, Float64]] = []
    for i, a in enumerate(peaks):
        for b in peaks[i + 1 :]:
            cross = abs(float(a[0] * b[1] - a[1] * b[0]))
            if cross >= UPRIGHT * np.linalg.norm(a) * np.linalg.norm(b):
                tried.append((_height(found, np.array([a, b])), np.array([a, b])))
    out: list[Float64] = []
    for height, vectors in sorted(tried, key=lambda each: -each[0]):
        shortest = _shortest(vectors)
        if height > 0 and len(out) < TRIED and not any(_same_grid(shortest, other) for other in out):
            out.append(shortest)
    return out


def _same_grid(one: Float64, other: Float64) -> bool:
    """Whether the vectors of one lie on the other, and their cells are as large."""
    numbers = one @ np.linalg.inv(other)
    return bool(np.abs(numbers - np.round(numbers)).max() < 0.1 and abs(abs(np.linalg.det(numbers)) - 1) < 0.2)


def _shortest(vectors: Float64) -> Float64:
    """The shortest two vectors of the same grid (Lagrange)."""
    a, b = sorted(vectors, key=lambda v: float(v @ v))
    while True:
        b = b - round(float(a @ b) / float(a @ a)) * a
        if b @ b >= a @ a:
            break
        a, b = b, a
    return np.array([a, b])


def _bins(vectors: Float64, x: Float32, y: Float32, cell: tuple[int, ...]) -> tuple[Int32, Int32]:
    """Row and column of a cell [h, w] for texels."""
    back = np.linalg.inv(vectors).astype(np.float32)
    place = [x * back[0, k] + y * back[1, k] for k in (0, 1)]
    columns, rows = (
        ((each - np.floor(each)) * size).astype(np.int32) for each, size in zip(place, cell[1::-1], strict=True)
    )
    return np.minimum(rows, cell[0] - 1), np.minimum(columns, cell[1] - 1)


def _size(vectors: Float64) -> tuple[int, int]:
    """Rows and columns of a cell."""
    across, along = np.linalg.norm(vectors, axis=1)
    return max(1, round(float(along))), max(1, round(float(across)))


def _folded(values: Float32, x: Float32, y: Float32, vectors: Float64) -> Float32:  # [n, 3], [n] -> [h, w, 3]
    """Medians over the cells; 0 where nothing is known. Shadows and what else is not everywhere are gone by it."""
    height, width = _size(vectors)
    rows, columns = _bins(vectors, x, y, (height, width))
    bins = rows * width + columns
    count = np.bincount(bins, minlength=height * width)
    middle = np.minimum(np.cumsum(count) - count + count // 2, len(bins) - 1)
    cell = np.zeros((height * width, 3), np.float32)
    for channel in range(3):
        cell[:, channel] = values[np.lexsort((values[:, channel], bins)), channel][middle]
    cell[count < LEAST_CELLS] = 0
    return cell.reshape(height, width, 3)


def _foretold(values: Float32, x: Float32, y: Float32, vectors: Float64) -> float:  # [n, 3], [n]
    """How well every other cell foretells those between, as a correlation."""
    back = np.linalg.inv(vectors)
    numbers = [np.floor(x * np.float32(back[0, k]) + y * np.float32(back[1, k])) for k in (0, 1)]
    even = (numbers[0] + numbers[1]) % 2 == 0
    odd = ~even
    if not even.any() or not odd.any():
        return 0.0
    cell = _folded(values[even], x[even], y[even], vectors).mean(axis=2)
    rows, columns = _bins(vectors, x[odd], y[odd], cell.shape)
    told, there = cell[rows, columns], values[odd].mean(axis=1)
    usual = CLIP * 1.5 * float(np.median(np.abs(there)))
    there = there.clip(-usual, usual)
    return float((told * there).mean() / np.sqrt((told**2).mean() * (there**2).mean() + 1e-9))


def _autocorrelation(detail: Float32, known: Bool) -> Float32 | None:  # [2 * n, 2 * n] its middle for no shift
    size = (known.shape[1] // COARSE, known.shape[0] // COARSE)
    weight = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    grey = cv2.resize(detail.mean(axis=2) * known, size, interpolation=cv2.INTER_AREA)
    usual = cv2.GaussianBlur(grey, (0, 0), FINE) / np.maximum(cv2.GaussianBlur(weight, (0, 0), FINE), 1e-3)
    whole = (weight > 0.99).astype(np.float32)
    fine = (grey - usual) * whole
    if not whole.any():
        return None
    most = CLIP * 1.5 * float(np.median(np.abs(fine[whole > 0])))
    fine = fine.clip(-most, most)
    shape = (2 * size[1], 2 * size[0])
    d, w, square = (np.fft.rfft2(each, shape) for each in (fine, whole, fine * fine))
    both, count, own, other = (
        np.fft.irfft2(each, shape) for each in (d * d.conj(), w * w.conj(), square * w.conj(), w * square.conj())
    )
    out = both / np.sqrt(np.maximum(own * other, 1e-3))
    out[count < OVERLAP * whole.sum()] = np.nan
    return np.fft.fftshift(out).astype(np.float32)


def _peaks(found: Float32) -> Float64:  # [k, 2] x, y from the middle, of one half
    middle = len(found) // 2
    values = np.nan_to_num(found, nan=-1.0)
    y, x = np.nonzero((values == cv2.dilate(values, np.ones((7, 7)))) & (values > PEAK))
    at = np.stack([x - middle, y - middle], axis=1)
    length = np.linalg.norm(at, axis=1)
    half = (at[:, 1] > 0) | ((at[:, 1] == 0) & (at[:, 0] > 0))
    at = at[half & (length >= SHORTEST) & (length <= LONGEST * middle)]
    order = np.argsort(-values[at[:, 1] + middle, at[:, 0] + middle], kind="stable")
    return at[order[:PEAKS]].astype(np.float64)


def _grid(vectors: Float64, reach: float) -> tuple[Int32, Float64]:
    """Numbers [n, 2] and places [n, 2] of a grid's points within ``reach``, of one half, the middle left out."""
    most = int(reach / min(np.linalg.norm(vectors, axis=1))) + 2
    i, j = np.meshgrid(np.arange(-most, most + 1), np.arange(0, most + 1))
    numbers = np.stack([i.ravel(), j.ravel()], axis=1)
    numbers = numbers[(numbers[:, 1] > 0) | (numbers[:, 0] > 0)]
    places = numbers @ vectors
    near = np.linalg.norm(places, axis=1) <= reach
    return numbers[near].astype(np.int32), places[near]


def _values(found: Float32, places: Float64) -> Float32:  # [n, 2] -> [n]
    middle = len(found) // 2
    x, y = (places[:, k].astype(np.float32)[None] + middle for k in (0, 1))
    values = cv2.remap(found, x, y, cv2.INTER_LINEAR, borderValue=(np.nan,))
    return np.asarray(values, np.float32)[0]


def _height(found: Float32, vectors: Float64) -> float:
    """How much higher the autocorrelation is at a grid's points than between them; 0 where few are known."""
    _, places = _grid(vectors, REACH * len(found) / 2)
    at = _values(found, places)
    known = np.isfinite(at)
    if known.sum() < LEAST_POINTS:
        return 0.0
    between = _values(found, places + 0.5 * vectors.sum(axis=0))
    return float(at[known].mean() - np.nanmean(between)) if np.isfinite(between).any() else 0.0


def _refined(found: Float32, vectors: Float64, share: float) -> Float64:
    """The vectors that fit the peaks beside a grid's points best, of those up to a share of its reach."""
    numbers, places = _grid(vectors, share * REACH * len(found) / 2)
    steps = np.arange(-2, 3)
    around = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    values = np.stack([_values(found, places + step) for step in around], axis=1)
    good = np.isfinite(values).all(axis=1) & (values.max(axis=1) > PEAK)
    if good.sum() < LEAST_POINTS // 2:
        return vectors
    peaks = places[good] + around[values[good].argmax(axis=1)]
    weight = values[good].max(axis=1)[:, None]
    out = np.linalg.lstsq(numbers[good] * weight, peaks * weight, rcond=None)[0]
    return out if np.abs(out - vectors).max() < 2 else vectors


def aligned(vectors: Float64, source: Int32, known: Bool) -> Int32:  # [2, 2], [T, T, 2], [T, T] -> [T, T, 2]
    """Rows and columns near ``source`` that are known and whole cells away from each texel; -1 where none is.

    Those of known texels are -1, too.
    """
    out = np.full(source.shape, -1, np.int32)
    places = np.argwhere(~known)
    cell = vectors[:, ::-1]  # rows, columns
    wanted = source[places[:, 0], places[:, 1]]
    numbers = np.round((places - wanted) @ np.linalg.inv(cell))
    steps = np.array([(i, j) for i in range(-AROUND, AROUND + 1) for j in range(-AROUND, AROUND + 1)])
    for step in steps[np.argsort(np.linalg.norm(steps @ cell, axis=1), kind="stable")]:
        near = np.round(places - (numbers + step) @ cell).astype(np.int32)
        met = ((near >= 0) & (near < known.shape)).all(axis=1)
        met[met] = known[near[met, 0], near[met, 1]]
        out[places[met, 0], places[met, 1]] = near[met]
        places, numbers = places[~met], numbers[~met]
    return out
