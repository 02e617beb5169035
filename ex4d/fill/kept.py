"""Places of clips that were seen before: another camera move of a clip, in whatever process, finds its own.

The last one stays in memory, the parts of others in files of a folder (:mod:`ex4d.places`). Their names are hashes of
all that they are made of, the clip and the code among it, so they are never another clip's nor another version's.
"""

import hashlib
import threading
import weakref
from typing import Any

import cv2
import numpy as np

from ex4d.clip.checksum import cameras_of, clip_sha256
from ex4d.compiled.sources import source_stamp
from ex4d.fill.parts import Parts
from ex4d.fill.plate import Plate, clean_plate
from ex4d.fill.world import World, build_world
from ex4d.places import places_folder
from ex4d.progress import CancelToken
from ex4d.types import Clip
from ex4d_ground.planes import PlaneEdit, read, written

_PLATE = ("plate",)

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
    parts = Parts(places_folder(), _made_of(clip, cancel))
    plate = parts.find(Plate, _PLATE)
    if plate is None:
        plate = clean_plate(clip)
        if plate is None:
            return None
        parts.keep(_PLATE, plate)
    return build_world(plate, cancel, edits, parts)


def _made_of(clip: Clip, cancel: CancelToken | None) -> str:
    made_by = (source_stamp(__name__), np.__version__, cv2.__version__)
    return hashlib.sha256("\n".join([clip_sha256(clip, cancel), *made_by]).encode()).hexdigest()
