"""A room of a floor and a wall, filmed by a camera that moves: pictures, true depth, poses and points to track."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from small_clip import SmallClip, write_source_files

from ex4d_ground.camera_files import save_camera
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.poses import inverse, pose, so3_exp
from ex4d_ground.source_camera import SourceCamera

FLOOR_Y, WALL_Z = 1.2, 8.2
"""In the world of the first frame's camera: y is down, z forward."""


@dataclass(frozen=True)
class Room:
    """What was filmed, and what is true of it."""

    clip: SmallClip
    camera: SourceCamera


def handheld(frames: int, *, width: int, height: int, focal_px: float, zoom: float = 1.0) -> SourceCamera:
    """A hand's unrest and a step to the side; the lens grows to ``zoom`` times its length."""
    t = np.arange(frames) / 24
    waves = [np.stack([np.sin(2 * np.pi * f * t + p) - np.sin(p) for f, p in pair]).sum(0) for pair in _WAVES]
    turns = np.stack([so3_exp(0.02 * np.array(turn)) for turn in zip(*waves[:3], strict=True)])
    places = 0.05 * np.stack(waves[3:], axis=1) + np.linspace(0, 1, frames)[:, None] * (0.7, -0.1, 0.4)
    lens = Intrinsics(focal_px, focal_px, width / 2, height / 2, width, height)
    rows = np.tile((lens.fx, lens.fy, lens.cx, lens.cy), (frames, 1))
    rows[:, :2] *= np.linspace(1, zoom, frames)[:, None]
    return SourceCamera.of(pose(turns, places), rows, size=(width, height))


_WAVES = [
    [(0.5, 0.3), (1.7, 1.1)],
    [(0.4, 2.0), (2.1, 0.5)],
    [(0.7, 1.0), (1.3, 2.2)],
    [(0.6, 0.1), (2.4, 0.9)],
    [(0.5, 1.4), (1.9, 2.5)],
    [(0.3, 0.8), (1.5, 0.2)],
]


def room(frames: int = 12, width: int = 160, height: int = 120, focal_px: float = 150.0, zoom: float = 1.0) -> Room:
    """The room through :func:`handheld`: z-depth of every pixel, and a chequered picture of it."""
    camera = handheld(frames, width=width, height=height, focal_px=focal_px, zoom=zoom)
    base = _grid(frames, width, height, focal_px)
    for t in range(frames):
        fx, fy, cx, cy = camera.intrinsics[t]
        rows, columns = np.mgrid[:height, :width] + 0.5
        rays = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones_like(rows)], -1)
        turned = rays @ camera.world_from_camera[t, :3, :3].T
        eye = camera.world_from_camera[t, :3, 3]
        with np.errstate(divide="ignore"):
            floor = np.where(turned[..., 1] > 0, (FLOOR_Y - eye[1]) / turned[..., 1], np.inf)
            wall = np.where(turned[..., 2] > 0, (WALL_Z - eye[2]) / turned[..., 2], np.inf)
        base.depth[t] = np.minimum(floor, wall)
        place = eye + turned * base.depth[t][..., None]
        chequer = (np.floor(place[..., 0] * 2) + np.floor(place[..., 1] * 2) + np.floor(place[..., 2] * 2)) % 2
        base.frames[t] = (60 + 120 * chequer[..., None] + (np.sin(place * 2) + 1) * 30).clip(0, 255).astype(np.uint8)
    return Room(base, camera)


def _grid(frames: int, width: int, height: int, focal_px: float) -> SmallClip:
    grid = np.arange(height * width).reshape(height, width)
    upper = np.stack([grid[1:, :-1], grid[:-1, :-1], grid[:-1, 1:]], -1).reshape(-1, 3)
    lower = np.stack([grid[1:, :-1], grid[:-1, 1:], grid[1:, 1:]], -1).reshape(-1, 3)
    first, right, last, left = grid[0, 0], grid[0, -1], grid[-1, -1], grid[-1, 0]
    caps = np.array([[right, first, last], [last, first, left]])
    return SmallClip(
        np.zeros((frames, height, width, 3), np.uint8),
        np.empty((frames, height, width), np.float32),
        np.ones((frames, height, width), bool),
        np.concatenate([upper, lower, caps]).astype(np.int32),
        focal_px,
    )


def points_on_surfaces(count: int, seed: int = 3) -> np.ndarray:  # [count, 3] in the world
    """Places on floor and wall that the room's camera sees."""
    chance = np.random.default_rng(seed)
    floor = np.stack([chance.uniform(-2, 3, count), np.full(count, FLOOR_Y), chance.uniform(3.2, 7.5, count)], -1)
    wall = np.stack([chance.uniform(-3, 3.5, count), chance.uniform(-2, 1.1, count), np.full(count, WALL_Z)], -1)
    return np.concatenate([floor[: count // 2], wall[: count - count // 2]])


def project(camera: SourceCamera, points: np.ndarray) -> np.ndarray:  # [P, 3] -> [T, P, 2] pixels
    """Where the filming camera saw points of the world."""
    local = inverse(camera.world_from_camera) @ np.c_[points, np.ones(len(points))].T  # [T, 4, P]
    x, y, z = local[:, 0], local[:, 1], local[:, 2]
    fx, fy, cx, cy = (camera.intrinsics[:, i, None] for i in range(4))
    return np.stack([fx * x / z + cx, fy * y / z + cy], -1)


def import_filmed(blender: Any, filmed: Room, folder: Path) -> None:
    """The room as a shot of Blender's, by the backend it is connected to, ridden by the camera that filmed it."""
    video, depth = write_source_files(filmed.clip, folder / "in")
    operators = blender.ops.ex4d
    operators.import_clip(video_path=str(video), depth_path=str(depth), focal_px=filmed.clip.focal_px)
    save_camera(folder / "filmed.npz", filmed.camera.as_trajectory())
    assert operators.film_from_file(filepath=str(folder / "filmed.npz")) == {"FINISHED"}
