"""Finding a clip's files: a video or a folder of frames, and its depth."""

import re
from dataclasses import dataclass
from pathlib import Path

from ex4d_protocol.requests import MediaKind

from ..work.errors import AddonError

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")
OTHER_PICTURES = (".jpg", ".jpeg", ".tif", ".tiff", ".exr", ".tga", ".bmp", ".webp", ".dpx", ".jp2")
DEPTH_FILES: dict[str, MediaKind] = {".npz": "npz", ".npy": "npy"}


@dataclass(frozen=True)
class MediaFiles:
    """Files of one source, in order; ``kind`` is the protocol's."""

    kind: MediaKind
    paths: tuple[Path, ...]


def find_video(path: Path) -> MediaFiles:
    """A video file, a folder of PNG frames in name order, or the first of a PNG sequence. Raises AddonError."""
    _must_exist(path, "video")
    if path.is_dir():
        return MediaFiles("png_sequence", _frames(path, (".png",), "video"))
    if path.suffix.lower() == ".png":
        return MediaFiles("png_sequence", numbered_from(path))
    if path.suffix.lower() in OTHER_PICTURES:
        raise AddonError(
            f"{path.name} is a {path.suffix[1:].upper()} picture, and sequences are read as PNG only; load it into "
            "Blender as an image sequence and choose it from the list beside the path: it is converted then."
        )
    return MediaFiles("video", (path,))


def numbered_from(path: Path) -> tuple[Path, ...]:
    """The files of a numbered sequence from ``path`` on, without a gap; ``path`` alone if it has no number."""
    match = NUMBERED.fullmatch(path.name)
    if match is None:
        return (path,)
    head, digits, tail = match.groups()
    paths, number = [], int(digits)
    while (candidate := path.with_name(f"{head}{number:0{len(digits)}d}{tail}")).exists():
        paths.append(candidate)
        number += 1
    return tuple(paths)


def find_depth(path: Path) -> MediaFiles:
    """An .npz or .npy file, or a folder of 16-bit PNG or EXR frames. Raises AddonError."""
    _must_exist(path, "depth")
    if path.is_dir():
        paths = _frames(path, (".exr", ".png"), "depth")
        return MediaFiles("exr_sequence" if paths[0].suffix.lower() == ".exr" else "png_sequence", paths)
    kind = DEPTH_FILES.get(path.suffix.lower())
    if kind is None:
        raise AddonError(
            f"Depth file {path.name} is of no known kind; use .npz, .npy, or a folder of 16-bit PNG or EXR frames."
        )
    return MediaFiles(kind, (path,))


def _must_exist(path: Path, what: str) -> None:
    if not path.exists():
        raise AddonError(f"There is no {what} at {path}; choose a file or folder that exists.")


def _frames(folder: Path, suffixes: tuple[str, ...], what: str) -> tuple[Path, ...]:
    for suffix in suffixes:
        frames = tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() == suffix))
        if frames:
            return frames
    raise AddonError(
        f"The {what} folder {folder} holds no {' or '.join(suffixes)} frames; choose the folder that has them."
    )
