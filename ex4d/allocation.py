"""What the C library does with the memory of frames and messages that are no longer needed."""

import ctypes
import sys
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGE_BYTES = 1 << 20
"""Blocks from this size on go back to the system as soon as they are freed."""


def give_back_large_blocks(large_bytes: int = LARGE_BYTES, *, spare_bytes: int | None = None) -> None:
    """Have freed pictures and messages leave this process at once, instead of being kept for later ones of their size.

    GNU's C library raises the size from which it does so with every block that is freed, to 32 MiB: decoders and
    encoders then keep some hundred MiB of HD frames, a server what a flood of messages took. ``spare_bytes`` of smaller
    blocks are kept for what comes next (the library's own choice if None). Elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    with suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(ctypes.c_int(_MMAP_THRESHOLD), ctypes.c_int(large_bytes))
        if spare_bytes is not None:
            mallopt(ctypes.c_int(_TRIM_THRESHOLD), ctypes.c_int(spare_bytes))
