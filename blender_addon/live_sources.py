"""The shot's clip and edits as a live view refers to them, collected and uploaded before the first one is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import bpy
import msgspec

from ex4d_protocol.client import Client, Upload
from ex4d_protocol.live import LiveView
from ex4d_protocol.requests import TrajectorySpec, blobs_of

from . import edit_collect, edit_state, jobs, live_objects, occluders, shot, thickness_weights
from .edit_upload import EditUploads, FrameEdit
from .errors import AddonError
from .media import find_depth, find_video
from .object_upload import ObjectUploads, SceneObject
from .tasks import Steps

Found = tuple[tuple[FrameEdit, ...], tuple[SceneObject, ...]]
"""What was found in the scene."""


class Sources:
    """What requests of one shot are made of. :meth:`ready` says whether they can be."""

    def __init__(self, client: Client, shot_id: str) -> None:
        self.shot_id = shot_id
        self.note = ""
        """What is being done, for people."""
        self.collected_at = 0.0
        """When the mesh was last evaluated to look for edits: Blender then reports it as changed."""
        self._client = client
        self._steps: Steps[Found] | None = None
        self._edits: EditUploads | None = None
        self._objects: ObjectUploads | None = None
        self._clip_uploads: tuple[Upload, ...] = ()
        self._stale = True

    def mesh_changed(self) -> None:
        """Edits have to be looked for again, and what was found so far may be wrong."""
        self._stale = True
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def send_again(self) -> None:
        """The backend lacks files: send the clip's, and the edits' again. Raises AddonError if they are gone."""
        clip = shot.stored_clip(shot.still_there(self.shot_id))
        paths = (*find_video(clip.video).paths, *find_depth(clip.depth).paths)
        self._clip_uploads = tuple(self._client.upload(path) for path in paths)
        self.mesh_changed()

    def ready(self, may_collect: Callable[[], bool]) -> bool:
        """Do a step of what is left to do; whether a request can be made now. Raises AddonError.

        Edits are looked for only while ``may_collect``: it evaluates the mesh, which playback should not wait for.
        """
        target = shot.still_there(self.shot_id)
        body = target.ex4d.mesh
        editing = body is not None and (edit_state.is_editing(body) or thickness_weights.is_painting(body))
        if self._stale and not editing:
            if not may_collect():
                return False
            self._collect(target)
            if self._stale:
                return False
        return (
            self._uploaded(self._clip_uploads, "the clip")
            and (self._edits is None or self._uploaded(self._edits.all, "the edits"))
            and (self._objects is None or self._uploaded(self._objects.all, "the guide objects"))
        )

    def request(
        self, trajectory: TrajectorySpec, *, sequence: int, scale: float, picture: bool, start: int = 0
    ) -> LiveView:
        """Ask for ``trajectory``, with the clip, options, edits and objects that a guides job would have.

        ``start`` is the output frame of the first camera.
        """
        target = shot.still_there(self.shot_id)
        guides = jobs.guides_request(shot.stored_clip(target).spec, trajectory, occluders.mesh_spec(target))
        mesh = guides.mesh if self._edits is None else self._edits.apply(guides).mesh
        objects = () if self._objects is None else self._objects.specs
        return LiveView(
            view=self.shot_id[:128],
            sequence=sequence,
            clip=guides.clip,
            trajectory=trajectory,
            mesh=mesh,
            raster=guides.raster,
            scale=scale,
            picture=picture,
            objects=objects,
            object_frames=target.ex4d.num_frames if objects else 0,
            object_start=start if objects else 0,
        )

    def _collect(self, target: bpy.types.Object) -> None:
        if self._steps is None:
            self._steps = self._look(shot.folder_of(target))
        try:
            progress = next(self._steps)
        except StopIteration as end:
            edits, objects = end.value
            self._edits = EditUploads(self._client, edits)
            self._objects = ObjectUploads(self._client, objects) if objects else None
            self._steps, self._stale, self.note = None, False, ""
            return
        except AddonError:
            self._steps = None
            raise
        if progress is not None:
            self.collected_at = time.monotonic()
            what = progress.stage.removeprefix("looking ")
            self.note = f"Looking {what} ({progress.done} of {progress.total})."

    def _look(self, folder: Path) -> Steps[Found]:
        shot_id = self.shot_id

        def find() -> tuple[bpy.types.Scene, bpy.types.Object]:
            target = shot.still_there(shot_id)
            return shot.scene_of(target, bpy.context.scene), target

        edits = yield from edit_collect.collect_steps(lambda: shot.still_there(shot_id), folder)
        objects = yield from live_objects.collect_steps(find, folder)
        return edits, objects

    def _uploaded(self, uploads: tuple[Upload, ...], what: str) -> bool:
        failed = next((upload.error for upload in uploads if upload.error), "")
        if failed:
            raise AddonError(failed)
        if all(upload.at_server for upload in uploads):
            self.note = ""
            return not uploads or uploads is not self._clip_uploads or self._same_clip()
        self.note = f"Sending {what}."
        return False

    def _same_clip(self) -> bool:
        clip = shot.stored_clip(shot.still_there(self.shot_id)).spec
        if {b.sha256 for b in blobs_of(clip).values()} - {u.ref.sha256 for u in self._clip_uploads}:
            raise AddonError("The clip's video or depth has changed since the import; import it again.")
        return True


def same(one: LiveView | None, other: LiveView) -> bool:
    """Whether two requests would have the same answer."""
    return one is not None and msgspec.structs.replace(one, sequence=other.sequence) == other
