"""An analytic scene: a smooth wall at depth 10 and a square card at depth 4, seen by cameras that move and turn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ex4d.eval import save_scene_info, save_view
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics, Trajectory

WALL, CARD, HALF = 10.0, 4.0, 0.8


@dataclass(frozen=True)
class View:
    """What a camera at ``position`` (looking along +z) sees of the scene."""

    frames: np.ndarray
    depth: np.ndarray
    trajectory: Trajectory
    on_card: np.ndarray


def look(positions, *, yaws_deg=None, size=64, focal=64.0, card=True) -> View:
    """Ray-cast the wall and the card exactly, one frame per position; a positive yaw turns the camera to the right."""
    n = len(positions)
    u = (np.arange(size) + 0.5 - size / 2) / focal
    rays = np.stack([*np.meshgrid(u, u), np.ones((size, size))], axis=-1)
    frames, depth = np.empty((n, size, size, 3), np.uint8), np.empty((n, size, size), np.float32)
    hits = np.zeros((n, size, size), bool)
    poses = np.tile(np.eye(4), (n, 1, 1))
    for i, (px, py, pz) in enumerate(positions):
        yaw = np.radians(0.0 if yaws_deg is None else yaws_deg[i])
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        x, y, forward = np.moveaxis(rays @ turn.T, -1, 0)
        near = (CARD - pz) / forward
        hits[i] = card & (np.abs(px + x * near) <= HALF) & (np.abs(py + y * near) <= HALF)
        z = np.where(hits[i], near, (WALL - pz) / forward)
        wx, wy = px + x * z, py + y * z
        shade = 128 + 50 * np.sin(0.9 * wx) + 50 * np.cos(0.7 * wy)
        frames[i] = np.stack([shade, np.where(hits[i], 220, 60), 255 - shade], -1).astype(np.uint8)
        depth[i], poses[i, :3, :3], poses[i, :3, 3] = z, turn, (px, py, pz)
    k = np.tile([focal, focal, size / 2, size / 2], (n, 1))
    return View(frames, depth, Trajectory(poses, k, np.arange(n, dtype=float), size, size), hits)


def clip_of(view: View) -> Clip:
    t = view.trajectory
    return Clip(view.frames, view.depth, Intrinsics(*map(float, t.intrinsics[0]), t.width, t.height), name="analytic")


def write_scene(folder: Path, source: View, targets: dict[str, View], kind: str = "slide") -> Path:
    save_view(folder / "source", source.frames, source.depth, source.trajectory)
    for name, view in targets.items():
        save_view(folder / name, view.frames, view.depth, view.trajectory)
    save_scene_info(folder, folder.name, [{"name": n, "kind": kind} for n in targets], fps=15)
    return folder
