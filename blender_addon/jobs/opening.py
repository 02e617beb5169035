"""The opening of a large clip: files of its first frames alone, so that one is shown before the rest was sent.

No Blender in here. Whatever such files cannot be made of is left to the whole clip, which says what is wrong with it.
"""

import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ex4d_ground.array_files import DAMAGED, read_array_header

from .media import ClipFiles, MediaFiles

FRAMES = 2
"""A clip has two frames at least."""
LARGE_BYTES = 64 << 20
"""Depth that takes less than this is there so soon that no opening is worth its own job."""
_FACT_BYTES = 1 << 20
"""What stands beside the depth in an archive (a lens, a licence) is short."""
_NO_OPENING = DAMAGED
"""What numpy and zipfile say of files that are damaged, or that cannot be written."""


@dataclass(frozen=True)
class Opening:
    """Files of a clip's first frames."""

    files: ClipFiles
    num_frames: int
    """Of the whole clip, as far as its files tell."""
    made: Path
    """A file that was made for it and that is not needed once it has been sent; there may be none at this place."""


def opening_of(clip: ClipFiles, folder: Path) -> Opening | None:
    """The opening of ``clip``, None for one that is small, or whose depth cannot be cut. New files go to ``folder``."""
    if clip.depth is None:
        return None
    try:
        depth, count, size = _depth_opening(clip.depth, folder)
    except _NO_OPENING:
        return None
    pictures = clip.video.kind != "video"
    if size < LARGE_BYTES or count <= FRAMES or (pictures and len(clip.video.paths) <= FRAMES):
        return None
    video = _first_of(clip.video) if pictures else clip.video
    known = (count, len(clip.video.paths)) if pictures else (count,)
    return Opening(ClipFiles(video, depth), min(known), folder / f"opening{depth.paths[0].suffix}")


def _first_of(media: MediaFiles) -> MediaFiles:
    return replace(media, paths=media.paths[:FRAMES])


def _depth_opening(depth: MediaFiles, folder: Path) -> tuple[MediaFiles, int, int]:
    """The first frames, how many there are in all, and bytes of all; a short depth is not cut."""
    path = depth.paths[0]
    if depth.kind.endswith("_sequence"):
        return _first_of(depth), len(depth.paths), path.stat().st_size * len(depth.paths)
    target = folder / f"opening{path.suffix.lower()}"
    count, size = _cut_archive(path, target) if depth.kind == "npz" else _cut_array(path, target)
    return replace(depth, paths=(target,)), count, size


def _cut_array(path: Path, target: Path) -> tuple[int, int]:
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.nbytes >= LARGE_BYTES:
        np.save(target, values[:FRAMES])
    return len(values), values.nbytes


def _cut_archive(path: Path, target: Path) -> tuple[int, int]:
    count = size = 0
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        depth = "depth.npy" if "depth.npy" in names else names[0]
        with archive.open(depth) as stream:
            shape, fortran, dtype = read_array_header(stream)
            count, size = shape[0], math.prod(shape) * dtype.itemsize
            if fortran or size < LARGE_BYTES:
                return count, 0
            values = np.frombuffer(stream.read(FRAMES * size // count), dtype).reshape(FRAMES, *shape[1:])
        with zipfile.ZipFile(target, "w") as short:
            for name in names:
                if name == depth:
                    with short.open(name, "w") as stream:
                        np.lib.format.write_array(stream, values, allow_pickle=False)
                elif archive.getinfo(name).file_size <= _FACT_BYTES:
                    short.writestr(name, archive.read(name))
    return count, size
