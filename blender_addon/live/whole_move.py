"""The coverage of the whole move: when it is to be asked for, its request, and what has come of it so far."""

import time
from typing import Any

import bpy
from msgspec import structs

from ex4d_protocol.client import Client
from ex4d_protocol.live import LiveCoverage
from ex4d_protocol.requests import TrajectorySpec

from ..guides import coverage
from ..work.tasks import Stepper
from . import camera
from .counted import Counted
from .lane import Lane, sequence
from .sources import Sources

REST_S = 0.5
"""The camera and its move must not have changed for so long."""
SIDE = 256
"""It is counted on pictures of about this size."""


class WholeMove(Lane):
    """The lane of its requests. Holds no Blender data."""

    def __init__(self) -> None:
        super().__init__()
        self._changed_at: float | None = None
        self._seen: tuple[Any, ...] | None = None
        """What decided the move when it was last compared."""
        self._follower: Stepper[TrajectorySpec] = Stepper()
        self._counted = Counted(0)

    @property
    def is_to_come(self) -> bool:
        """Whether the coverage of the move as it is now has still to come."""
        return self._changed_at is not None or self.is_open

    def reset(self) -> None:
        """Forget what was begun: the connection or the shot is another."""
        super().reset()
        self.stop_following()
        coverage.forget_partial()

    def stop_following(self) -> None:
        """The move is followed from its first frame the next time."""
        self._follower.drop()

    def changed(self) -> None:
        """What is seen along the move may be something else now."""
        self._changed_at = time.monotonic()

    def compare(self, target: bpy.types.Object, cam: bpy.types.Object) -> None:
        """Look whether the move is another than before, after something that it may rest on was reported."""
        move = camera.move_of(target, cam)
        if move != self._seen:
            self._seen = move
            self.changed()

    def ask(self, context: bpy.types.Context, client: Client, sources: Sources, *, camera_changed_at: float) -> bool:
        """Follow the move once nothing has changed for a while, and ask for its coverage if it is another.

        Returns whether anything was done. Raises AddonError.
        """
        if self._changed_at is None or camera.is_playing():
            return False
        if time.monotonic() - max(self._changed_at, camera_changed_at) < REST_S:
            self.stop_following()
            return False
        if not sources.ready():
            return False
        trajectory = self._follower.step(lambda: camera.follow(context.scene.name))
        if trajectory is None:
            return True
        self._changed_at = None
        scale = min(1.0, max(0.02, SIDE / max(trajectory.width, trajectory.height)))
        view = sources.request(trajectory, sequence=next(sequence), scale=scale, picture=False)
        if self.sent is not None and structs.replace(self.sent, sequence=view.sequence) == view:
            return True  # it would have the same answer
        self._counted = Counted(trajectory.num_frames)
        self.send(client.live(view), view)
        return True

    def take(self, message: LiveCoverage, target: bpy.types.Object | None) -> None:
        """Add an answer's frames, and have ``target`` show them; None if that shot is gone."""
        self._counted.take(message)
        if target is not None:
            self._counted.show(target)
