"""The three long operations as steps: build a clip's mesh, render guides, generate a take.

No Blender in here: results go to files (whole or not at all) and into plain values that an operator then shows.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ex4d_protocol import events as ev
from ex4d_protocol.client import Client, Upload
from ex4d_protocol.errors import UploadFailed
from ex4d_protocol.messages import Capabilities
from ex4d_protocol.requests import (
    BuildMesh,
    ClipSpec,
    EstimateDepth,
    Generate,
    Media,
    MeshSpec,
    RenderGuides,
    TrajectorySpec,
)

from . import depth_jobs, files
from .edit_upload import EditUploads, FrameEdit, MeshRequest
from .errors import AddonError
from .link import JobRefused, Link, OnItem, never
from .media import MediaFiles, find_depth, find_video
from .object_upload import ObjectUploads, SceneObject
from .pc2 import Pc2Writer
from .tasks import Steps
from .writer import FolderWriter

log = logging.getLogger(__package__)


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
    fill_invalid: bool = False
    fps: float | None = None
    """Overrides the video's own; a sequence of pictures has none."""
    name: str = "clip"
    estimator: str = ""
    """The backend's, if there is no depth file; "" is its default."""
    estimator_settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedClip:
    """A clip whose files lie in ``folder``: mesh.pc2, colour/ and visible/."""

    folder: Path
    info: dict[str, Any]
    """The backend's ``clip_info``; :func:`clip_numbers` takes what a shot needs."""
    faces: NDArray[np.int32]  # [F, 3]
    clip_json: str
    depth_info: dict[str, Any] | None = None
    """The backend's, if it has estimated the depth; its copy is then the folder's ``depth.npy``."""


def import_clip(link: Link, source: ClipSource, folder: Path) -> Steps[ImportedClip]:
    """Upload the clip, have its depth estimated if it has none, its mesh built, and write both to ``folder``.

    ``folder`` must not exist yet.
    """
    depth = find_depth(source.depth) if source.depth is not None else None
    uploads = _Uploads(link.client, find_video(source.video), depth)
    estimated: depth_jobs.EstimatedDepth | None = None
    with FolderWriter(folder) as writer:
        if depth is None:
            estimated = yield from depth_jobs.estimate(
                link,
                lambda: uploads.estimate(source),
                uploads.all,
                writer,
                writer.folder / files.DEPTH_FILE,
                title=f"Depth of {source.name}",
            )
        made = estimated.media if estimated is not None else None
        items = _ClipItems(writer)
        job_id = yield from link.run_job(
            lambda: BuildMesh(clip=uploads.clip(source, made)),
            after=uploads.all,
            title=f"Import {source.name}",
            on_item=items.take,
            full=lambda: writer.full,
        )
        faces = items.finish()
        yield from writer.finish()
    link.client.ack(job_id)
    clip_json = msgspec.json.encode(uploads.clip(source, made)).decode()
    return ImportedClip(folder, items.info, faces, clip_json, estimated.info if estimated is not None else None)


class _ClipItems:
    """Has a BuildMesh job's items written as they come."""

    def __init__(self, writer: FolderWriter):
        self.info: dict[str, Any] = {}
        self._writer = writer
        self._cache: Pc2Writer | None = None
        self._faces: NDArray[np.int32] | None = None

    def take(self, item: ev.ItemReceived) -> None:
        """Store one item. Raises AddonError if an earlier one could not be written or did not fit."""
        match item.name:
            case "clip_info":
                self.info = item.json()
                points = self.info["width"] * self.info["height"]
                path = self._writer.folder / files.CACHE_FILE
                self._cache = self._writer.keep_open(Pc2Writer(path, points=points, samples=self.info["num_frames"]))
            case "faces":
                self._faces = np.asarray(item.array(), np.int32)
            case "vertices":
                if self._cache is None:
                    raise AddonError("The backend sent a mesh before its clip; import the clip again.")
                self._writer.hand(partial(self._cache.write, item.frame, item.array()), item.data.nbytes)
            case "colour" | "visible":
                sub = files.COLOUR_FOLDER if item.name == "colour" else files.VISIBLE_FOLDER
                self._writer.write(Path(sub, files.frame_name(item.frame)), item.data)

    def finish(self) -> NDArray[np.int32]:  # [F, 3]
        """Have the cache closed and return the faces. Raises AddonError if something never came."""
        if self._cache is None or self._faces is None:
            raise AddonError("The backend sent no mesh for this clip; look at the backend's log.")
        self._writer.hand(self._cache.close)
        return self._faces


