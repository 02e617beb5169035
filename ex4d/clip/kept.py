"""A clip whose frames and depth lie in a folder, so that another process has it at once.

A file that is removed is there for as long as someone has it open, so nobody has to ask who else reads it.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ex4d.clip.video import FRAMES_FILE, PLATE_FILE
from ex4d.colour import View
from ex4d.frames import FrameStore, bounds_of, frames_in
from ex4d.frames.store import DiskFrames
from ex4d.types import Clip, Plate
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import InputError
from ex4d_ground.footage import Footage

DEPTH_FILE = "depth.raw"


class KeptClip(msgspec.Struct, frozen=True, kw_only=True):
    """All of a clip but its frames, which lie in a folder's files."""

    shape: tuple[int, int, int]
    """T, H, W."""
    intrinsics: Intrinsics
    fps: float
    name: str
    depth_source: str
    depth_licence: str
    sky_from: float
    footage: Footage
    view: View | None
    sound: str
    """Path of the file that holds it; "" if none does."""
    plate: str
    """Type of the plate's numbers; "" if there is none."""
    plate_view: View | None
    bounds: list[tuple[float, float]]
    """Least and largest depth of each frame."""
    depth_offset: int
    """Where in its file the depth begins."""


def describe_kept(clip: Clip) -> KeptClip:
    """What is to be known of a clip that was read with ``keep_in``, to open it again."""
    t, height, width = clip.depth.shape
    return KeptClip(
        shape=(t, height, width),
        **{name: getattr(clip, name) for name in _SAME},
        sound="" if clip.sound is None else str(clip.sound),
        plate="" if clip.plate is None else clip.plate.frames.dtype.str,
        plate_view=None if clip.plate is None else clip.plate.view,
        depth_offset=clip.depth.offset if isinstance(clip.depth, DiskFrames) else 0,
        bounds=[(float(low), float(high)) for low, high in bounds_of(clip.depth)],
    )


def open_kept(kept: KeptClip, folder: Path) -> Clip:
    """The clip whose files lie in ``folder``. Raises OutputError, InputError for files that are not whole."""
    pictures = (*kept.shape, 3)
    depth = _opened(folder / DEPTH_FILE, kept.shape, np.float32, offset=kept.depth_offset)
    depth.known_bounds = np.array(kept.bounds, np.float32).reshape(-1, 2)
    plate = None
    if kept.plate and kept.plate_view is not None:
        plate = Plate(_opened(folder / PLATE_FILE, pictures, np.dtype(kept.plate)), kept.plate_view)
    return Clip(
        _opened(folder / FRAMES_FILE, pictures, np.uint8),
        depth,
        **{name: getattr(kept, name) for name in _SAME},
        sound=Path(kept.sound) if kept.sound else None,
        plate=plate,
    )


_SAME = ("intrinsics", "fps", "name", "depth_source", "depth_licence", "sky_from", "footage", "view")


def _opened(path: Path, shape: tuple[int, ...], dtype: Any, *, offset: int = 0) -> FrameStore:
    frames = frames_in(path, shape, dtype, offset=offset)
    if path.stat().st_size < offset + frames.nbytes:
        raise InputError(f"{path} is shorter than it was; read the clip again.")
    return frames
