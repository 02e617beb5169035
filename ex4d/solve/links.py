"""What is known of how two cameras stand to each other, beside the points that both see, as bundle adjustment takes it.

Turns and shifts are in the order of :mod:`ex4d.solve.bundle`: a camera's first six unknowns, turn then shift, applied
after its pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ex4d_ground.arrays import Float64, Int64
from ex4d_ground.poses import inverse, se3_log

TWIST = 6


@dataclass(frozen=True)
class Link:
    """One camera's pose in another's axes, as measured."""

    first: int
    second: int
    pose: Float64  # [4, 4] axes of the first from those of the second
    information: Float64  # [6, 6] of a turn and shift in the first's axes, after the pose
    points: float
    """How many measurements it rests on: where it is off by more than they usually are, it counts little (Cauchy)."""


def cost(links: Sequence[Link], camera_from_world: Float64) -> float:  # [T, 4, 4]
    """What the links add to the sum that is made least."""
    total = 0.0
    for link in links:
        off = _off(link, camera_from_world)
        total += 0.5 * link.points * float(np.log1p(off @ link.information @ off / link.points))
    return total


def add_links(
    links: Sequence[Link],
    camera_from_world: Float64,  # [T, 4, 4]
    at: Int64,  # [T] where a frame's unknowns begin
    matrix: Float64,  # [N, N] added to
    right: Float64,  # [N] added to
) -> None:
    """Add the links' normal equations."""
    for link in links:
        i, j = int(at[link.first]), int(at[link.second])
        off, carried = _off(link, camera_from_world), _carried(link.pose)
        weight = link.information / (1 + off @ link.information @ off / link.points)
        first, second = slice(i, i + TWIST), slice(j, j + TWIST)
        matrix[first, first] += weight
        matrix[second, second] += carried.T @ weight @ carried
        matrix[first, second] -= weight @ carried
        matrix[second, first] -= carried.T @ weight
        right[first] += weight @ off
        right[second] -= carried.T @ weight @ off


def _off(link: Link, camera_from_world: Float64) -> Float64:  # [6]
    """Turn and shift, in the first's axes, that lead from the link's pose to that of the cameras."""
    now = camera_from_world[link.first] @ inverse(camera_from_world[link.second])
    return np.roll(se3_log(now @ inverse(link.pose)), TWIST // 2)


def _carried(pose: Float64) -> Float64:  # [4, 4] -> [6, 6]
    """What brings a turn and shift of the second camera into the first's axes (the adjoint)."""
    turn, (x, y, z) = pose[:3, :3], pose[:3, 3]
    out = np.zeros((TWIST, TWIST))
    out[:3, :3] = out[3:, 3:] = turn
    out[3:, :3] = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ turn
    return out
