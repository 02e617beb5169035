"""What a whole run takes of memory and scratch disk, reckoned before it begins."""

from dataclasses import dataclass

from ex4d.frames.ahead import thread_count, workers_within
from ex4d.frames.scratch import VARIABLE, free_bytes, scratch_folder
from ex4d.frames.stack import IN_MEMORY_BYTES
from ex4d.frames.store import bits_bytes
from ex4d_ground.errors import ClipError
from ex4d_ground.remedies import fewer_frames

WORKING_BYTES_PER_PIXEL = 80
"""Of the source, drawing on the CPU: a frame's depth and picture, its surface, and what is projected of it."""
_PROGRAM_BYTES = 300 << 20
"""The program itself with its loops, a decoder and an encoder; measured (``benchmarks/hd.py``)."""
_COLOUR, _DEPTH, _MASK = 3, 4, 1
"""Bytes of a pixel in memory; on the disk a mask's is a bit."""
_KNOWN = 2
"""What else the clip shows, for a preview: depth on a grid of a quarter of the pixels, and place and colour of those
that guides lack, of which the clip rarely shows more than one in seven."""


@dataclass(frozen=True)
class RunNeeds:
    """What it takes to load a clip, draw guides of as many frames and, where it is asked for, make a take of them.

    Not in it: what a model takes, and what is written into the output folder.
    """

    frames: int
    width: int
    height: int
    memory_bytes: int
    """The largest part of this machine's memory that is in use at any moment, roughly."""
    disk_bytes: int
    """Of the scratch disk, while it runs."""

    @classmethod
    def of(
        cls,
        frames: int,
        width: int,
        height: int,
        *,
        plate_bytes: int = 0,
        in_place: bool = False,
        guides: int | None = None,
        known: bool = True,
        takes: bool = True,
    ) -> "RunNeeds":
        """Reckon for a clip of that size.

        ``plate_bytes`` is what a pixel of its plate has, 0 for none; ``in_place`` says that depth is read from its own
        file, ``guides`` of how many frames they are kept (None: of all), ``takes`` whether an engine follows, and
        ``known`` whether that is shown what else the clip knows.
        """
        pixels, kept = width * height, frames if guides is None else guides
        stacks = [frames * pixels * each for each in (_COLOUR, 0 if in_place else _DEPTH, plate_bytes)]
        stacks.append(kept * pixels * _COLOUR)
        masks = kept * pixels * _MASK
        held, disk = (masks, 0) if masks <= IN_MEMORY_BYTES else (0, kept * bits_bytes(pixels))
        if takes:
            stacks.append(frames * pixels * _COLOUR)
        if takes and known:  # what fits into memory stays there, the rest goes to the disk
            layer = frames * pixels * _KNOWN
            fits = min(layer, IN_MEMORY_BYTES)
            held, disk = held + fits, disk + layer - fits
        held += sum(each for each in stacks if each <= IN_MEMORY_BYTES)
        disk += sum(each for each in stacks if each > IN_MEMORY_BYTES)
        working = WORKING_BYTES_PER_PIXEL * pixels
        memory = _PROGRAM_BYTES + held + workers_within(thread_count(), working) * working
        return cls(frames, width, height, memory, disk)

    @property
    def text(self) -> str:
        """All of it in one line, for people."""
        disk = f", and {self.disk_bytes / 2**30:.1f} GiB of scratch disk" if self.disk_bytes else ""
        size = f"{self.frames} frame{'' if self.frames == 1 else 's'} of {self.width}x{self.height}"
        return f"{size} take about {self.memory_bytes / 2**30:.1f} GiB of memory{disk} while they are worked on"

    def require_room(self) -> None:
        """Raise ClipError where the scratch disk cannot hold it, before anything is read."""
        folder = scratch_folder(self.disk_bytes)
        free = free_bytes(folder)
        if self.disk_bytes <= free:
            return
        fitting = free * self.frames // self.disk_bytes
        raise ClipError(
            f"The whole run needs {self.disk_bytes / 2**30:.1f} GiB of disk for {self.frames} frames of "
            f"{self.width}x{self.height}, and {folder} has {free / 2**30:.1f} GiB free: read fewer frames, scale the "
            f"video down, or set {VARIABLE} to a folder with more room.",
            remedy=fewer_frames(fitting) if fitting > 1 else None,
        )
