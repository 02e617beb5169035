"""Which of a clip's colour and depth files belong together, where both are sequences."""

from pathlib import Path

from ex4d.clip.depth import find_depth_pictures
from ex4d.clip.video import find_pictures
from ex4d_ground.errors import DepthError
from ex4d_ground.sequences import FrameFiles, is_named, pair_sequences

Source = Path | FrameFiles


def paired_sources(video: Path, depth: Path, *, num_frames: int | None = None) -> tuple[Source, Source, str]:
    """The sources to read: as they are, or, where both are sequences, the files that belong together.

    The text says what people should know about it, "" if nothing. Raises ClipError, DepthError.
    """
    # What is not there is said by who reads it.
    colours = find_pictures(video) if is_named(video) else None
    depths = find_depth_pictures(depth) if is_named(depth) else None
    if colours is None or depths is None:
        return video, depth, ""
    pairs = pair_sequences(colours, depths, num_frames=num_frames, error=DepthError)
    return pairs.colour, pairs.depth, pairs.note
