"""From a request's references to the library's objects: clips and meshes, with the last ones kept warm."""

import os
import shutil
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar, Unpack

import msgspec
import numpy as np

from ex4d.clip.colours import ColourChoice
from ex4d.clip.container import count_frames
from ex4d.clip.invalid import InvalidDepth
from ex4d.clip.load import load_clip
from ex4d.clip.source_camera import with_source_camera
from ex4d.clip.video import open_video
from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.proxy import ProxyGrid
from ex4d.frames.scratch import VARIABLE
from ex4d.frames.stack import IN_MEMORY_BYTES
from ex4d.lens import Lens
from ex4d.progress import Watch
from ex4d.raster import AUTO
from ex4d.types import Clip
from ex4d_backend.blob_files import blob_path
from ex4d_backend.limits import too_many_pixels
from ex4d_backend.shared_clips import LoadedSource, shared_clip
from ex4d_ground.arrays import Float32, Int8
from ex4d_ground.errors import InputError, ShapeError
from ex4d_ground.grids import is_full
from ex4d_ground.options import RasterOptions
from ex4d_protocol.requests import BlobRef, ClipSpec, Media, MeshSpec, VideoReading

_SUFFIXES = {"video": ".video", "npz": ".npz", "npy": ".npy", "png_sequence": ".png", "exr_sequence": ".exr"}
_SUFFIXES |= {"image_sequence": ".jpg"}  # whatever the pictures are: their first bytes say it


T = TypeVar("T")


class WarmCache(Generic[T]):
    """The last few results of something slow, by key."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._entries: OrderedDict[bytes, T] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def entry(self, key: bytes) -> T:
        """The entry. Raises KeyError."""
        return self._entries[key]

    def get(self, key: bytes, make: Callable[[], T]) -> T:
        """The entry, made if it is not there."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        # Make room first: two clips at once may not fit in memory.
        while len(self._entries) >= self._keep:
            self._entries.popitem(last=False)
        value = make()
        self._entries[key] = value
        return value

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()


class Sources:
    """Loads clips and builds meshes for one worker."""

    def __init__(self, *, meshes: int = 1) -> None:
        """Keeps the last clip, and so many of the last ``meshes``."""
        self._clips: WarmCache[LoadedSource] = WarmCache(1)
        self._meshes: WarmCache[DWMesh] = WarmCache(meshes)

    def clip(
        self,
        spec: ClipSpec,
        blobs: Path,
        scratch: Path,
        *,
        clip_pixels: int,
        keep_plate: bool = False,
        **watch: Unpack[Watch],
    ) -> LoadedSource:
        """The clip of ``spec``, read from blobs through links with names of our own in ``scratch``.

        Its source camera is put to what is kept: another one reads nothing anew. With ``keep_plate`` it has its
        pictures in their own depth, too; one that has them serves who needs none.
        """
        camera_of, spec = spec, msgspec.structs.replace(spec, source_camera=None)
        lens = Lens(spec.intrinsics, spec.fov_deg, spec.focal_px, source=spec.intrinsics_source or "given")
        reading, with_plate = _reading(spec), _key(spec) + b"plate"
        deep = with_plate in self._clips or (keep_plate and not self._is_known_plain(spec))
        key = with_plate if deep else _key(spec)

        def load() -> LoadedSource:
            video = lay_out(spec.video, blobs, scratch / "video")
            depth = lay_out(spec.depth, blobs, scratch / "depth")
            filled: list[InvalidDepth] = []
            notes: list[str] = []
            names = {video: spec.video, depth: spec.depth}

            def read(keep_in: Path | None) -> LoadedSource:
                clip = load_clip(
                    video,
                    depth,
                    lens=lens,
                    num_frames=spec.num_frames,
                    fill_invalid=spec.fill_invalid,
                    fps=spec.fps,
                    usual_fps=reading.usual_fps,
                    depth_scale=spec.depth_scale,
                    depth_channel=spec.depth_channel,
                    colour=_colour_choice(reading, blobs),
                    fields=reading.fields,
                    keep_plate=keep_plate,
                    keep_in=keep_in,
                    on_filled=filled.append,
                    on_note=notes.append,
                    **watch,
                )
                shown = tuple(str(in_client_words(InputError(note), names)) for note in notes)
                return LoadedSource(_named(clip, spec), filled[0] if filled else None, shown)

            try:
                height, width, count = check_size(video, spec.num_frames, clip_pixels)
                short = 3 * height * width * count <= IN_MEMORY_BYTES
                return shared_clip(None if short else own_scratch(), key, read, **watch)
            except InputError as error:
                raise in_client_words(error, names) from error

        return filmed(self._clips.get(key, load), camera_of)

    def _is_known_plain(self, spec: ClipSpec) -> bool:
        """Whether the clip is at hand, and of 8 bits that are shown as they are: then there is no plate to read."""
        view = self._clips.entry(_key(spec)).clip.view if _key(spec) in self._clips else None
        return view is not None and view.as_is and view.space.bits == 8

    def let_go(self) -> None:
        """Keep nothing any more."""
        self._clips.clear()
        self._meshes.clear()

    def mesh(self, source: LoadedSource, clip_spec: ClipSpec, spec: MeshSpec, blobs: Path) -> DWMesh:
        """The mesh of a clip with its edits."""
        deep = b"plate" if source.clip.plate is not None else b""
        return self._meshes.get(_key(clip_spec) + deep + _key(spec), lambda: _build_mesh(source.clip, spec, blobs))


