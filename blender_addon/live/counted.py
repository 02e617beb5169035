"""The coverage of a move as it comes: some frames with each answer, shown in the graph until all are there."""

import bpy
import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_protocol.live import LiveCoverage

from ..guides import coverage


class Counted:
    """What is known so far of one move's frames."""

    def __init__(self, num_frames: int) -> None:
        self._seen: Float64 = np.full(num_frames, np.nan)
        self._on_plane: Float64 = np.zeros(num_frames)
        self._is_whole = self._knows_place = False

    def take(self, message: LiveCoverage) -> None:
        """Add an answer's frames."""
        frames = list(message.frames)
        self._seen[frames] = message.coverage
        if message.on_plane:
            self._on_plane[frames] = message.on_plane
        self._is_whole, self._knows_place = message.done, message.place == "known"

    def show(self, target: bpy.types.Object) -> None:
        """Have the graph of that shot show it, and the shot keep it once it is whole."""
        if self._is_whole:
            coverage.forget_partial()
            coverage.store(target, self._seen, self._on_plane if self._knows_place else None)
        else:
            coverage.put_partial(target.ex4d.shot_id, self._seen)
        coverage.redraw()
