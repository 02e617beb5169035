"""What live views are made of: smaller cameras, the order of a move's frames, guides as pictures."""

import cv2
import numpy as np

from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.cameras import Trajectory
from ex4d_protocol.live import GOES_ON


def scaled(trajectory: Trajectory, scale: float) -> Trajectory:
    """The same cameras with smaller pictures: each side is rounded and at least 2, the view stays the same."""
    if scale == 1.0:
        return trajectory
    width, height = (max(2, round(side * scale)) for side in (trajectory.width, trajectory.height))
    x, y = width / trajectory.width, height / trajectory.height
    k = trajectory.intrinsics * np.array([x, y, x, y])
    return Trajectory(trajectory.world_from_camera, k, trajectory.source_time, width, height, trajectory.name)


def coarse_first(count: int) -> list[int]:
    """0..count-1, every sixteenth first, then those between, so that a graph takes shape at once."""
    order: dict[int, None] = {}
    for step in (16, 8, 4, 2, 1):
        order.update(dict.fromkeys(range(0, count, step)))
    return list(order)


def rgba(colour: UInt8, mask: Bool, on_plane: Bool | None = None) -> UInt8:  # [H, W, 3], [H, W] -> [H, W, 4]
    """A guide as a picture: alpha 255 where the source is seen, :data:`GOES_ON` in holes that go on a plane."""
    alpha = mask * np.uint8(255)
    if on_plane is not None:
        alpha[on_plane] = GOES_ON
    return np.asarray(cv2.merge((colour, alpha)), np.uint8)