def filmed(source: LoadedSource, spec: ClipSpec) -> LoadedSource:
    """A clip with the source camera of ``spec``. Raises ShapeError, TrajectoryError for one that does not fit."""
    if spec.source_camera is None:
        return source
    longer = spec.num_frames is not None
    return replace(source, clip=with_source_camera(source.clip, spec.source_camera.unpack(), longer=longer))


def _reading(spec: ClipSpec) -> VideoReading:
    return spec.reading or VideoReading()


def _colour_choice(reading: VideoReading, blobs: Path) -> ColourChoice:
    """What the client says of the colours. A configuration is read where the blob lies: it outlives the job.

    Raises SettingError for a colour space that there is not, MissingExtraError.
    """
    path = None if reading.ocio is None else blob_path(blobs, reading.ocio.sha256)
    choice = ColourChoice(reading.colour_space, path)
    try:
        _ = choice.space
    except InputError as error:
        shown = reading.ocio.name if reading.ocio is not None and reading.ocio.name else "the configuration"
        raise error.reworded(str(error).replace(str(path), shown)) from error
    return choice


def _named(clip: Clip, spec: ClipSpec) -> Clip:
    """The clip with what the client knows of it and its blobs do not say: its name, and where it starts to count."""
    footage = clip.footage
    if spec.video.kind.endswith("_sequence"):
        footage = msgspec.structs.replace(footage, start_frame=_reading(spec).start_frame)
    return replace(clip, name=spec.name, footage=footage)


def drawn_by(asked: RasterOptions, rasterizer: str) -> RasterOptions:
    """``asked``, with the backend's own ``rasterizer`` where the client left the choice open."""
    return msgspec.structs.replace(asked, rasterizer=rasterizer) if asked.rasterizer == AUTO else asked


def check_size(video: Path, num_frames: int | None, clip_pixels: int) -> tuple[int, int, int]:
    """Height, width and frames of a video. Refuses one that would not fit in memory before it is decoded.

    Raises InputError or ClipError.
    """
    with open_video(video) as (info, frames):
        first = next(frames, None)
    if first is None:
        return 0, 0, 0  # the reader says what is wrong with it
    height, width = first.shape[:2]
    count = num_frames or info.num_frames or count_frames(video)
    text = too_many_pixels(count, width, height, clip_pixels)
    if text:
        raise InputError(text)
    return height, width, count


