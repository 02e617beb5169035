"""The import of a clip as steps: its files are sent, its depth is estimated if it has none, and its mesh is built.

No Blender in here: results go to files (whole or not at all) and into plain values that an operator then shows.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ex4d_ground.arrays import Float32, Int32
from ex4d_ground.files import frame_name
from ex4d_ground.grids import grid_of
from ex4d_protocol import events as ev
from ex4d_protocol import minors
from ex4d_protocol.client import Client
from ex4d_protocol.requests import BuildMesh, ClipSpec, Media, MeshSpec

from ..scene.clip import clip_numbers
from ..work import files
from ..work.addon import log
from ..work.errors import AddonError, JobFailed
from ..work.link import BackendLink, JobRefused
from ..work.pc2 import Pc2Writer
from ..work.tasks import Steps
from ..work.writer import FolderWriter
from .clip import ClipSource, ClipUploads
from .depth import DepthItems
from .media import ClipFiles, find_clip
from .opening import FRAMES, Opening, opening_of


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
            early = ClipUploads(link.client, opening.files.video, opening.files.depth, source.ocio)
        uploads = ClipUploads(link.client, found.video, depth, source.ocio)  # behind those of the opening
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
    uploads: ClipUploads,
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
