"""A take under way, as the scene shows it: its plane plays the frames that are on disk so far."""

import time
from pathlib import Path

import bpy

from ex4d_ground.takes import PARTIAL_FILE

from ..scene import shot
from ..work import unsaved
from ..work.errors import AddonError
from ..work.identity import OpenTake
from . import listing

LOOK_S = 0.5
"""How often the folder is looked into; a frame shown half a second late is early enough."""


class FolderArrival:
    """Follows one take's folder. Holds no reference to Blender's data: undo may take away what it has made."""

    def __init__(self, entry: OpenTake):
        self.entry = entry
        """Its ``folder`` is "" until the job is submitted."""
        self._looked_at = 0.0

    @property
    def count(self) -> int:
        """How many frames are on disk."""
        return len(listing.frames_in(Path(self.entry.folder))) if self.entry.folder else 0

    def update(self, context: bpy.types.Context, *, at_once: bool = False) -> bool:
        """Bring the scene's take up to date with the folder. Returns whether anything changed.

        Does nothing while another file is open, another mode is on, or Blender renders: its data must not change then.
        """
        now = time.monotonic()
        if not at_once and now - self._looked_at < LOOK_S:
            return False
        self._looked_at = now
        folder, target = Path(self.entry.folder), self._target()
        if context.mode != "OBJECT" or bpy.app.is_job_running("RENDER") or target is None:
            return False
        frames = listing.frames_in(folder)
        try:
            scene = shot.scene_of(target, context.scene)
            listed = listing.find(scene, folder)
            if not frames or (listed is not None and listed.arrived == len(frames)):
                return False
            listing.add(scene, target, shot.shot_camera(target, scene), folder)
        except AddonError:
            return False  # the end of the job says so
        return True

    def end(self, context: bpy.types.Context) -> None:
        """The job has ended without a whole take: list the frames that were kept, or nothing."""
        folder = Path(self.entry.folder)
        if self._target() is None:
            return
        if (folder / PARTIAL_FILE).exists():
            self.update(context, at_once=True)
            return
        for scene in bpy.data.scenes:
            listed = listing.find(scene, folder)
            if listed is not None and not listing.frames_in(folder):
                listing.remove(scene, listed)

    def _target(self) -> bpy.types.Object | None:
        """The take's shot; None before the job is submitted, and while another file is open."""
        entry = self.entry
        return shot.by_id(entry.shot_id) if entry.folder and unsaved.is_open(entry.blend_path) else None
