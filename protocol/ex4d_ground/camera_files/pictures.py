"""What the names of the pictures that cameras belong to say: that one is missing, or that several cameras filmed."""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from ex4d_ground.errors import TrajectoryError
from ex4d_ground.numbered_names import sequences_among
from ex4d_ground.sequences import FrameFiles, ranges

_SHOWN = 4
"""So many folders are listed in a message."""


def check_pictures(path: Path, names: Sequence[str], note: Callable[[str], None], whole: int | None) -> None:
    """Say what the names of a move's pictures tell about it: which numbers have no camera, and that there are folders.

    ``names`` are in the order of the cameras; even steps are no gaps. ``whole`` is how many of the first cameras must
    be those of one frame after the other, since they say how a clip was filmed: for those TrajectoryError is raised.
    """
    pictures = [PurePosixPath(name.replace("\\", "/")) for name in names]
    folders = list(dict.fromkeys(str(picture.parent) for picture in pictures))
    if len(folders) > 1:
        listed = ", ".join(folders[:_SHOWN]) + (f" and {len(folders) - _SHOWN} more" if len(folders) > _SHOWN else "")
        text = f"{path} holds the cameras of {len(folders)} folders of pictures ({listed})"
        if whole is not None:
            raise TrajectoryError(f"{text}; leave those of the clip alone in it.")
        note(f"{text}; the move goes through them one after the other")
        return
    found = sequences_among([Path(picture.name) for picture in pictures])
    if len(found) != 1 or not found[0].at:
        return
    one = found[0]
    files = FrameFiles(tuple(name.path for name in one.names), tuple(name.stamp(one.at) for name in one.names), "")
    missing = files.missing()
    if not missing:
        return
    text = (
        f"{path} lacks the camera{'s' if len(missing) > 1 else ''} of frame{'s' if len(missing) > 1 else ''} "
        f"{ranges(missing)} between {files.paths[0].name} and {files.paths[-1].name}"
    )
    if whole is None:
        note(f"{text}; the move goes on without a stop there")
    elif sum(stamp < missing[0] for stamp in files.stamps or ()) < whole:
        raise TrajectoryError(f"{text}; have every frame solved, or give the clip from behind the gap on.")
