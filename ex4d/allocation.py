"""What the C library does with the memory of frames and messages that are no longer needed.

Everything here is for GNU's C library; elsewhere it does nothing.
"""

import ctypes
import sys
from contextlib import suppress

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8  # of glibc's malloc.h
LARGE_BYTES = 1 << 20
"""Blocks from this size on go back to the system as soon as they are freed, where they are not kept."""
FRAME_BYTES = 128 << 20
"""Arrays that a frame is worked on in are smaller, up to 4K's vertices."""
_KEPT_BYTES, _GROWN_BYTES = 1 << 30, 64 << 20


def give_back_large_blocks(large_bytes: int = LARGE_BYTES, *, spare_bytes: int | None = None) -> None:
    """Have freed pictures and messages leave this process at once, instead of being kept for later ones of their size.

    For processes that mostly wait. The library raises the size from which it does so with every block that is freed, to
    32 MiB: a server then keeps what a flood of messages took. ``spare_bytes`` of smaller blocks are kept for what comes
    next (the library's own choice if None).
    """
    _set(_MMAP_THRESHOLD, large_bytes)
    if spare_bytes is not None:
        _set(_TRIM_THRESHOLD, spare_bytes)


def keep_blocks_of_frames() -> None:
    """Have freed pictures and depth stay in this process for the next frame's, until :func:`give_back_kept`.

    For processes that work through clips: memory that comes from the system is cleared page by page, which was a third
    of the processor time of an HD preview. All threads share one heap, so that what is kept is not more than what was
    in use at once. Call it before the first thread begins.
    """
    _set(_ARENA_MAX, 1)
    _set(_MMAP_THRESHOLD, FRAME_BYTES)
    _set(_TRIM_THRESHOLD, _KEPT_BYTES)
    _set(_TOP_PAD, _GROWN_BYTES)


def give_back_kept() -> None:
    """Give what is free of the kept memory back to the system; before a pause, or before something else needs it."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def _set(option: int, value: int) -> None:
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).mallopt(ctypes.c_int(option), ctypes.c_int(value))