def render_guides(
    link: Link,
    make: Callable[[ClipSpec], RenderGuides],
    clip: StoredClip,
    folder: Path,
    *,
    edits: tuple[FrameEdit, ...] = (),
    objects: tuple[SceneObject, ...] = (),
) -> Steps[NDArray[np.float64]]:
    """Render guides of the edited clip into ``folder``/guides (replacing the last ones); coverage per frame [N]."""
    coverage: list[NDArray[np.float64]] = []
    target = folder / files.GUIDES_FOLDER
    with FolderWriter(target, replaces=True) as writer:

        def on_item(item: ev.ItemReceived) -> None:
            if item.name == "coverage":
                coverage.append(np.array(item.array(), np.float64))
            elif item.name in ("colour", "mask"):
                sub = files.COLOUR_FOLDER if item.name == "colour" else files.MASK_FOLDER
                writer.write(Path(sub, files.frame_name(item.frame)), item.data)

        job_id = yield from run_with_clip(
            link,
            clip,
            make,
            title="Render guides",
            on_item=on_item,
            full=lambda: writer.full,
            edits=edits,
            objects=objects,
        )
        if not coverage:
            raise AddonError("The backend sent no coverage for these guides; look at the backend's log.")
        writer.write("coverage.json", json.dumps(coverage[0].tolist()).encode())
        yield from writer.finish()
    link.client.ack(job_id)
    return coverage[0]


