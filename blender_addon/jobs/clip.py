"""A clip's way to the backend, and the long operations on one that was imported: guides, and any other job, as steps.

No Blender in here: results go to files (whole or not at all) and into plain values that an operator then shows.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.files import frame_name
from ex4d_ground.footage import Fields
from ex4d_ground.planes import PlaneInfo
from ex4d_protocol import events as ev
from ex4d_protocol import minors
from ex4d_protocol.client import Client, Upload
from ex4d_protocol.errors import UploadFailed
from ex4d_protocol.requests import ClipSpec, EstimateDepth, Media, RenderGuides, SolveCamera, VideoReading

from ..scene.clip import StoredClip
from ..work import files
from ..work.addon import log
from ..work.errors import AddonError
from ..work.link import BackendLink, JobRefused
from ..work.tasks import Steps
from ..work.writer import FolderWriter
from .edit_uploads import EditUploads, FrameEdit, MeshRequest
from .media import MediaFiles, find_clip
from .object_uploads import ObjectUploads, SceneObject


@dataclass(frozen=True)
class ClipSource:
    """A clip on this machine and how to read it. At most one of ``fov_deg`` and ``focal_px``."""

    video: Path
    depth: Path | None
    """None: ``estimator`` makes it."""
    num_frames: int | None = None
    fov_deg: float | None = None
    focal_px: float | None = None
    depth_scale: float = 1.0
    """1 says nothing: whole numbers are then refused, whose unit is not known."""
    depth_channel: str = ""
    fill_invalid: bool = False
    fps: float | None = None
    """Overrides the video's own."""
    usual_fps: float | None = None
    """Of pictures that say none."""
    colour_space: str = ""
    """What the video's numbers mean, where it does not say so or is wrong."""
    ocio: Path | None = None
    """The OpenColorIO configuration that ``colour_space`` is a name of; None: the backend's."""
    fields: Fields = "deinterlace"
    name: str = "clip"
    grid_side: int = 0
    """Vertices along the mesh's long side; 0: one per pixel."""
    plays_frames: int = 0
    """Frames that Blender finds in the video; 0 if it cannot play it."""
    estimator: str = ""
    """The backend's, if there is no depth file; "" is its default."""
    estimator_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reading(self) -> dict[str, Any]:
        """What the backend's requests have in common."""
        return {name: getattr(self, name) for name in ("num_frames", "fov_deg", "focal_px", "name")}


@dataclass(frozen=True)
class EditedClip:
    """A clip imported earlier, what was edited of it since, and the other objects that take part."""

    stored: StoredClip
    edits: tuple[FrameEdit, ...] = ()
    objects: tuple[SceneObject, ...] = ()


class Seen(NamedTuple):
    """What guides tell of each frame."""

    coverage: Float64
    """[N] share that the source shows."""
    on_plane: Float64 | None
    """[N] share that is hole and goes on a floor or a wall; None where the backend does not know."""
    planes: tuple[PlaneInfo, ...] | None = None
    """Those of the place; None where the backend does not know."""


def render_guides(
    link: BackendLink, make: Callable[[ClipSpec], RenderGuides], clip: EditedClip, folder: Path
) -> Steps[Seen]:
    """Render guides of the edited clip into ``folder``/guides (replacing the last ones); what is seen of each frame."""
    shares: dict[str, Float64] = {}
    planes: list[tuple[PlaneInfo, ...]] = []
    target = folder / files.GUIDES_FOLDER
    with FolderWriter(target, replaces=True) as writer:

        def on_item(item: ev.ItemReceived) -> None:
            if item.name in ("coverage", "on_plane"):
                shares[item.name] = np.array(item.array(), np.float64)
            elif item.name == "planes":
                planes.append(msgspec.json.decode(item.data, type=tuple[PlaneInfo, ...]))
            elif item.name in (files.COLOUR_FOLDER, files.MASK_FOLDER):
                writer.write(Path(item.name, frame_name(item.frame)), item.data)

        job_id = yield from run_with_clip(link, clip, make, title="Render guides", on_item=on_item, into=writer)
        if "coverage" not in shares:
            raise AddonError("The backend sent no coverage for these guides; look at the backend's log.")
        writer.write("coverage.json", json.dumps(shares["coverage"].tolist()).encode())
        yield from writer.finish()
    link.client.ack(job_id)
    return Seen(shares["coverage"], shares.get("on_plane"), planes[-1] if planes else None)


