"""The long operations on a clip as steps: build its mesh, render guides, and any other job on a stored clip.

No Blender in here: results go to files (whole or not at all) and into plain values that an operator then shows.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ex4d_ground.arrays import Float32, Float64, Int32
from ex4d_ground.files import frame_name
from ex4d_ground.footage import Fields
from ex4d_ground.grids import grid_of
from ex4d_ground.planes import PlaneInfo
from ex4d_protocol import events as ev
from ex4d_protocol import minors
from ex4d_protocol.client import Client, Upload
from ex4d_protocol.errors import UploadFailed
from ex4d_protocol.requests import (
    BuildMesh,
    ClipSpec,
    EstimateDepth,
    Media,
    MeshSpec,
    RenderGuides,
    SolveCamera,
    VideoReading,
)

from ..scene.clip import StoredClip, clip_numbers
from ..work import files
from ..work.addon import log
from ..work.errors import AddonError, JobFailed
from ..work.link import BackendLink, JobRefused
from ..work.pc2 import Pc2Writer
from ..work.tasks import Steps
from ..work.writer import FolderWriter
from .depth import DepthItems
from .edit_uploads import EditUploads, FrameEdit, MeshRequest
from .media import ClipFiles, MediaFiles, find_clip
from .object_uploads import ObjectUploads, SceneObject
from .opening import FRAMES, Opening, opening_of


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
class ImportedClip:
    """A clip whose files lie in ``folder``: mesh.pc2, colour/ and visible/."""

    folder: Path
    info: dict[str, Any]
    """The backend's ``clip_info``; ``scene.clip.clip_numbers`` takes what a shot needs."""
    faces: Int32  # [F, 3]
    clip_json: str
    note: str = ""
    """What the artist should know of the clip's files."""
    depth_info: dict[str, Any] | None = None
    """The backend's, if it has estimated the depth; its copy is then the folder's ``depth.npy``."""


@dataclass(frozen=True)
class FirstFrame:
    """What a clip's first frame is shown with, before the others have come. Its files lie in ``folder`` until then."""

    folder: Path
    info: dict[str, Any]
    vertices: Float32  # [V, 3]
    clip_json: str
    depth_info: dict[str, Any] | None
    staying: Callable[[], AbstractContextManager[bool]]
    """Whether the files lie in ``folder``, where they then stay during the block."""

    @property
    def size(self) -> tuple[int, int, int]:
        """The clip's width and height, and the side of its grid."""
        numbers = clip_numbers(self.info)
        return numbers["width"], numbers["height"], numbers["grid_side"]


def _first_frame(writer: FolderWriter, *described: Any) -> FirstFrame:
    return FirstFrame(writer.folder, *described, staying=writer.staying)


def import_clip(
    link: BackendLink, source: ClipSource, folder: Path, on_first: Callable[[FirstFrame], None] | None = None
) -> Steps[ImportedClip]:
    """Upload the clip, have its depth estimated if it has none, its mesh built, and write both to ``folder``.

    ``folder`` must not exist yet. ``on_first`` is told, on the writer's thread, when the first frame is on disk.
    """
    found = find_clip(source.video, source.depth, source.num_frames)
    depth = found.depth
    made: Media | None = None
    depth_info: dict[str, Any] | None = None
    with FolderWriter(folder) as writer:
        opening = None if on_first is None else (yield from _opening(writer, found))
        early = None
        if opening is not None:
            early = _ClipUploads(link.client, opening.files.video, opening.files.depth, source.ocio)
        uploads = _ClipUploads(link.client, found.video, depth, source.ocio)  # behind those of the opening
        if opening is not None and early is not None:
            yield from _show_opening(link, source, writer, opening, early, on_first)
            on_first = None
        if depth is None:
            depths = DepthItems(writer, writer.folder / files.DEPTH_FILE)
            job_id = yield from link.run_job(
                lambda: uploads.estimate(source),
                after=uploads.all,
                title=f"Depth of {source.name}",
                on_item=depths.take,
                into=writer,
            )
            made, depth_info = depths.finish(), depths.info
            link.client.ack(job_id)

        def first_came(info: dict[str, Any], vertices: Float32) -> None:
            if on_first is not None:
                spec = msgspec.json.encode(uploads.clip(source, made)).decode()
                writer.hand(partial(on_first, _first_frame(writer, info, vertices, spec, depth_info)))

        items = _ClipItems(writer, first_came)
        job_id = yield from link.run_job(
            lambda: _building(link.client, source, uploads.clip(source, made)),
            after=uploads.all,
            title=f"Import {source.name}",
            on_item=items.take,
            into=writer,
        )
        faces = items.finish()
        yield from writer.finish()
    link.client.ack(job_id)
    clip_json = msgspec.json.encode(uploads.clip(source, made)).decode()
    return ImportedClip(folder, items.info, faces, clip_json, found.note, depth_info)


def _opening(writer: FolderWriter, found: ClipFiles) -> Steps[Opening | None]:
    """Have the files of the clip's opening made on the writer's thread; None if there is to be none."""
    made: list[Opening | None] = []
    writer.hand(lambda: made.append(opening_of(found, writer.folder)))
    while not made:
        writer.check()
        yield None
    return made[0]