def own_scratch() -> Path | None:
    """This process's scratch folder, if the server gave it one."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def _key(spec: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(spec)


def lay_out(media: Media, blobs: Path, target: Path) -> Path:
    """Give the blobs of a source file names a reader understands; the bytes stay where they are."""
    suffix = _SUFFIXES[media.kind]
    if not media.kind.endswith("_sequence"):
        if len(media.blobs) != 1:
            raise InputError(f"A source of kind {media.kind} is one file, got {len(media.blobs)}.")
        path = target.with_suffix(suffix)
        link_blob(blobs, media.blobs[0], path)
        return path
    target.mkdir(parents=True, exist_ok=True)
    for i, blob in enumerate(media.blobs):
        link_blob(blobs, blob, target / f"{i + 1:06d}{suffix}")
    return target


def link_blob(blobs: Path, blob: BlobRef, target: Path) -> Path:
    """Have ``target`` be the blob's bytes, without copying them if that can be; returns it. Raises InputError."""
    source = blob_path(blobs, blob.sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise InputError("An uploaded file has expired on the backend; send it again.") from None
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
    return target


def in_client_words(error: InputError, names: dict[Path, Media]) -> InputError:
    """The same error with the client's display names where the server's paths were."""
    message = str(error)
    for path, media in names.items():
        shown = media.blobs[0].name if len(media.blobs) == 1 else ""
        shown = shown or ("the depth" if path.stem == "depth" else "the video")
        for i, blob in enumerate(media.blobs) if path.is_dir() else ():
            message = message.replace(str(path / f"{i + 1:06d}{_SUFFIXES[media.kind]}"), blob.name or f"frame {i + 1}")
        message = message.replace(str(path), shown)
    if message.startswith("the "):
        message = "T" + message[1:]
    return error.reworded(message)


def _build_mesh(clip: Clip, spec: MeshSpec, blobs: Path) -> DWMesh:
    overrides, flags = read_edits(spec, blobs)
    if is_full(clip.width, clip.height, spec.grid_side):
        thickness = _thickness_map(clip, spec, _thickness_reader(clip, blobs))
        return DWMesh(clip, spec.options, vertex_overrides=overrides, face_flags=flags, thickness_map=thickness)
    proxy = ProxyGrid(DWMesh(clip, spec.options), spec.grid_side)
    thickness = _thickness_map(clip, spec, lambda blob, t: proxy.thickness(_read_edit(blob, blobs, "<f4"), t))
    return proxy.edited(overrides, flags, thickness)


def read_edits(spec: MeshSpec, blobs: Path) -> tuple[dict[int, Float32], dict[int, Int8]]:
    """Edited positions [V, 3] and face flags [F] by frame, in the grid they were made on. Raises InputError.

    Flags that several frames share are one array.
    """
    painted = {e.face_flags.sha256: e.face_flags for e in spec.edits if e.face_flags is not None}
    flags = {digest: _read_edit(blob, blobs, "|i1") for digest, blob in painted.items()}
    return (
        {e.frame: _read_positions(e.positions, blobs) for e in spec.edits if e.positions is not None},
        {e.frame: flags[e.face_flags.sha256] for e in spec.edits if e.face_flags is not None},
    )


def _thickness_reader(clip: Clip, blobs: Path) -> Callable[[BlobRef, int | None], Float32]:
    need = 4 * clip.height * clip.width

    def read(blob: BlobRef, _frame: int | None) -> Float32:
        if blob.size != need:
            raise ShapeError(
                f"A painted thickness has {blob.size} bytes; a {clip.width}x{clip.height} clip needs {need}."
            )
        return _read_edit(blob, blobs, "<f4").reshape(clip.height, clip.width)

    return read


def _thickness_map(clip: Clip, spec: MeshSpec, read: Callable[[BlobRef, int | None], Float32]) -> Float32 | None:
    """The painted thickness: [H, W] if only the whole clip has one, [T, H, W] if single frames do, None if none.

    ``read`` gives what is painted in a frame, or for all (None), as [H, W].
    """
    shape = (clip.height, clip.width)
    everywhere = read(spec.thickness, None) if spec.thickness is not None else None
    painted = {e.frame: e.thickness for e in spec.edits if e.thickness is not None}
    if not painted:
        return everywhere
    outside = [t for t in painted if t >= clip.num_frames]
    if outside:
        raise InputError(f"Frame {outside[0] + 1} has a painted thickness, but the clip ends at {clip.num_frames}.")
    whole = np.full((clip.num_frames, *shape), np.nan if everywhere is None else everywhere, np.float32)
    for t, blob in painted.items():
        whole[t] = read(blob, t)
    return whole


def _read_positions(blob: BlobRef, blobs: Path) -> Float32:  # [N, 3]
    if blob.size % 12:
        raise ShapeError(f"An edit of {blob.size} bytes is not a whole number of vertices (12 bytes each).")
    return _read_edit(blob, blobs, "<f4").reshape(-1, 3)


def _read_edit(blob: BlobRef, blobs: Path, dtype: str) -> np.ndarray:
    try:
        return np.fromfile(blob_path(blobs, blob.sha256), dtype)
    except FileNotFoundError:
        raise InputError("An uploaded edit has expired on the backend; send it again.") from None
