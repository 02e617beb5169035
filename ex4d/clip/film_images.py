"""Film pictures in their own depth: OpenEXR, which is linear, and DPX."""

from pathlib import Path

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from ex4d.clip.colours import plate_of
from ex4d.clip.exr import Exr, ExrChannel, open_exr
from ex4d_ground.colour import ColourSpace, named_primaries
from ex4d_ground.errors import ClipError

EXR_MAGIC = b"\x76\x2f\x31\x01"
DPX_MAGICS = (b"SDPX", b"XPDS")
_DPX_TRANSFER = 801
"""Where a DPX file says its first element's transfer characteristic (SMPTE 268M, field 21.7)."""
_DPX_LOGARITHMIC = (1, 3)

_PICTURE_LAYERS = ("", "rgba", "rgb", "beauty", "combined", "composite", "image", "color", "colour", "c", "main")
"""Passes that are the picture itself, best first."""


def read_exr_plate(path: Path) -> tuple[NDArray, ColourSpace]:  # [H, W, 3]
    """The picture of an EXR file in its display window, black outside its data window. Raises ClipError."""
    with open_exr(path, ClipError) as exr:
        channels = picture_channels(exr, path)
        planes = [exr.picture(c, outside=0.0) for c in channels]
        half = all(plane.dtype == np.float16 for plane in planes)
        picture = np.stack([plane.astype(np.float16 if half else np.float32, copy=False) for plane in planes], axis=-1)
        places = exr.chromaticities(channels[0])
    name = named_primaries(places) if places else "bt709"
    space = ColourSpace(primaries=name, transfer="linear", bits=16 if half else 32, floating=True)
    return picture, space if name or places is None else structs.replace(space, chromaticities=places)


def is_exr(path: Path) -> bool:
    """Whether a file is an EXR, whatever it is called. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(EXR_MAGIC)) == EXR_MAGIC


def exr_pixel_aspect(path: Path) -> float:
    """Width over height of an EXR's pixels. Raises ClipError."""
    with open_exr(path, ClipError) as exr:
        return exr.pixel_aspect(exr.channels[0])


def picture_channels(exr: Exr, path: Path) -> list[ExrChannel]:
    """Red, green and blue of the pass that is the picture itself. Raises ClipError with what there is."""
    passes: dict[tuple[int, str, str], dict[str, ExrChannel]] = {}
    for channel in exr.channels:
        layer, _, last = channel.name.rpartition(".")
        passes.setdefault((channel.part, layer, channel.view), {})[last.upper()[:1]] = channel
    found = {
        key: [letters[c] for c in "RGB"] if letters.keys() >= set("RGB") else [letters["Y"]] * 3
        for key, letters in passes.items()
        if letters.keys() >= set("RGB") or (letters.keys() <= {"Y", "A"} and "Y" in letters)
    }

    def rank(key: tuple[int, str, str]) -> int:
        words = [w for w in key[1].lower().split(".") if w and w != key[2].lower() and w not in ("left", "right")]
        name = words[-1] if words else ""
        return _PICTURE_LAYERS.index(name) if name in _PICTURE_LAYERS else len(_PICTURE_LAYERS)

    best = sorted(found, key=lambda key: (rank(key), key[0]))
    if best and (len(best) == 1 or rank(best[0]) < len(_PICTURE_LAYERS)):
        return found[best[0]]
    listed = ", ".join(sorted(c.name for c in exr.channels)[:16]) or "none"
    raise ClipError(f"{path} has no picture of its own (R, G and B), only: {listed}; render or export the picture.")


def decode_dpx(data: bytes, path: Path) -> tuple[NDArray, ColourSpace]:  # [H, W, 3]
    """The picture of a DPX file: uint8, or uint16 of deeper numbers (65535 is the largest). Raises ClipError.

    A file that calls its numbers logarithmic or printing densities (SMPTE 268M, transfer characteristic 3 and 1) has
    the transfer "named", without a name: which curve it is, people must say.
    """
    from av import CodecContext, Packet
    from av.error import FFmpegError

    try:
        frames = CodecContext.create("dpx", "r").decode(Packet(data))
    except (FFmpegError, ValueError) as error:
        raise ClipError(f"{path} is not a DPX file that can be read ({error}); export it again.") from error
    if not frames:
        raise ClipError(f"{path} is not a DPX file that can be read; export it again.")
    frame = frames[0]
    bits = max(component.bits for component in frame.format.components)
    transfer = data[_DPX_TRANSFER] if len(data) > _DPX_TRANSFER else 0
    space = ColourSpace(bits=bits, transfer="named" if transfer in _DPX_LOGARITHMIC else "srgb")
    if bits == 8:
        return np.ascontiguousarray(frame.to_ndarray(format="rgb24"), np.uint8), space
    return plate_of(frame, space), space