def _show_opening(
    link: BackendLink,
    source: ClipSource,
    writer: FolderWriter,
    opening: Opening,
    uploads: "_ClipUploads",
    on_first: Callable[[FirstFrame], None] | None,
) -> Steps[None]:
    """Have the mesh of the clip's first frames built, and ``on_first`` told, while the whole clip is being sent.

    What the backend has against it is left to the job of the whole clip.
    """

    def spec() -> ClipSpec:
        return msgspec.structs.replace(uploads.clip(source), num_frames=FRAMES)

    def first_came(info: dict[str, Any], vertices: Float32) -> None:
        if on_first is not None:
            whole = info | {"num_frames": source.num_frames or opening.num_frames}
            text = msgspec.json.encode(spec()).decode()
            writer.hand(partial(on_first, _first_frame(writer, whole, vertices, text, None)))

    items = _ClipItems(writer, first_came, keeps_mesh=False)
    try:
        job_id = yield from link.run_job(
            lambda: _building(link.client, source, spec()),
            after=uploads.all,
            title=f"First frame of {source.name}",
            on_item=items.take,
            into=writer,
        )
    except (JobRefused, JobFailed) as error:
        log.info("the first frame is not shown before the others: %s", error)
        return
    finally:
        writer.hand(partial(opening.made.unlink, missing_ok=True))
    link.client.ack(job_id)


def _building(client: Client, source: ClipSource, clip: ClipSpec) -> BuildMesh:
    """The request for a clip's mesh."""
    return BuildMesh(clip=clip, mesh=_grid(client, source), footage="light", plays_frames=source.plays_frames)


def _grid(client: Client, source: ClipSource) -> MeshSpec:
    """The mesh to ask for: a backend that knows no proxy grids sends one vertex per pixel."""
    return MeshSpec(grid_side=0 if minors.lacks(client.welcome, "MeshSpec.grid_side") else source.grid_side)


class _ClipItems:
    """Has a BuildMesh job's items written as they come."""

    def __init__(
        self, writer: FolderWriter, on_first: Callable[[dict[str, Any], Float32], None], *, keeps_mesh: bool = True
    ):
        """``on_first`` is told the clip's numbers and vertices once the first frame was handed to ``writer``.

        Without ``keeps_mesh`` nothing but the pictures is written.
        """
        self.info: dict[str, Any] = {}
        self._writer, self._on_first, self._keeps_mesh = writer, on_first, keeps_mesh
        self._first: Float32 | None = None
        self._cache: Pc2Writer | None = None
        self._faces: Int32 | None = None

    def take(self, item: ev.ItemReceived) -> None:
        """Store one item. Raises AddonError if an earlier one could not be written or did not fit."""
        match item.name:
            case "clip_info":
                self.info = item.json()
                if not self._keeps_mesh:
                    return
                numbers = clip_numbers(self.info)
                points = grid_of(numbers["width"], numbers["height"], numbers["grid_side"]).num_vertices
                path = self._writer.folder / files.CACHE_FILE
                self._cache = self._writer.keep_open(Pc2Writer(path, points=points, samples=self.info["num_frames"]))
            case "faces":
                self._faces = np.asarray(item.array(), np.int32)
            case "vertices":
                if self._cache is not None:
                    self._writer.hand(partial(self._cache.write, item.frame, item.array()), item.data.nbytes)
                elif self._keeps_mesh:
                    raise AddonError("The backend sent a mesh before its clip; import the clip again.")
                self._first = item.array() if item.frame == 0 else self._first
            case files.COLOUR_FOLDER | files.VISIBLE_FOLDER:
                suffix = ".jpg" if item.item.encoding == "jpeg" else ".png"
                self._writer.write(Path(item.name, frame_name(item.frame, suffix)), item.data)
                if item.name == files.VISIBLE_FOLDER and item.frame == 0 and self._first is not None:
                    self._on_first(self.info, self._first)  # the last item of a frame

    def finish(self) -> Int32:  # [F, 3]
        """Have the cache closed and return the faces. Raises AddonError if something never came."""
        if self._cache is None or self._faces is None:
            raise AddonError("The backend sent no mesh for this clip; look at the backend's log.")
        self._writer.hand(self._cache.close)
        return self._faces


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
    uploads = _ClipUploads(link.client, found.video, found.depth, stored.ocio)

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


class _ClipUploads:
    """A clip's files on their way to the backend; without ``depth`` it makes that itself."""

    def __init__(self, client: Client, video: MediaFiles, depth: MediaFiles | None, ocio: Path | None = None):
        self._client = client
        self._sources = (video,) if depth is None else (video, depth)
        self._parts = tuple(tuple(client.upload(path) for path in source.paths) for source in self._sources)
        self._ocio = None if ocio is None else client.upload(ocio)

    @property
    def all(self) -> tuple[Upload, ...]:
        every = tuple(upload for part in self._parts for upload in part)
        return every if self._ocio is None else (*every, self._ocio)

    def media(self) -> tuple[Media, ...]:
        """The sources by content, video first; only once every upload is hashed."""
        return tuple(
            Media(kind=source.kind, blobs=tuple(upload.ref for upload in part))
            for source, part in zip(self._sources, self._parts, strict=True)
        )

    def estimate(self, source: ClipSource) -> EstimateDepth:
        settings = dict(source.estimator_settings)
        return EstimateDepth(video=self.media()[0], estimator=source.estimator, settings=settings, **source.reading)

    def clip(self, source: ClipSource, estimated: Media | None = None) -> ClipSpec:
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
