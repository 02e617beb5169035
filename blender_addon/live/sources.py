"""The shot's clip and edits as a live view refers to them, collected and uploaded before the first one is asked."""

import time
from pathlib import Path
from typing import Any

import bpy

from ex4d_protocol.client import Client, Upload
from ex4d_protocol.live import LiveView
from ex4d_protocol.requests import TrajectorySpec, blobs_of

from ..edit import collect, occluders, thickness_weights
from ..guides import planes
from ..guides.gather import raster
from ..jobs.edit_uploads import EditUploads, FrameEdit
from ..jobs.media import find_clip
from ..jobs.object_uploads import ObjectUploads, SceneObject
from ..scene import shot
from ..work.errors import AddonError
from ..work.tasks import Stepper, Steps
from . import camera
from . import objects as live_objects

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
        self._look = Stepper[Found]()
        self._edits: EditUploads | None = None
        self._objects: ObjectUploads | None = None
        self._clip_uploads: tuple[Upload, ...] = ()
        self._stale = True

    def mesh_changed(self) -> None:
        """Edits have to be looked for again, and what was found so far may be wrong."""
        self._stale = True
        self._look.drop()

    def send_again(self) -> None:
        """The backend lacks files: send the clip's, and the edits' again. Raises AddonError if they are gone."""
        clip = shot.stored_clip(shot.still_there(self.shot_id))
        found = find_clip(clip.video, clip.depth, clip.spec.num_frames)
        paths = (*found.video.paths, *(found.depth.paths if found.depth is not None else ()))
        self._clip_uploads = tuple(self._client.upload(path) for path in paths)
        self.mesh_changed()

    def ready(self) -> bool:
        """Do a step of what is left to do; whether a request can be made now. Raises AddonError.

        Edits are not looked for during playback, which should not wait for it: it evaluates the mesh.
        """
        target = shot.still_there(self.shot_id)
        body = target.ex4d.mesh
        if self._stale and not (body is not None and thickness_weights.is_open(body)):
            if camera.is_playing():
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
        self,
        trajectory: TrajectorySpec,
        *,
        sequence: int,
        scale: float,
        picture: bool,
        start: int = 0,
        preview: dict[str, Any] | None = None,
    ) -> LiveView:
        """Ask for ``trajectory``, with the clip, options, edits and objects that a guides job would have.

        ``start`` is the output frame of the first camera; ``preview`` has the settings of the engine whose pictures are
        wanted, None: guides.
        """
        target = shot.still_there(self.shot_id)
        mesh = occluders.mesh_spec(target)
        objects = () if self._objects is None else self._objects.specs
        return LiveView(
            view=self.shot_id[:128],
            sequence=sequence,
            clip=shot.stored_clip(target).spec,
            trajectory=trajectory,
            mesh=mesh if self._edits is None else self._edits.edited(mesh),
            raster=raster(bpy.context.scene),
            scale=scale,
            picture=picture,
            on_plane=True,
            planes=planes.text(target),
            preview=preview,
            objects=objects,
            object_frames=target.ex4d.num_frames if objects else 0,
            object_start=start if objects else 0,
        )

    def _collect(self, target: bpy.types.Object) -> None:
        found = self._look.step(lambda: _look(self.shot_id, shot.folder_of(target)))
        if found is not None:
            self._edits = EditUploads(self._client, found[0], grid_side=target.ex4d.grid_side)
            self._objects = ObjectUploads(self._client, found[1]) if found[1] else None
            self._stale, self.note = False, ""
        elif (progress := self._look.progress) is not None:
            self.collected_at = time.monotonic()
            what = progress.stage.removeprefix("looking ")
            self.note = f"Looking {what} ({progress.done} of {progress.total})."

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


def _look(shot_id: str, folder: Path) -> Steps[Found]:
    def find() -> tuple[bpy.types.Scene, bpy.types.Object]:
        target = shot.still_there(shot_id)
        return shot.scene_of(target, bpy.context.scene), target

    edits = yield from collect.collect_steps(lambda: shot.still_there(shot_id), folder)
    objects = yield from live_objects.collect_steps(find, folder)
    return edits, objects