def run_with_clip(
    link: BackendLink,
    clip: EditedClip,
    make: Callable[[ClipSpec], MeshRequest | SolveCamera],
    *,
    more: tuple[Upload, ...] = (),
    **how: Any,
) -> Steps[str]:
    """Run a job on a clip with its edits; upload the clip's files only if this backend does not have them.

    ``more`` is what else the request names, ``how`` is for :meth:`BackendLink.run_job`.
    """
    stored, spec = clip.stored, clip.stored.spec
    edits = EditUploads(link.client, clip.edits, grid_side=stored.grid_side)
    objects = ObjectUploads(link.client, clip.objects)

    def edited(spec: ClipSpec) -> MeshRequest | SolveCamera:
        request = make(spec)
        return request if isinstance(request, SolveCamera) else objects.apply(edits.apply(request))

    after = (*edits.all, *objects.all, *more)
    try:
        return (yield from link.run_job(lambda: edited(spec), after=after, **how))
    except JobRefused as refused:
        if refused.code != "blob_missing":
            raise
        log.info("the backend lacks the clip's files; sending them")
    found = find_clip(stored.video, stored.depth, spec.num_frames)
    uploads = ClipUploads(link.client, found.video, found.depth, stored.ocio)

    def request() -> MeshRequest | SolveCamera:
        video, depth = uploads.media()
        if stored.lens is not None and video == spec.video:
            plain = msgspec.structs.replace(spec, depth=depth, intrinsics=stored.lens, fov_deg=None, focal_px=None)
            return edited(stored.filmed(plain))
        if (video, depth) != (spec.video, spec.depth):
            raise UploadFailed("The clip's video or depth has changed since the import; import it again.")
        return edited(spec)

    return (yield from link.run_job(request, after=(*uploads.all, *after), **how))


def depth_reading(source: ClipSource) -> dict[str, Any]:
    """How a depth file is to be read, in the protocol's words."""
    scale = None if source.depth_scale == 1 else source.depth_scale
    return {"depth_scale": scale, "depth_channel": source.depth_channel or None}


class ClipUploads:
    """A clip's files on their way to the backend; without ``depth`` it makes that itself."""

    def __init__(self, client: Client, video: MediaFiles, depth: MediaFiles | None, ocio: Path | None = None):
        self._client = client
        self._sources = (video,) if depth is None else (video, depth)
        self._parts = tuple(tuple(client.upload(path) for path in source.paths) for source in self._sources)
        self._ocio = None if ocio is None else client.upload(ocio)

    @property
    def all(self) -> tuple[Upload, ...]:
        """Every file that is on its way."""
        every = tuple(upload for part in self._parts for upload in part)
        return every if self._ocio is None else (*every, self._ocio)

    def media(self) -> tuple[Media, ...]:
        """The sources by content, video first; only once every upload is hashed."""
        return tuple(
            Media(kind=source.kind, blobs=tuple(upload.ref for upload in part))
            for source, part in zip(self._sources, self._parts, strict=True)
        )

    def estimate(self, source: ClipSource) -> EstimateDepth:
        """The request for the video's depth."""
        settings = dict(source.estimator_settings)
        return EstimateDepth(video=self.media()[0], estimator=source.estimator, settings=settings, **source.reading)

    def clip(self, source: ClipSource, estimated: Media | None = None) -> ClipSpec:
        """The clip as requests name it; ``estimated`` is the depth that the backend has made of it."""
        video, *depth = self.media()
        return ClipSpec(
            video=video,
            depth=estimated or depth[0],
            **(depth_reading(source) if estimated is None else {}),
            fill_invalid=source.fill_invalid,
            **self._rate_and_reading(source),
            **source.reading,
        )

    def _rate_and_reading(self, source: ClipSource) -> dict[str, Any]:
        """What the video's bytes do not say; of that, an old backend can be told the rate alone."""
        if minors.lacks(self._client.welcome, "VideoReading.start_frame"):
            return {"fps": source.fps or source.usual_fps}
        reading = VideoReading(
            usual_fps=source.usual_fps,
            start_frame=self._sources[0].start_frame,
            colour_space=source.colour_space,
            ocio=None if self._ocio is None else self._ocio.ref,
            fields=source.fields,
        )
        return {"fps": source.fps, "reading": reading}
