"""Names of planes by which people tell them apart: what a plane is, and, where there are several, where it is.

A wall that was found twice is one plane. Before there were names by place, planes of one direction were numbered: the
largest had the plain name. What was kept under such a name, or under the equation of a plane that is now another one's
part, means that plane still, or is no plane's: no name is given to another plane than had it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ex4d.fill.planes import BEYOND, Plane, Samples
from ex4d_ground.arrays import Bool, Float64

LEVEL, SIDEWAYS = 0.7, 0.7
"""How much of a floor's normal points down, and of a side wall's to the side."""
PARALLEL_DEG = 15.0
"""Angle within which planes may be one wall."""
APART = 0.05
"""Radians between what is seen of two planes, or share of their distance, for a word to tell them apart."""
WORDS = {"r": ("left", "middle", "right"), "d": ("upper", "middle", "lower"), "f": ("near", "middle", "far")}
"""For places to the right, down and far."""


def named(found: Sequence[Plane], samples: Samples, down: Float64) -> list[Plane]:
    """``found``, the largest first, each wall once and with a name of its own; what else is of a wall is its parts."""
    kinds = [direction(plane.normal, down) for plane in found]
    of = _same_walls(found, samples)
    kept = [i for i, larger in enumerate(of) if larger == i]
    names: dict[int, str] = {}
    for kind in dict.fromkeys(kinds):
        group = [i for i, each in enumerate(kinds) if each == kind]
        left = [i for i in group if i in kept]
        if left == group[:1]:
            names[left[0]] = kind
            continue
        told = left if len(left) > 1 else group  # with those that are others' parts now, whose plain name nobody gets
        names |= zip(told, _told_apart(kind, [_Seen.of(found[i], samples, down) for i in told]), strict=True)
    planes = []
    for i in kept:
        parts = tuple(part for part, larger in zip(found, of, strict=True) if larger == i and part is not found[i])
        share = found[i].share + sum(part.share for part in parts)
        planes.append(replace(found[i], name=names[i], parts=parts, share=share))
    return planes


def added_names(planes: Sequence[Plane], down: Float64) -> list[Plane]:
    """Planes that a person added, with names that no plane has that was found."""
    names: list[str] = []
    for plane in planes:
        names.append(_numbered(f"added {direction(plane.normal, down)}", names))
    return [replace(plane, name=name) for plane, name in zip(planes, names, strict=True)]


def direction(normal: Float64, down: Float64) -> str:
    """Of a normal that points away from the camera, in its axes."""
    if abs(normal @ down) > LEVEL:
        return "floor" if normal @ down > 0 else "ceiling"
    if abs(normal[0]) > SIDEWAYS:
        return "right wall" if normal[0] > 0 else "left wall"
    return "back wall"


def _same_walls(found: Sequence[Plane], samples: Samples) -> list[int]:
    """For each plane the first that is the same wall, itself if none is.

    They are nearly parallel, and what shows the smaller one lies so near the larger one that it is not beyond it.
    """
    out: list[int] = []
    for i, plane in enumerate(found):
        on = _shows(plane, samples)
        same = i
        for j in range(i):
            near = np.median(np.abs(samples.rays[on] @ found[j].slope / samples.values[on] - 1)) if on.any() else np.inf
            parallel = found[j].normal @ plane.normal > np.cos(np.radians(PARALLEL_DEG))
            if out[j] == j and parallel and near < BEYOND:
                same = j
                break
        out.append(same)
    return out


def _shows(plane: Plane, samples: Samples) -> Bool:  # [n]
    return np.abs(samples.rays @ plane.slope - samples.values) <= plane.tolerance * samples.values


@dataclass(frozen=True)
class _Seen:
    """Where a plane is seen. The differences between two of them are in radians, or shares of a distance."""

    right: float
    down: float
    """Of floors and ceilings how far below the camera they are, of walls how far below the horizon they are seen."""
    far: float

    @staticmethod
    def of(plane: Plane, samples: Samples, down: Float64) -> "_Seen":
        """Medians over what shows it."""
        on = _shows(plane, samples)
        rays, values = samples.rays[on], samples.values[on]
        length = np.linalg.norm(rays, axis=1)
        level = abs(plane.normal @ down) > LEVEL
        return _Seen(
            right=float(np.median(np.arctan2(rays[:, 0], rays[:, 2]))),
            down=float(
                np.sign(plane.normal @ down) * np.log(plane.distance)
                if level
                else np.median(np.arcsin(np.clip(rays @ down / length, -1, 1)))
            ),
            far=float(np.median(np.log(length / values))),
        )


def _told_apart(kind: str, seen: Sequence[_Seen]) -> list[str]:
    """Names of planes of one kind, by their places along the first axis that tells them apart, else the best one."""
    axes = {"floor": "drf", "ceiling": "drf", "back wall": "rdf"}.get(kind, "fd")
    places = {"r": [each.right for each in seen], "d": [each.down for each in seen], "f": [each.far for each in seen]}
    gaps = {axis: float(np.diff(sorted(places[axis])).min()) for axis in axes}
    axis = next((axis for axis in axes if gaps[axis] > APART), max(axes, key=lambda axis: gaps[axis]))
    first, middle, last = WORDS[axis]
    order, names = np.argsort(places[axis], kind="stable"), [""] * len(seen)
    for rank, i in enumerate(order):
        word = first if rank == 0 else last if rank == len(seen) - 1 else middle
        names[i] = _numbered(f"{word} {kind}", names)
    return names


def _numbered(name: str, taken: Sequence[str]) -> str:
    """The name, with a number where it is taken."""
    count, out = 1, name
    while out in taken:
        count += 1
        out = f"{name} {count}"
    return out
