"""Finished windows of a long clip kept on disk, so that an interrupted run goes on and a farm can give them out singly.

A window builds on the frames of the one before, so they are made in order; what is kept is all frames so far.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ex4d_ground.array_files import DAMAGED
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import Ex4dError
from ex4d_ground.files import atomic_path, told_of_folder


class Paused(Ex4dError):
    """As many windows as were asked for are done and kept; the take is not whole yet. No failure."""

    exit_code = 0
    code = "paused"


@dataclass(frozen=True)
class KeptWindows:
    """Where an engine keeps the windows of one take that are done, and how many it is to make."""

    path: Path
    """How the names begin of the files."""
    at_most: int | None = None
    """Stop after so many windows of all passes together; None makes them all."""

    def of_pass(self, name: str, *, before: int, total: int) -> "PassWindows":
        """The windows of one pass; ``before`` are those of earlier passes, ``total`` those of all."""
        return PassWindows(Path(f"{self.path}-{name or 'windows'}.npz"), before, total, self.at_most)

    def require_more(self) -> None:
        """Raise Paused if so many windows are kept already; before a model is loaded for nothing."""
        done = sum(read[1] for path in self._files() if (read := _read(path)) is not None)
        if self.at_most is not None and done >= self.at_most:
            raise _paused(done)

    def remove(self) -> None:
        """The take is whole: nothing is kept any more."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.name}-*.npz"))


@dataclass(frozen=True)
class PassWindows:
    """Finished windows of one pass over a clip."""

    path: Path
    before: int
    total: int
    at_most: int | None

    def begun(self, like: UInt8) -> tuple[UInt8, int]:  # [N, H, W, 3]
        """All frames as far as they are done, and how many windows that is; blank ones and 0 if nothing is kept."""
        read = _read(self.path)
        if read is None or read[0].shape != like.shape:
            return np.zeros_like(like), 0
        return read

    def keep(self, frames: UInt8, done: int) -> None:
        """Keep the frames after ``done`` windows of this pass. Raises OutputError, and Paused if that is enough."""
        count = self.before + done
        if count >= self.total:
            return  # what follows is the take
        with (
            told_of_folder(self.path, "the finished windows"),
            atomic_path(self.path) as staged,
            staged.open("wb") as file,
        ):
            np.savez(file, frames=frames, done=np.int64(done))
        if self.at_most is not None and count >= self.at_most:
            raise _paused(count, self.total)


def _paused(done: int, total: int | None = None) -> Paused:
    first = "Window 1 is" if done == 1 else f"Windows 1 to {done} are"
    of = f" of {total}" if total is not None else ""
    return Paused(f"{first} done{of} and kept; run the shot again for the rest.")


def _read(path: Path) -> tuple[UInt8, int] | None:
    try:
        with path.open("rb") as file, np.load(file) as kept:
            frames, done = kept["frames"], int(kept["done"])
    except DAMAGED:
        return None  # none there, or damaged: made anew, which is always right
    return (frames, done) if frames.dtype == np.uint8 and frames.ndim == 4 else None
