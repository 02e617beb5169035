"""The three long operations as steps: build a clip's mesh, render guides, generate a take.

No Blender in here: results go to files (whole or not at all) and into plain values that an operator then shows.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    Generate,
    Media,
    RenderGuides,
    Request,
    TrajectorySpec,
)

from . import files
from .edit_upload import EditUploads, FrameEdit
from .errors import AddonError
from .link import JobRefused, Link, OnItem
from .media import MediaFiles, find_depth, find_video
from .pc2 import Pc2Writer
from .tasks import Steps

log = logging.getLogger(__package__)


@dataclass(frozen=True)
class ClipSource:
    """A clip on this machine and how to read it. At most one of ``fov_deg`` and ``focal_px``."""

    video: Path
    depth: Path
    num_frames: int | None = None
    fov_deg: float | None = None
    focal_px: float | None = None
    depth_scale: float = 1.0
    fill_invalid: bool = False
    name: str = "clip"


@dataclass(frozen=True)
class ImportedClip:
    """A clip whose files lie in ``folder``: mesh.pc2, colour/ and visible/."""

    folder: Path
    info: dict[str, Any]
    """The backend's ``clip_info``; :func:`clip_numbers` takes what a shot needs."""
    faces: NDArray[np.int32]  # [F, 3]
    clip_json: str


def import_clip(link: Link, source: ClipSource, folder: Path) -> Steps[ImportedClip]:
    """Upload the clip, have its mesh built and write it to ``folder`` (which must not exist yet)."""
    uploads = _Uploads(link.client, find_video(source.video), find_depth(source.depth))
    with new_folder(folder) as partial, _ClipWriter(partial) as writer:
        job_id = yield from link.run_job(
            lambda: BuildMesh(clip=uploads.clip(source)),
            after=uploads.all,
            title=f"Import {source.name}",
            on_item=writer.take,
        )
        faces = writer.finish()
    link.client.ack(job_id)
    clip_json = msgspec.json.encode(uploads.clip(source)).decode()
    return ImportedClip(folder, writer.info, faces, clip_json)


class _ClipWriter:
    """Writes a BuildMesh job's items to a folder as they come."""

    def __init__(self, folder: Path):
        self.info: dict[str, Any] = {}
        self._folder = folder
        self._cache: Pc2Writer | None = None
        self._faces: NDArray[np.int32] | None = None

    def __enter__(self) -> _ClipWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._cache is not None:
            self._cache.abandon()

    def take(self, item: ev.ItemReceived) -> None:
        """Store one item. Raises AddonError if it cannot be written or does not fit."""
        match item.name:
            case "clip_info":
                self.info = item.json()
                points = self.info["width"] * self.info["height"]
                path = self._folder / files.CACHE_FILE
                self._cache = Pc2Writer(path, points=points, samples=self.info["num_frames"])
            case "faces":
                self._faces = np.array(item.array(), np.int32)
            case "vertices":
                if self._cache is None:
                    raise AddonError("The backend sent a mesh before its clip; import the clip again.")
                self._cache.write(item.frame, item.array())
            case "colour" | "visible":
                sub = files.COLOUR_FOLDER if item.name == "colour" else files.VISIBLE_FOLDER
                files.write_whole(self._folder / sub / files.frame_name(item.frame), item.data)

    def finish(self) -> NDArray[np.int32]:  # [F, 3]
        """Put the cache in place and return the faces. Raises AddonError if something never came."""
        if self._cache is None or self._faces is None:
            raise AddonError("The backend sent no mesh for this clip; look at the backend's log.")
        self._cache.close()
        return self._faces


def render_guides(
    link: Link,
    make: Callable[[ClipSpec], RenderGuides],
    clip: StoredClip,
    folder: Path,
    *,
    edits: tuple[FrameEdit, ...] = (),
) -> Steps[NDArray[np.float64]]:
    """Render guides of the edited clip into ``folder``/guides (replacing the last ones); coverage per frame [N]."""
    coverage: list[NDArray[np.float64]] = []
    target = folder / files.GUIDES_FOLDER
    with new_folder(target, replaces=True) as partial:

        def on_item(item: ev.ItemReceived) -> None:
            if item.name == "coverage":
                coverage.append(np.array(item.array(), np.float64))
            elif item.name in ("colour", "mask"):
                sub = files.COLOUR_FOLDER if item.name == "colour" else files.MASK_FOLDER
                files.write_whole(partial / sub / files.frame_name(item.frame), item.data)

        job_id = yield from run_with_clip(link, clip, make, title="Render guides", on_item=on_item, edits=edits)
        if not coverage:
            raise AddonError("The backend sent no coverage for these guides; look at the backend's log.")
        files.write_whole(partial / "coverage.json", json.dumps(coverage[0].tolist()).encode())
    link.client.ack(job_id)
    return coverage[0]


