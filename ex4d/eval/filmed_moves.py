"""How the camera of a filmed room moves: each move's poses and zoom for a number of frames."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.poses import pose, rotation_x, rotation_y, so3_exp

FPS = 24.0
PARTS = 8
"""Moments of a move that are told for each frame, so that a shutter's opening is a smooth path."""


@dataclass(frozen=True)
class Motion:
    """What the camera does, at M = (T - 1) * PARTS + 1 moments of T frames."""

    world_from_camera: Float64  # [M, 4, 4]
    zoom: Float64  # [M] factor on the focal length
    follows: bool = False
    """Whether something large goes before the camera."""


def _times(frames: int) -> Float64:  # [M] in frames
    return np.arange((frames - 1) * PARTS + 1) / PARTS


def _share(frames: int) -> Float64:  # [M] 0..1
    t = _times(frames) / max(frames - 1, 1)
    return t * t * (3 - 2 * t)


def _origins(frames: int) -> Float64:  # [M, 3]
    return np.zeros(((frames - 1) * PARTS + 1, 3))


def _shake(frames: int, chance: np.random.Generator, metres: float, degrees: float) -> Float64:  # [M, 4, 4]
    """A hand's unrest: waves of 0.4 to 3 Hz, the faster the smaller."""
    t = _times(frames) / FPS
    waves = np.zeros((6, len(t)))
    for hertz in (0.4, 0.9, 1.7, 3.0):
        phase, strength = chance.uniform(0, 2 * np.pi, (6, 1)), chance.uniform(0.5, 1.0, (6, 1))
        waves += strength * hertz**-0.8 * np.sin(2 * np.pi * hertz * t + phase)
    waves -= waves[:, :1]
    turns = np.stack([so3_exp(np.radians(degrees) * w) for w in waves[:3].T])
    return pose(turns, metres * waves[3:].T)


def _steady(poses: Float64, zoom: float = 1.0, *, follows: bool = False) -> Motion:
    return Motion(poses, zoom ** _share((len(poses) - 1) // PARTS + 1), follows)


def _still(frames: int, chance: np.random.Generator) -> Motion:
    del chance
    return _steady(pose(np.eye(3), _origins(frames)))


def _orbit(frames: int, chance: np.random.Generator) -> Motion:
    yaw = np.radians(chance.choice([-30.0, 30.0])) * _share(frames)
    pivot = np.array([0, 0, chance.uniform(3.2, 4.0)])
    turn = rotation_y(yaw)
    return _steady(pose(turn, pivot - turn @ pivot))


def _handheld(frames: int, chance: np.random.Generator) -> Motion:
    drift = pose(np.eye(3), _share(frames)[:, None] * chance.uniform(-0.25, 0.25, 3))
    return _steady(drift @ _shake(frames, chance, 0.035, 0.8))


def _dolly(frames: int, chance: np.random.Generator) -> Motion:
    way = _share(frames)[:, None] * np.array([chance.uniform(-0.2, 0.2), 0, chance.uniform(0.9, 1.3)])
    return _steady(pose(np.eye(3), way) @ _shake(frames, chance, 0.004, 0.1))


def _whip(frames: int, chance: np.random.Generator) -> Motion:
    """A turn of 55 degrees within a quarter of the frames."""
    middle = frames * chance.uniform(0.4, 0.55)
    share = 1 / (1 + np.exp(-(_times(frames) - middle) / (frames / 24)))
    yaw = np.radians(chance.choice([-55.0, 55.0])) * (share - share[0])
    return _steady(pose(rotation_y(yaw), _origins(frames)) @ _shake(frames, chance, 0.012, 0.25))


def _zoom(frames: int, chance: np.random.Generator) -> Motion:
    return _steady(_shake(frames, chance, 0.03, 0.6), chance.uniform(1.4, 1.7))


def _rotate(frames: int, chance: np.random.Generator) -> Motion:
    share = _share(frames)
    yaw, pitch = np.radians(chance.choice([-28.0, 28.0])) * share, np.radians(chance.uniform(-7, 7)) * share
    return _steady(pose(rotation_y(yaw) @ rotation_x(pitch), _origins(frames)))


def _follow(frames: int, chance: np.random.Generator) -> Motion:
    way = _share(frames)[:, None] * np.array([chance.choice([-1.0, 1.0]) * 1.6, 0, 0.4])
    return _steady(pose(np.eye(3), way) @ _shake(frames, chance, 0.01, 0.3), follows=True)


MOVES: dict[str, Callable[[int, np.random.Generator], Motion]] = {
    "still": _still,
    "orbit": _orbit,
    "handheld": _handheld,
    "dolly": _dolly,
    "whip": _whip,
    "zoom": _zoom,
    "rotate": _rotate,
    "follow": _follow,
}
