"""Parts of places that were made before, each in a file of its own.

A file's name is a hash of all that the part is made of, so places that differ in one plane share everything else. One
that is damaged is made anew, and those used longest ago go for new ones.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ex4d.frames.scratch import free_bytes
from ex4d.places import MOST_BYTES, kept_places
from ex4d_ground.array_files import DAMAGED
from ex4d_ground.errors import InputError, OutputError
from ex4d_ground.files import atomic_path, forget_unused, require_regular

Part = TypeVar("Part")


class Parts:
    """The parts of one clip's places, in ``folder``; without one nothing is kept.

    ``made_of`` tells the clip, and the code that makes them.
    """

    def __init__(self, folder: Path | None = None, made_of: str = "") -> None:
        self._folder, self._made_of = folder, made_of

    def kept(self, kind: type[Part], key: tuple[str | bytes, ...], make: Callable[[], Part]) -> Part:
        """The part of that key, made and kept where there is none. Raises what ``make`` raises."""
        part = self.find(kind, key)
        if part is None:
            part = make()
            self.keep(key, part)
        return part

    def find(self, kind: type[Part], key: tuple[str | bytes, ...]) -> Part | None:
        """The part of that key, a dataclass of arrays; None if there is none, or its file is damaged."""
        if self._folder is None:
            return None
        path = self._path(self._folder, key)
        try:
            require_regular(path, MOST_BYTES, InputError)  # a pipe would be waited for
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                part = kind(**dict(file))
        except (*DAMAGED, MemoryError):
            return None
        with suppress(OSError):  # of a folder that can only be read
            os.utime(path)
        return part

    def keep(self, key: tuple[str | bytes, ...], part: Any) -> None:
        """Write a part for others to find, where there is room; without it they make it themselves."""
        if self._folder is None:
            return
        arrays = {each.name: getattr(part, each.name) for each in fields(part)}
        with suppress(OutputError, OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if free_bytes(self._folder) < sum(array.nbytes for array in arrays.values()):
                return
            with atomic_path(self._path(self._folder, key)) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)
            forget_unused(kept_places(self._folder), most_bytes=MOST_BYTES)

    def _path(self, folder: Path, key: tuple[str | bytes, ...]) -> Path:
        digest = hashlib.sha256()
        for each in (self._made_of, *key):
            data = each.encode() if isinstance(each, str) else each
            digest.update(len(data).to_bytes(8, "little") + data)
        return folder / f"{digest.hexdigest()}.npz"
