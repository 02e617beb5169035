"""What every part agrees on, on disk and in memory: cameras, takes, options, descriptions, errors. See FORMATS.md.

Imports the standard library, numpy and msgspec alone, so that the library, the protocol, the backend and the Blender
extension can all stand on it.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
