"""Following a shot's move a step at a time, whatever becomes of the scene meanwhile."""

from __future__ import annotations

import bpy

from ex4d_protocol.requests import TrajectorySpec

from . import live_camera
from .errors import AddonError
from .tasks import Steps


class Follower:
    """One move under way, or none."""

    def __init__(self) -> None:
        self._steps: Steps[TrajectorySpec] | None = None

    def step(self, scene_name: str) -> TrajectorySpec | None:
        """A step along the move of the shot in that scene; the whole of it after the last. Raises AddonError."""
        if self._steps is None:
            self._steps = live_camera.follow(lambda: _find(scene_name))
        try:
            next(self._steps)
        except StopIteration as end:
            self._steps = None
            return end.value
        return None

    def drop(self) -> None:
        """Begin anew next time."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None


def _find(scene_name: str) -> tuple[bpy.types.Scene, bpy.types.Object, bpy.types.Object]:
    scene = bpy.data.scenes.get(scene_name)
    target = live_camera.shot_of(scene) if scene is not None else None
    cam = live_camera.camera_of(scene, target) if scene is not None and target is not None else None
    if scene is None or target is None or cam is None:
        raise AddonError("The shot or its camera was deleted.")
    return scene, target, cam
