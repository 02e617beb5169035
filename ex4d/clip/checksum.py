"""What tells one clip from another: a hash of all that its pictures are made of."""

import hashlib
import threading
import weakref

import numpy as np

from ex4d.frames import FrameStore
from ex4d.progress import CancelToken, check
from ex4d.types import Clip
from ex4d_ground.arrays import Float64

_last: list[tuple[weakref.ref[FrameStore], weakref.ref[FrameStore], tuple[bytes, ...], str]] = []
"""Of the last clip that lies on a disk, which takes seconds to read and which nobody changes: what it was made of."""
_lock = threading.Lock()


def clip_sha256(clip: Clip, cancel: CancelToken | None = None) -> str:
    """SHA-256 of the clip's frames, depth, lens and source camera, for telling whether a take was made from this very
    clip. A camera that stands still changes nothing. Raises Cancelled.
    """
    cameras = _cameras(clip)
    if not (isinstance(clip.frames, FrameStore) and isinstance(clip.depth, FrameStore)):
        return _hashed(clip, cameras, cancel)
    exact = cameras_of(clip)
    with _lock:
        for frames, depth, of, digest in _last:
            if frames() is clip.frames and depth() is clip.depth and of == exact:
                return digest
        digest = _hashed(clip, cameras, cancel)
        _last[:] = [(weakref.ref(clip.frames), weakref.ref(clip.depth), exact, digest)]
        return digest


def cameras_of(clip: Clip) -> tuple[bytes, ...]:
    """What tells a clip from another with the same frames and depth: its lens, and how its camera moved."""
    return tuple(camera.tobytes() for camera in _cameras(clip))


def _cameras(clip: Clip) -> tuple[Float64, ...]:
    moving = clip.moving_camera
    motion = () if moving is None else (moving.world_from_camera, moving.intrinsics)
    return (clip.intrinsics.matrix, *motion)


def _hashed(clip: Clip, cameras: tuple[Float64, ...], cancel: CancelToken | None) -> str:
    digest = hashlib.sha256()
    for array in (clip.frames, clip.depth, *cameras):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for part in array:
            check(cancel)
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
