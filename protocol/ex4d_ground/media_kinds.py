"""What kind of source a file or the pictures of a sequence are, by their ending: the word that travels to a backend."""

from pathlib import PurePath
from typing import Literal

MediaKind = Literal["video", "png_sequence", "npz", "npy", "exr_sequence", "image_sequence"]
"""New in protocol 1.1: "image_sequence", pictures of one kind that the server reads (PNG, JPEG, TIFF, EXR, DPX)."""

_DEPTH_FILES: dict[str, MediaKind] = {".npz": "npz", ".npy": "npy"}
_DEPTH_PICTURES: dict[str, MediaKind] = {".png": "png_sequence", ".exr": "exr_sequence"}


def colour_sequence_kind(first: PurePath) -> MediaKind:
    """The kind of a sequence of colour pictures; servers of protocol 1.0 know PNG alone."""
    return "png_sequence" if first.suffix.lower() == ".png" else "image_sequence"


def depth_sequence_kind(first: PurePath) -> MediaKind:
    """The kind of a sequence of depth pictures; servers of protocol 1.0 know PNG and EXR."""
    return _DEPTH_PICTURES.get(first.suffix.lower(), "image_sequence")


def depth_file_kind(path: PurePath) -> MediaKind | None:
    """The kind of a single depth file; None if it is none."""
    return _DEPTH_FILES.get(path.suffix.lower())
