"""A take under way, as the scene shows it: its plane plays the frames that are on disk so far."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import bpy

from . import files, shot, takes
from .errors import AddonError
from .identity import OpenTake

log = logging.getLogger(__package__)

LOOK_S = 0.5
"""How often the folder is looked into; a frame shown half a second late is early enough."""


class Arrival:
    """Follows one take's folder. Holds no reference to Blender's data: undo may take away what it has made."""

    def __init__(self, entry: OpenTake, *, num_frames: int):
        self.entry = entry
        """Its ``folder`` is "" until the job is submitted."""
        self._num_frames = num_frames
        self._looked_at = 0.0

    @property
    def count(self) -> int:
        """How many frames are on disk."""
        return len(takes.frames_in(Path(self.entry.folder))) if self.entry.folder else 0

    def update(self, context: bpy.types.Context, *, at_once: bool = False) -> bool:
        """Bring the scene's take up to date with the folder. Returns whether anything changed.

        Does nothing while another file is open, another mode is on, or Blender renders: its data must not change then.
        """
        now = time.monotonic()
        if not at_once and now - self._looked_at < LOOK_S:
            return False
        self._looked_at = now
        entry = self.entry
        busy = context.mode != "OBJECT" or bpy.app.is_job_running("RENDER")
        target = shot.by_id(entry.shot_id) if entry.folder and bpy.data.filepath == entry.blend_path else None
        if busy or target is None:
            return False
        frames = takes.frames_in(Path(entry.folder))
        try:
            scene = shot.scene_of(target, context.scene)
            cam = shot.shot_camera(target, scene)
        except AddonError:
            return False  # the end of the job says so
        listed = takes.find(scene, Path(entry.folder))
        if not frames or (listed is not None and listed.arrived == len(frames)):
            return False
        takes.add(scene, target, cam, self._facts(frames))
        return True

    def end(self, context: bpy.types.Context) -> None:
        """The job has ended without a whole take: list the frames that were kept, or nothing."""
        entry = self.entry
        target = shot.by_id(entry.shot_id) if bpy.data.filepath == entry.blend_path else None
        if not entry.folder or target is None:
            return
        folder = Path(entry.folder)
        if (folder / files.PARTIAL_FILE).exists():
            self.update(context, at_once=True)
            return
        for scene in bpy.data.scenes:
            listed = takes.find(scene, folder)
            if listed is not None and not takes.frames_in(folder):
                takes.remove(scene, listed)

    def _facts(self, frames: tuple[int, ...]) -> takes.TakeFacts:
        entry = self.entry
        return takes.TakeFacts(
            folder=Path(entry.folder),
            engine=entry.engine,
            seed=entry.seed,
            settings=dict(entry.settings),
            mean_coverage=0.0,
            num_frames=max(self._num_frames, frames[-1] + 1),
            frame_start=entry.frame_start,
            arrived=frames,
        )
