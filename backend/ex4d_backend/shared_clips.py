"""Long clips, read by one process of the server and shared with the others.

Each process keeps the files of the clips that it has in its own scratch folder, side by side with those of the others,
where all find them. A process that takes a clip over links its files: they are there until the last one has let go, or
has ended and lost its scratch folder to the server, however it ended.
"""

import hashlib
import os
import secrets
import shutil
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import msgspec

from ex4d.clip.invalid import InvalidDepth
from ex4d.clip.kept import KeptClip, describe_kept, open_kept
from ex4d.progress import Watch, check, report
from ex4d.types import Clip
from ex4d_ground import stages
from ex4d_ground.errors import InputError, OutputError
from ex4d_ground.files import atomic_path

WAIT_S = 0.1
"""How often a process looks whether another has read the clip that both want."""
_FACTS = "clip.msgpack"
"""Written last: a folder without it is being filled."""


@dataclass(frozen=True)
class LoadedSource:
    """A clip and what was filled in its depth, None where that was not asked for."""

    clip: Clip
    filled: InvalidDepth | None
    notes: tuple[str, ...] = ()
    """What people should know of what was read."""


class _Facts(msgspec.Struct, frozen=True):
    clip: KeptClip
    filled: InvalidDepth | None
    notes: tuple[str, ...]


_decode = msgspec.msgpack.Decoder(_Facts).decode


def shared_clip(
    scratch: Path | None, key: bytes, read: Callable[[Path | None], LoadedSource], **watch: Unpack[Watch]
) -> LoadedSource:
    """The clip of ``key``: another process's, once that has read it, or what ``read`` makes of a folder for its files.

    ``scratch`` is this process's scratch folder; None shares nothing. Raises what ``read`` raises, and Cancelled.
    """
    if scratch is None:
        return read(None)
    digest = hashlib.sha256(key).hexdigest()[:32]
    own = scratch / "clips" / f"{digest}-{secrets.token_hex(4)}"
    while True:
        others = list(scratch.parent.glob(f"*/clips/{digest}-*"))
        whole = [place for place in others if (place / _FACTS).exists()]
        for place in whole:
            taken = _take_over(place, own)
            if taken is not None:
                return taken
        if len(whole) == len(others):
            return _read_into(own, read)
        check(watch.get("cancel"))
        report(watch.get("on_progress"), stages.READING, 0, 0)
        time.sleep(WAIT_S)


def _read_into(own: Path, read: Callable[[Path | None], LoadedSource]) -> LoadedSource:
    try:
        own.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"The clip's files have no place ({error.strerror or error}); free some disk space."
        ) from None
    try:
        loaded = read(own)
        facts = _Facts(describe_kept(loaded.clip), loaded.filled, loaded.notes)
        with atomic_path(own / _FACTS) as path:
            path.write_bytes(msgspec.msgpack.encode(facts))
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    return _while_held(loaded, own)


def _take_over(place: Path, own: Path) -> LoadedSource | None:
    """The clip in ``place``, linked to ``own``; None if its owner has just let go of it, or it is not whole."""
    try:
        facts = _decode((place / _FACTS).read_bytes())
        own.mkdir(parents=True)
        for path in sorted(place.iterdir(), key=lambda path: path.name == _FACTS):  # the facts last
            os.link(path, own / path.name)
        loaded = LoadedSource(open_kept(facts.clip, own), facts.filled, facts.notes)
    except (OSError, OutputError, InputError, msgspec.MsgspecError):
        shutil.rmtree(own, ignore_errors=True)
        return None
    return _while_held(loaded, own)


def _while_held(loaded: LoadedSource, own: Path) -> LoadedSource:
    """Have the files go once nothing in this process uses the clip's frames any more."""
    weakref.finalize(loaded.clip.frames, shutil.rmtree, own, ignore_errors=True)
    return loaded
