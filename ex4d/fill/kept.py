"""Places of clips that were seen before: another camera move of a clip, in whatever process, finds its own.

The last one stays in memory, others in files of a folder (:mod:`ex4d.places`). A file's name is a hash of all that the
place is made of, the clip and the code, so it is never another clip's nor another version's. One that is damaged is
made anew, and those used longest ago go for new ones.
"""

import hashlib
import os
import threading
import weakref
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ex4d.clip.checksum import cameras_of, clip_sha256
from ex4d.compiled.sources import source_stamp
from ex4d.fill.planes import Plane
from ex4d.fill.plate import clean_plate
from ex4d.fill.world import World, build_world
from ex4d.frames.scratch import free_bytes
from ex4d.places import MOST_BYTES, kept_places, places_folder
from ex4d.progress import CancelToken
from ex4d.types import Clip
from ex4d_ground.array_files import DAMAGED
from ex4d_ground.errors import InputError, OutputError
from ex4d_ground.files import atomic_path, forget_unused, require_regular
from ex4d_ground.planes import PlaneEdit, read, written

_PLANES = "planes."

_last: list[tuple[weakref.ref[Any], weakref.ref[Any], tuple[bytes, ...], str, World | None]] = []
"""The last clip's frames, depth and cameras, what was changed of its planes, and its world."""
_lock = threading.Lock()


def world_of(clip: Clip, cancel: CancelToken | None = None, planes: str = "") -> World | None:
    """The world of ``clip``, made if it is not kept; None where there is no plate of it.

    ``planes`` says what an artist changes of its planes (:mod:`ex4d_ground.planes`), "" nothing; a place that was
    changed is another one. Raises Cancelled, and SettingError for a change of a plane that there is not.
    """
    edits = read(planes)
    changed = written(edits)
    with _lock:
        cameras = cameras_of(clip)
        for frames, depth, of, by, world in _last:
            if frames() is clip.frames and depth() is clip.depth and of == cameras and by == changed:
                return world
        world = _found(clip, cancel, edits)
        _last[:] = [(weakref.ref(clip.frames), weakref.ref(clip.depth), cameras, changed, world)]
        return world


def _found(clip: Clip, cancel: CancelToken | None, edits: tuple[PlaneEdit, ...]) -> World | None:
    path = places_folder() / f"{_key(clip, cancel, written(edits))}.npz"
    world = _read(path)
    if world is None:
        plate = clean_plate(clip)
        world = None if plate is None else build_world(plate, cancel, edits)
        if world is not None:
            _keep(path, world)
    return world


def _key(clip: Clip, cancel: CancelToken | None, planes: str) -> str:
    made_by = (source_stamp(__name__), np.__version__, cv2.__version__, planes)
    return hashlib.sha256("\n".join([clip_sha256(clip, cancel), *made_by]).encode()).hexdigest()


def _read(path: Path) -> World | None:
    """The world in a file; None if there is none, or it is damaged."""
    try:
        require_regular(path, MOST_BYTES, InputError)  # a pipe would be waited for
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            parts: dict[str, NDArray[Any]] = dict(file)
        rows = {each.name: parts.pop(_PLANES + each.name) for each in fields(Plane)}
        planes = [
            Plane(**{name: row if row.ndim else row.item() for name, row in zip(rows, values, strict=True)})
            for values in zip(*rows.values(), strict=True)
        ]
        world = World(**parts, planes=tuple(planes))
    except (*DAMAGED, MemoryError):
        return None
    with suppress(OSError):  # of a folder that can only be read
        os.utime(path)
    return world


def _keep(path: Path, world: World) -> None:
    """Write a world for others to find, where there is room; without it they find it themselves."""
    parts = {each.name: getattr(world, each.name) for each in fields(World) if each.name != "planes"}
    for each in fields(Plane):
        parts[_PLANES + each.name] = np.array([getattr(plane, each.name) for plane in world.planes])
    with suppress(OutputError, OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if free_bytes(path.parent) < sum(part.nbytes for part in parts.values()):
            return
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **parts)
        forget_unused(kept_places(path.parent), most_bytes=MOST_BYTES)
