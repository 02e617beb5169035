"""Clips on the wire whose camera moved or zoomed, a move past them, and servers of two minors."""

from __future__ import annotations

import msgspec
import numpy as np

from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.source_camera import SourceCamera
from ex4d_protocol import messages as m
from ex4d_protocol.requests import SourceCameraSpec, TrajectorySpec
from protocol.examples import CLIP

LENS = Intrinsics(310.0, 305.0, 150.0, 95.0, 320, 200)
replace = msgspec.structs.replace


def camera(*, zoom: bool = False) -> SourceCamera:
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 0, 3] = 0.25 * np.arange(5)
    rows = np.tile([310.0, 305.0, 150.0, 95.0], (5, 1))
    if zoom:
        rows[:, :2] *= np.linspace(1, 1.5, 5)[:, None]
    return SourceCamera(poses, rows, 320, 200, "tracked")


def move() -> TrajectorySpec:
    poses = np.tile(np.eye(4), (3, 1, 1))
    rows = np.tile([310.0, 305.0, 150.0, 95.0], (3, 1))
    return TrajectorySpec.pack(Trajectory(poses, rows, np.array([0.0, 2.0, 4.0]), 320, 200))


FILMED = replace(CLIP, source_camera=SourceCameraSpec.of(camera()))
ZOOMED = replace(CLIP, source_camera=SourceCameraSpec.of(camera(zoom=True)))
OLD = m.Welcome(session="s", data_port=1, server_id="x", major=1, minor=2)
NEW = replace(OLD, minor=3)
MOVE = move()