@dataclass(frozen=True)
class StoredClip:
    """A clip imported earlier: what the backend calls it, and where its files were."""

    clip_json: str
    video: Path
    depth: Path
    lens: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy if the backend has estimated the depth: the copy here does not hold the lens it found."""

    @property
    def spec(self) -> ClipSpec:
        """The clip as the protocol's structure. Raises AddonError if the .blend's copy is damaged."""
        try:
            return msgspec.json.decode(self.clip_json, type=ClipSpec)
        except msgspec.MsgspecError as error:
            raise AddonError("This shot's clip data cannot be read; import the clip again.", str(error)) from error


def run_with_clip(
    link: Link,
    clip: StoredClip,
    make: Callable[[ClipSpec], MeshRequest],
    *,
    title: str,
    on_item: OnItem,
    full: Callable[[], bool] = never,
    on_submit: Callable[[str], None] | None = None,
    edits: tuple[FrameEdit, ...] = (),
    objects: tuple[SceneObject, ...] = (),
) -> Steps[str]:
    """Run a job on a stored clip with its edits; upload the clip's files only if this backend does not have them.

    ``title``, ``on_item``, ``full`` and ``on_submit`` are those of :meth:`Link.run_job`.
    """
    spec = clip.spec
    changes, things = EditUploads(link.client, edits), ObjectUploads(link.client, objects)

    def edited() -> MeshRequest:
        return things.apply(changes.apply(make(spec)))

    run = partial(link.run_job, title=title, on_item=on_item, full=full, on_submit=on_submit)
    try:
        return (yield from run(edited, after=(*changes.all, *things.all)))
    except JobRefused as refused:
        if refused.code != "blob_missing":
            raise
        log.info("the backend lacks the clip's files; sending them")
    uploads = _Uploads(link.client, find_video(clip.video), find_depth(clip.depth))

    def request() -> MeshRequest:
        video, depth = uploads.media()
        if clip.lens is not None and video == spec.video:
            whole = msgspec.structs.replace(spec, depth=depth, intrinsics=clip.lens, fov_deg=None, focal_px=None)
            return things.apply(changes.apply(make(whole)))
        if (video, depth) != (spec.video, spec.depth):
            raise UploadFailed("The clip's video or depth has changed since the import; import it again.")
        return edited()

    return (yield from run(request, after=(*uploads.all, *changes.all, *things.all)))


class _Uploads:
    """A clip's files on their way to the backend; without ``depth`` it makes that itself."""

    def __init__(self, client: Client, video: MediaFiles, depth: MediaFiles | None):
        self._found = (video,) if depth is None else (video, depth)
        self._parts = tuple(tuple(client.upload(path) for path in found.paths) for found in self._found)

    @property
    def all(self) -> tuple[Upload, ...]:
        return tuple(upload for part in self._parts for upload in part)

    def media(self) -> tuple[Media, ...]:
        """The sources by content, video first; only once every upload is hashed."""
        return tuple(
            Media(kind=found.kind, blobs=tuple(upload.ref for upload in part))
            for found, part in zip(self._found, self._parts, strict=True)
        )

    def estimate(self, source: ClipSource) -> EstimateDepth:
        return EstimateDepth(
            video=self.media()[0],
            estimator=source.estimator,
            settings=dict(source.estimator_settings),
            num_frames=source.num_frames,
            fov_deg=source.fov_deg,
            focal_px=source.focal_px,
            name=source.name,
        )

    def clip(self, source: ClipSource, estimated: Media | None = None) -> ClipSpec:
        video, *rest = self.media()
        depth = estimated or rest[0]
        return ClipSpec(
            video=video,
            depth=depth,
            depth_scale=source.depth_scale if estimated is None else None,
            num_frames=source.num_frames,
            fov_deg=source.fov_deg,
            focal_px=source.focal_px,
            fill_invalid=source.fill_invalid,
            fps=source.fps,
            name=source.name,
        )


def guides_request(clip: ClipSpec, trajectory: TrajectorySpec, mesh: MeshSpec = MeshSpec()) -> RenderGuides:
    """Guides for the add-on: every frame as the camera sees it, the first one too."""
    return RenderGuides(clip=clip, trajectory=trajectory, mesh=mesh)


def generate_request(
    clip: ClipSpec,
    trajectory: TrajectorySpec,
    *,
    engine: str,
    seed: int,
    settings: dict[str, Any],
    mesh: MeshSpec = MeshSpec(),
) -> Generate:
    """A take by ``engine``."""
    return Generate(clip=clip, trajectory=trajectory, mesh=mesh, engine=engine, seed=seed, settings=settings)


def require_engine(capabilities: Capabilities, name: str) -> None:
    """Raise AddonError unless the backend has the engine and can run it; the sentence says what is missing."""
    found = {engine.name: engine for engine in capabilities.engines}
    if name not in found:
        raise AddonError(f"The backend has no engine '{name}'; it has: {', '.join(found) or 'none'}.")
    if not found[name].available:
        raise AddonError(found[name].missing or f"The engine '{name}' is not available on this backend.")


def clip_numbers(info: dict[str, Any]) -> dict[str, Any]:
    """What a shot needs of the backend's ``clip_info``. Raises AddonError if a field is missing."""
    kinds = {
        "num_frames": int,
        "width": int,
        "height": int,
        "fps": float,
        "near_depth": float,
        "intrinsics": tuple,
        "intrinsics_source": str,
    }
    try:
        return {name: kind(info[name]) for name, kind in kinds.items()}
    except KeyError as error:
        raise AddonError(
            f"The backend's clip_info lacks {error.args[0]!r}; use an add-on and a backend of the same version."
        ) from error
