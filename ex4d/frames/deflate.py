"""Deflate and checksums made for speed: ISA-L (the package ``isal``), or zlib where a machine has none.

ISA-L takes an eighth of the time of zlib for files of the same size. Both let other threads run meanwhile.
"""

import zlib

try:
    from isal import isal_zlib as deflate  # pyright: ignore[reportMissingImports]
except ImportError:  # a processor for which there is none
    deflate = zlib

__all__ = ["deflate"]
