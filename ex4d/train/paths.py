"""Random camera paths for rendering masks, from a distribution that is written down here.

A path begins at the source camera (so the first frame is complete, as the model expects) and goes smoothly to a pose
drawn at random: an orbit around a point on the view axis, nearer or farther, through a longer or shorter lens. The
point's distance is drawn between the near end and the middle of frame 0's depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ex4d.trajectory import MoveSetup
from ex4d.types import Clip
from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.poses import pose, rotation_x, rotation_y


@dataclass(frozen=True)
class PathRecipe:
    """The distribution. Ranges are even unless said otherwise."""

    yaw_deg: float = 60.0
    """Largest turn to either side; the magnitude is drawn from a triangle with its peak at two fifths."""
    pitch_deg: float = 25.0
    nearer: float = 0.35
    """Largest share of the point's distance by which the camera comes nearer; it goes away by up to twice that."""
    zoom: float = 1.3
    """Largest factor of the focal length, and by its inverse the smallest; drawn evenly in its logarithm."""
    back_and_forth: float = 0.25
    """Share of paths that return to where they began."""
    first_frame_only: float = 0.25
    """Share of paths through the mesh of frame 0 alone, which hide what moves in the clip wherever it goes."""


@dataclass(frozen=True)
class DrawnPath:
    """A path, and its numbers for people and records."""

    trajectory: Trajectory
    yaw_deg: float
    pitch_deg: float
    nearer: float
    zoom: float
    first_frame_only: bool

    def __str__(self) -> str:
        still = ", frame 0 only" if self.first_frame_only else ""
        turn = f"yaw {self.yaw_deg:+.0f}, pitch {self.pitch_deg:+.0f}"
        return f"{turn}, nearer {self.nearer:+.2f}, zoom {self.zoom:.2f}{still}"


def random_path(clip: Clip, chance: np.random.Generator, recipe: PathRecipe = PathRecipe()) -> DrawnPath:
    """One path along ``clip``."""
    yaw = recipe.yaw_deg * chance.triangular(0.0, 0.4, 1.0) * chance.choice([-1.0, 1.0])
    pitch = float(chance.uniform(-recipe.pitch_deg, recipe.pitch_deg))
    nearer = float(chance.uniform(-2 * recipe.nearer, recipe.nearer))
    zoom = float(recipe.zoom ** chance.uniform(-1, 1))
    near, middle = np.quantile(clip.depth[0], [0.05, 0.5])
    distance = float(np.exp(chance.uniform(np.log(near), np.log(max(middle, near)))))
    share = _share(clip.num_frames, chance, returns=chance.uniform() < recipe.back_and_forth)
    first_only = bool(chance.uniform() < recipe.first_frame_only)
    times = np.zeros(clip.num_frames) if first_only else None
    setup = MoveSetup(clip.num_frames, clip.intrinsics, (0.0, 0.0, distance), source_time=times)
    target = np.array([0.0, 0.0, distance])
    turn = rotation_y(-np.radians(yaw) * share) @ rotation_x(-np.radians(pitch) * share)
    eye = target - turn @ target * (1 - nearer * share)[:, None]
    trajectory = setup.trajectory(pose(turn, eye), focal_factor=zoom**share, name="random")
    return DrawnPath(trajectory, float(yaw), pitch, nearer, zoom, first_only)


def _share(count: int, chance: np.random.Generator, *, returns: bool) -> Float64:  # [count], 0 at the start
    """How far along the path each frame is: a smooth rise with its steepest moment at random, or there and back."""
    time = np.linspace(0, 1, count)
    bent = time ** np.exp(chance.uniform(-0.5, 0.5))
    if returns:
        return np.sin(np.pi * bent) ** 2
    return bent * bent * (3 - 2 * bent)
