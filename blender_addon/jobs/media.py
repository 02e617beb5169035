"""Finding a clip's files: a video or a folder of frames, and its depth."""

from dataclasses import dataclass
from pathlib import Path

from ex4d_ground import sequences
from ex4d_ground.files import COLOUR_SUFFIXES, DEPTH_SUFFIXES
from ex4d_ground.media_kinds import MediaKind, colour_sequence_kind, depth_file_kind, depth_sequence_kind
from ex4d_ground.sequences import FrameFiles, find_sequence, is_named, names_sequence, pair_sequences

from ..work.errors import AddonError

OTHER_PICTURES = (".tga", ".jp2")
"""What Blender reads and a backend does not."""
_VIDEO_KINDS = "mp4 mov mkv avi webm m4v mxf mpg mpeg ts mts ogv wmv flv"
VIDEOS = tuple(f".{kind}" for kind in _VIDEO_KINDS.split())
"""By which a file browser and a drop know a video; any other file is tried as one too."""


@dataclass(frozen=True)
class MediaFiles:
    """Files of one source, in order; ``kind`` is the protocol's."""

    kind: MediaKind
    paths: tuple[Path, ...]
    start_frame: int = 1
    """Number of the first picture, as its name says."""


@dataclass(frozen=True)
class ClipFiles:
    """A clip's video and depth, frame by frame those that belong together."""

    video: MediaFiles
    depth: MediaFiles | None
    note: str = ""
    """What the artist should know of them."""


def find_clip(video: Path, depth: Path | None, num_frames: int | None = None) -> ClipFiles:
    """A clip's video and depth, each a file or a sequence; two sequences are paired by number or time stamp.

    Gaps behind the first ``num_frames`` do not matter. Raises AddonError.
    """
    colours = _video_pictures(video)
    depths = None if depth is None else _depth_pictures(depth)
    note = ""
    if colours is not None and depths is not None:
        pairs = pair_sequences(colours, depths, num_frames=num_frames, error=AddonError)
        chosen, note = (pairs.colour, pairs.depth), pairs.note
        if any(of.paths[: len(part)] != part.paths for of, part in zip((colours, depths), chosen, strict=True)):
            colours, depths = chosen  # else all files are sent, as they always were: the backend takes the first
    for files in (colours, depths):
        if files is not None:
            files.first(num_frames).require_whole(AddonError)
    return ClipFiles(_video(video, colours), None if depth is None else _depth(depth, depths), note)


def clip_name(video: Path) -> str:
    """What people call a clip."""
    return sequences.clip_name(video, (*COLOUR_SUFFIXES, *OTHER_PICTURES))


def find_video(path: Path) -> MediaFiles:
    """A video file, a folder of frames, or the first of a sequence. Raises AddonError."""
    return find_clip(path, None).video


def numbered_from(path: Path) -> tuple[Path, ...]:
    """The files of a numbered sequence from ``path`` on, up to the first gap; ``path`` alone if it has no number."""
    files = find_sequence(path, (path.suffix,), AddonError)
    missing = files.missing()
    return files.paths if not missing else files.first(sum(s < missing[0] for s in files.stamps or ())).paths


def _video_pictures(path: Path) -> FrameFiles | None:
    require_there(path, "video")
    if path.is_file() and path.suffix.lower() in OTHER_PICTURES:
        raise AddonError(
            f"{path.name} is a {path.suffix[1:].upper()} picture, which a backend does not read; load it into "
            "Blender as an image sequence and choose it from the list beside the path: it is converted then."
        )
    return _pictures(path, COLOUR_SUFFIXES, "video")


def _depth_pictures(path: Path) -> FrameFiles | None:
    require_there(path, "depth")
    return _pictures(path, DEPTH_SUFFIXES, "depth")


def _video(path: Path, files: FrameFiles | None) -> MediaFiles:
    if files is None:
        return MediaFiles("video", (path,))
    return MediaFiles(colour_sequence_kind(files.paths[0]), files.paths, files.first_number)


def _depth(path: Path, files: FrameFiles | None) -> MediaFiles:
    if files is not None:
        return MediaFiles(depth_sequence_kind(files.paths[0]), files.paths)
    kind = depth_file_kind(path)
    if kind is None:
        raise AddonError(
            f"Depth file {path.name} is of no known kind; use .npz, .npy, or a folder of 16-bit PNG or EXR frames."
        )
    return MediaFiles(kind, (path,))


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """The folder's pictures of one format in order, PNG before any other; none if it has none. Raises AddonError."""
    for suffix in (*COLOUR_SUFFIXES, *OTHER_PICTURES):
        found = find_sequence(folder, (suffix,), AddonError)
        if found.paths:
            found.require_whole(AddonError)
            return found.paths
    return ()


def require_there(path: Path, what: str) -> None:
    """Raise AddonError, saying ``what`` it was to be, if there is nothing at ``path``."""
    if not is_named(path):
        raise AddonError(f"There is no {what} at {path}; choose a file or folder that exists.")


def _pictures(path: Path, suffixes: tuple[str, ...], what: str) -> FrameFiles | None:
    """The pictures that ``path`` means, None if it is another file."""
    if path.exists() and not names_sequence(path, suffixes):
        return None
    files = find_sequence(path, suffixes, AddonError)
    if not files.paths:
        raise AddonError(
            f"The {what} folder {path} holds no {', '.join(suffixes)} frames; choose the folder that has them."
        )
    return files
