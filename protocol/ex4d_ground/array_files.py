"""numpy's files, as far as their headers: what lies in them is known without reading it. And what damage raises."""

import struct
import zipfile
import zlib
from typing import IO, Any

import numpy as np

_LZMA = getattr(zipfile, "lzma", None)
"""Python's module, which some builds lack."""
DAMAGED: tuple[type[Exception], ...] = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, SyntaxError, RuntimeError, struct.error),
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, *([_LZMA.LZMAError] if _LZMA else [])),
)
"""What numpy and zipfile raise for a file that is damaged, cut short or something else; our own errors are among it."""


def read_array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it lies in Fortran order, and type of the array in an open .npy; its values follow in the stream.

    Raises ValueError, EOFError or SyntaxError for what is none.
    """
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)
