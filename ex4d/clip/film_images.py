"""Film pictures as 8-bit RGB: OpenEXR, which is linear, and DPX."""

from pathlib import Path

import numpy as np

from ex4d.clip.exr import Exr, ExrChannel, open_exr
from ex4d_ground.arrays import Float32, UInt8
from ex4d_ground.errors import ClipError

EXR_MAGIC = b"\x76\x2f\x31\x01"
DPX_MAGICS = (b"SDPX", b"XPDS")
LINEAR_NOTE = "EXR pictures are linear; they are read as sRGB with 8 bits, and what is brighter than white is cut off."

_PICTURE_LAYERS = ("", "rgba", "rgb", "beauty", "combined", "composite", "image", "color", "colour", "c", "main")
"""Passes that are the picture itself, best first."""


def read_exr_rgb(path: Path) -> UInt8:  # [H, W, 3]
    """The picture of an EXR file in its display window, black outside its data window. Raises ClipError."""
    with open_exr(path, ClipError) as exr:
        channels = _rgb_channels(exr, path)
        return as_srgb(np.stack([exr.picture(c, outside=0.0).astype(np.float32) for c in channels], axis=-1))


def as_srgb(linear: Float32) -> UInt8:
    """Linear light 0..1 as 8-bit sRGB (IEC 61966-2-1), cut off on both sides; NaN is black."""
    value = np.clip(np.nan_to_num(linear, nan=0.0), 0, 1)
    curved = np.where(value <= 0.0031308, 12.92 * value, 1.055 * np.power(value, 1 / 2.4) - 0.055)
    return np.rint(curved * 255).astype(np.uint8)


def exr_pixel_aspect(path: Path) -> float:
    """Width over height of an EXR's pixels. Raises ClipError."""
    with open_exr(path, ClipError) as exr:
        return exr.pixel_aspect(exr.channels[0])


def _rgb_channels(exr: Exr, path: Path) -> list[ExrChannel]:
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


def decode_dpx(data: bytes, path: Path) -> UInt8:  # [H, W, 3]
    """The picture of a DPX file, its numbers as they are stored (8 to 16 bits become 8). Raises ClipError."""
    from av import CodecContext, Packet
    from av.error import FFmpegError

    try:
        frames = CodecContext.create("dpx", "r").decode(Packet(data))
    except (FFmpegError, ValueError) as error:
        raise ClipError(f"{path} is not a DPX file that can be read ({error}); export it again.") from error
    if not frames:
        raise ClipError(f"{path} is not a DPX file that can be read; export it again.")
    return np.ascontiguousarray(frames[0].to_ndarray(format="rgb24"), np.uint8)
