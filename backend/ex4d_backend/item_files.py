"""Result items as files: their names, and how their bytes get from the disk to a socket."""

import errno
import mmap
import os
from contextlib import suppress
from pathlib import Path

SMALL_ITEM_BYTES = 64 << 10
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)


def item_file(index: int) -> str:
    """File name of a result item."""
    return f"{index:06d}.bin"


def open_item(path: str, size: int, *, cached_only: bool = False) -> memoryview | None:
    """An item's bytes; large ones are mapped, so that they go from the page cache to the socket without a copy.

    What a slow client leaves in its queue is then no memory of this process. With ``cached_only`` None is returned for
    a file that would have to be read from disk. Raises OSError, also if the file has another size.
    """
    # Not blocking: a pipe that lies there is found to have another size, instead of being waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if os.fstat(descriptor).st_size != size:
            raise OSError(errno.EIO, "the file was cut short")
        if cached_only and not _in_page_cache(descriptor, size):
            return None
        if size <= SMALL_ITEM_BYTES:
            return memoryview(os.read(descriptor, size))
        if not _POPULATE:
            return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        # One call instead of a page fault every few pages while the socket's thread reads.
        return memoryview(mmap.mmap(descriptor, 0, flags=mmap.MAP_SHARED | _POPULATE, prot=mmap.PROT_READ))
    finally:
        os.close(descriptor)


def _in_page_cache(descriptor: int, size: int) -> bool:
    """Whether a file can be read without the disk, as far as its ends tell; True where the system does not say."""
    if not _NOWAIT or not size:
        return True
    try:
        for offset in (0, size - 1):
            os.preadv(descriptor, [bytearray(1)], offset, _NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system that cannot answer
    return True


def read_through(path: str) -> None:
    """Read a file and forget it: its pages stay in the system's cache. A file that cannot be read is left to others."""
    buffer = bytearray(1 << 20)
    with suppress(OSError), Path(path).open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
