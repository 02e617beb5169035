"""A ray caster that cannot slip between triangles, as an independent judge of meshes and rasterizers."""

from __future__ import annotations

import numpy as np

from ex4d_ground.arrays import Float64


def crossings(
    origins: Float64, directions: Float64, corners: Float64, chunk: int = 256
) -> tuple[Float64, np.ndarray, Float64]:
    """Nearest hit distance [R] (inf: none), its face [R], and the number of faces crossed [R].

    ``corners`` is [F, 3, 3]. After a shear that turns the ray into the z axis, a triangle is hit when its three 2D
    edge functions share a sign. Two faces that share an edge compute the same products with opposite signs, so a ray
    near the edge hits one of them whatever the rounding; a ray exactly on it (an edge function of 0) hits both.
    """
    distance, face, count = [], [], []
    for start in range(0, len(origins), chunk):
        o, d = origins[start : start + chunk], directions[start : start + chunk]
        axis = np.abs(d).argmax(axis=1)
        order = (axis[:, None] + [1, 2, 0]) % 3  # the ray's main axis last
        o, d = np.take_along_axis(o, order, 1), np.take_along_axis(d, order, 1)
        p = corners.transpose(2, 0, 1)[order] - o[:, :, None, None]  # [R, 3, F, 3]
        x = p[:, 0] - (d[:, 0] / d[:, 2])[:, None, None] * p[:, 2]  # [R, F, 3]
        y = p[:, 1] - (d[:, 1] / d[:, 2])[:, None, None] * p[:, 2]
        xn, yn = np.roll(x, -1, axis=2), np.roll(y, -1, axis=2)
        edge = x * yn - xn * y  # opposite corner 2, 0, 1
        weight = np.roll(edge, -1, axis=2)
        total = weight.sum(axis=2)
        inside = ((edge >= 0).all(axis=2) | (edge <= 0).all(axis=2)) & (total != 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (weight * p[:, 2]).sum(axis=2) / total / d[:, 2, None]
        hit = inside & (along > 0)
        along = np.where(hit, along, np.inf)
        distance.append(along.min(axis=1))
        face.append(along.argmin(axis=1))
        count.append(hit.sum(axis=1))
    return np.concatenate(distance), np.concatenate(face), np.concatenate(count)