@dataclass(frozen=True)
class StoredClip:
    """A clip imported earlier: what the backend calls it, and where its files were."""

    clip_json: str
    video: Path
    depth: Path

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
    make: Callable[[ClipSpec], Request],
    *,
    title: str,
    on_item: OnItem,
    on_submit: Callable[[str], None] | None = None,
    edits: tuple[FrameEdit, ...] = (),
) -> Steps[str]:
    """Run a job on a stored clip with its edits; upload the clip's files only if this backend does not have them."""
    spec = clip.spec
    changes = EditUploads(link.client, edits)

    def edited() -> Request:
        return changes.apply(make(spec))

    try:
        return (yield from link.run_job(edited, after=changes.all, title=title, on_item=on_item, on_submit=on_submit))
    except JobRefused as refused:
        if refused.code != "blob_missing":
            raise
        log.info("the backend lacks the clip's files; sending them")
    uploads = _Uploads(link.client, find_video(clip.video), find_depth(clip.depth))

    def request() -> Request:
        if uploads.media() != (spec.video, spec.depth):
            raise UploadFailed("The clip's video or depth has changed since the import; import it again.")
        return edited()

    after = (*uploads.all, *changes.all)
    return (yield from link.run_job(request, after=after, title=title, on_item=on_item, on_submit=on_submit))


class _Uploads:
    """A clip's files on their way to the backend."""

    def __init__(self, client: Client, video: MediaFiles, depth: MediaFiles):
        self._kinds = video.kind, depth.kind
        self._parts = tuple(tuple(client.upload(path) for path in found.paths) for found in (video, depth))

    @property
    def all(self) -> tuple[Upload, ...]:
        return self._parts[0] + self._parts[1]

    def media(self) -> tuple[Media, Media]:
        """Both sources by content; only once every upload is hashed."""
        video, depth = (
            Media(kind=kind, blobs=tuple(upload.ref for upload in part))
            for kind, part in zip(self._kinds, self._parts, strict=True)
        )
        return video, depth

    def clip(self, source: ClipSource) -> ClipSpec:
        video, depth = self.media()
        return ClipSpec(
            video=video,
            depth=depth,
            depth_scale=source.depth_scale,
            num_frames=source.num_frames,
            fov_deg=source.fov_deg,
            focal_px=source.focal_px,
            fill_invalid=source.fill_invalid,
            name=source.name,
        )


@contextmanager
def new_folder(target: Path, *, replaces: bool = False, in_place: bool = False) -> Iterator[Path]:
    """A folder that is complete or absent.

    Files are written to a folder beside ``target``, which takes its place at the end; with ``in_place`` they are
    written to ``target`` itself, so that they can be watched as they arrive. After an error it is removed.
    """
    partial = target if in_place else target.with_name(target.name + ".part")
    try:
        if not in_place:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        raise AddonError(
            f"Cannot make the folder {partial}: {error.strerror or error}; choose a folder you can write to."
        ) from error
    try:
        yield partial
        if not in_place:
            if replaces:
                shutil.rmtree(target, ignore_errors=True)
            partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def guides_request(clip: ClipSpec, trajectory: TrajectorySpec) -> RenderGuides:
    """Guides for the add-on: every frame as the camera sees it, the first one too."""
    return RenderGuides(clip=clip, trajectory=trajectory)


def generate_request(
    clip: ClipSpec, trajectory: TrajectorySpec, *, engine: str, seed: int, settings: dict[str, Any]
) -> Generate:
    """A take by ``engine``."""
    return Generate(clip=clip, trajectory=trajectory, engine=engine, seed=seed, settings=settings)


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
