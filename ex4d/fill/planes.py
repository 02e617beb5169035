"""The bounding planes of a place: floor, ceiling, walls, beyond which hardly anything is seen.

A plane's inverse depth is linear in the picture, so planes are found there: three points of a neighbourhood make a
guess, and the guess that most pixels lie on and hardly any beyond is kept (Fischler and Bolles 1981). What lies on it
is taken away, and the next one is looked for.
"""

from dataclasses import dataclass

import numpy as np

from ex4d_ground.arrays import Bool, Float32, Float64
from ex4d_ground.planes import Texture

MOST_PLANES = 5
GUESSES = 400
"""Guesses for each plane."""
SAMPLES = 6000
"""Pixels that are looked at."""
SAME = 0.03
"""Share of the inverse depth by which pixels of a plane may miss it."""
BEYOND = 0.08
"""Share of it from which on a pixel lies beyond the plane."""
MOST_BEYOND = 0.06
"""Share of the pixels before which the plane stands that may lie beyond: openings, mirrors."""
LEAST_SHARE = 0.03
"""Share of the picture that must lie on a plane."""
FAR = 4.0
"""Planes as many times as far away as what stands before the camera are no planes, but a backdrop."""
NEARNESS = 0.3
"""Quantile of the depths that says how far away that is."""
TOLERANCE = (0.008, 0.05)
"""Bounds of the share of the inverse depth within which what is seen is taken for a plane's own surface."""
_SEED = 3


@dataclass(frozen=True)
class Plane:
    """A plane by its inverse depth: ``slope @ (x, y, 1)`` where x and y are the ray's at depth 1."""

    slope: Float64  # [3]
    share: float
    """Of the picture's pixels lie on it."""
    tolerance: float
    """Share of the inverse depth within which what is seen is its own surface, by how well what lies on it does."""
    name: str = ""
    texture: Texture = "clip"
    added: bool = False
    """Whether a person added it (:mod:`ex4d.fill.edited`)."""
    parts: tuple["Plane", ...] = ()
    """Smaller ones that were found of the same wall (:mod:`ex4d.fill.names`)."""

    @property
    def normal(self) -> Float64:  # [3]
        """Of length one; points of the plane have ``normal @ point == distance``."""
        return self.slope / np.linalg.norm(self.slope)

    @property
    def distance(self) -> float:
        """From the source camera's centre."""
        return float(1 / np.linalg.norm(self.slope))

    def shown(self, inverse: Float32, x: Float32, y: Float32) -> Bool:  # [H, W], [1, W], [H, 1]
        """Where a picture of 1 / z shows the plane itself, or a part of it."""
        on = np.abs(self.inverse(x, y) - inverse) <= self.tolerance * inverse
        for part in self.parts:
            on |= part.shown(inverse, x, y)
        return on

    def inverse(self, x: Float32, y: Float32) -> Float32:
        """1 / z along rays; zero or less where the plane is not met."""
        return (self.slope[0] * x + self.slope[1] * y + self.slope[2]).astype(np.float32)


@dataclass(frozen=True)
class Samples:
    """The pixels of a picture of 1 / z that are looked at."""

    rays: Float64  # [n, 3] with a z of 1
    values: Float64  # [n] 1 / z
    grid: tuple[int, ...]
    """How many rows and columns they are of."""

    @staticmethod
    def of(inverse: Float32, lens: Float64) -> "Samples":  # [H, W], [4]
        """Those of a picture."""
        height, width = inverse.shape
        step = max(1, int(np.sqrt(height * width / SAMPLES)))
        rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step]
        x, y = (columns + 0.5 - lens[2]) / lens[0], (rows + 0.5 - lens[3]) / lens[1]
        rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
        return Samples(rays, inverse[rows, columns].reshape(-1).astype(np.float64), rows.shape)


def find_planes(samples: Samples) -> list[Plane]:
    """The bounding planes of what a picture shows, the largest first."""
    rays, values, grid = samples.rays, samples.values, samples.grid
    free, found, rng = np.ones(len(values), np.bool_), [], np.random.default_rng(_SEED)
    while len(found) < MOST_PLANES and free.mean() > LEAST_SHARE:
        plane = _best(rays, values, free, grid, rng)
        if plane is None:
            break
        found.append(plane)
        free &= ~_on(rays @ plane.slope, values)
    usual = 1 / float(np.quantile(values, 1 - NEARNESS))
    return [plane for plane in found if plane.distance < FAR * usual]


def _tolerance(missed: float) -> float:
    return float(np.clip(4 * missed, *TOLERANCE))


def added_plane(samples: Samples, slope: Float64) -> Plane:  # [3]
    """The plane of that slope, whatever lies on it and beyond."""
    there = samples.rays @ slope
    on = _on(there, samples.values)
    missed = float(np.median(np.abs(there[on] / samples.values[on] - 1))) if on.any() else 0.0
    return Plane(slope, float(on.mean()), _tolerance(missed))


def _best(rays: Float64, values: Float64, free: Bool, grid: tuple[int, ...], rng: np.random.Generator) -> Plane | None:
    most, chosen = LEAST_SHARE * len(values), None
    candidates = np.flatnonzero(free)
    reach = max(2, min(grid) // 6)
    for _ in range(GUESSES):
        corner = rng.choice(candidates)
        near = np.array([corner // grid[1], corner % grid[1]]) + rng.integers(-reach, reach + 1, (2, 2))
        if (near < 0).any() or (near >= np.array(grid)).any():
            continue
        three = [corner, *(near[:, 0] * grid[1] + near[:, 1])]
        if not free[three].all() or abs(np.linalg.det(rays[three])) < 1e-6:
            continue
        slope = np.linalg.solve(rays[three], values[three])
        count = _judge(rays, values, free, slope)
        if count > most:
            most, chosen = count, slope
    if chosen is None:
        return None
    for _ in range(3):
        on = free & _on(rays @ chosen, values)
        weights = 1 / values[on]  # the miss counts as a share of the inverse depth
        chosen = np.linalg.lstsq(rays[on] * weights[:, None], values[on] * weights, rcond=None)[0]
    count = _judge(rays, values, free, chosen)
    if count <= LEAST_SHARE * len(values):
        return None
    there = rays @ chosen
    on = free & _on(there, values)
    missed = float(np.median(np.abs(there[on] / values[on] - 1)))
    return Plane(chosen, count / len(values), _tolerance(missed))


def _judge(rays: Float64, values: Float64, free: Bool, slope: Float64) -> float:
    """How many pixels lie on a plane; none where it bounds nothing."""
    there = rays @ slope
    on, met = _on(there, values), there > 0
    beyond = met & (values < (1 - BEYOND) * there)
    if beyond.sum() > MOST_BEYOND * max(met.sum(), 1):
        return 0.0
    return float((on & free).sum())


def _on(there: Float64, values: Float64) -> Bool:
    return np.abs(there - values) <= SAME * values
