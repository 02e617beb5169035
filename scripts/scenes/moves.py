"""Target cameras of the ground-truth scenes, as poses in Blender's world."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix, Vector

from scenes.stage import Built

Pose = Callable[[bpy.types.Object, Built, float], None]
"""Puts the camera where it is at time 0..1, starting from the source camera's pose and lens."""


@dataclass(frozen=True)
class Move:
    """A named target camera. ``kind`` "orbit" goes into the tables by angle."""

    name: str
    kind: str
    pose: Pose


def _forward(camera: bpy.types.Object) -> Vector:
    return camera.matrix_world.to_quaternion() @ Vector((0, 0, -1))


def _orbit(degrees: float) -> Pose:
    def pose(camera: bpy.types.Object, scene: Built, u: float) -> None:
        source = scene.camera.matrix_world
        pivot = source.translation + _forward(scene.camera) * scene.pivot
        turn = (
            Matrix.Translation(pivot) @ Matrix.Rotation(math.radians(degrees * u), 4, "Z") @ Matrix.Translation(-pivot)
        )
        camera.matrix_world = turn @ source
        camera.data.lens = scene.camera.data.lens * scene.zoom**u

    return pose


def _dolly(camera: bpy.types.Object, scene: Built, u: float) -> None:
    camera.matrix_world = Matrix.Translation(_forward(scene.camera) * 0.3 * scene.pivot * u) @ scene.camera.matrix_world


def _crane(camera: bpy.types.Object, scene: Built, u: float) -> None:
    source = scene.camera.matrix_world
    pivot = source.translation + _forward(scene.camera) * scene.pivot
    eye = source.translation + Vector((0, 0, 0.4 * scene.pivot * u))
    if u == 0:
        camera.matrix_world = source.copy()
        return
    camera.matrix_world = Matrix.Translation(eye) @ (pivot - eye).to_track_quat("-Z", "Y").to_matrix().to_4x4()


def _roll(camera: bpy.types.Object, scene: Built, u: float) -> None:
    sideways = Matrix.Translation(scene.camera.matrix_world.to_quaternion() @ Vector((0.12 * scene.pivot * u, 0, 0)))
    camera.matrix_world = sideways @ scene.camera.matrix_world @ Matrix.Rotation(math.radians(25 * u), 4, "Z")


def _focal(camera: bpy.types.Object, scene: Built, u: float) -> None:
    """A dolly zoom: back off while the lens grows longer."""
    camera.matrix_world = (
        Matrix.Translation(_forward(scene.camera) * -0.35 * scene.pivot * u) @ scene.camera.matrix_world
    )
    camera.data.lens = scene.camera.data.lens * (1 + 0.6 * u)


MOVES: dict[str, Move] = {
    m.name: m
    for m in [
        *(
            Move(f"orbit_{side}_{a}", "orbit", _orbit(sign * a))
            for a in (30, 60, 90)
            for side, sign in (("right", 1), ("left", -1))
        ),
        Move("dolly", "dolly", _dolly),
        Move("crane", "crane", _crane),
        Move("roll", "roll", _roll),
        Move("focal", "focal", _focal),
    ]
}


def place(camera: bpy.types.Object, move: Move, scene: Built, u: float) -> np.ndarray:
    """Pose ``camera`` for time ``u`` (0..1). Returns its pose [4, 4] in Blender's world, OpenCV axes."""
    bpy.context.view_layer.update()  # the source's matrix_world is stale until then
    camera.data.lens = scene.camera.data.lens
    move.pose(camera, scene, u)
    bpy.context.view_layer.update()
    return np.array(camera.matrix_world, np.float64) @ np.diag([1.0, -1.0, -1.0, 1.0])
