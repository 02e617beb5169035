"""What a source holds that is left out, said in sentences: transparency, a second eye, further pictures of a file."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ex4d.clip.exr import open_exr
from ex4d.clip.film_images import is_exr, picture_channels
from ex4d_ground.errors import ClipError, InputError

_TRANSPARENT = "{} is transparent in parts: that is left out, and the colours below are shown."
_EYES = {
    1: "side by side",
    2: "one above the other",
    3: "by turns",
    4: "as a checkerboard",
    5: "side by side",
    6: "by lines",
    7: "by columns",
}
"""AVStereo3DType of FFmpeg (libavutil/stereo3d.h); 0 is one picture alone."""


def of_video(frame: Any) -> Iterator[str]:
    """Sentences about a video, from its first decoded frame."""
    from av.sidedata.sidedata import Type

    eyes = frame.side_data.get(Type.STEREO3D)
    layout = struct.unpack("=i", bytes(eyes)[:4])[0] if eyes is not None else 0
    if layout in _EYES:
        yield (
            f"The video says that its pictures hold two eyes ({_EYES[layout]}), and each is taken as one picture; cut "
            "one eye out."
        )
    if frame.side_data.get(Type.SPHERICAL) is not None:
        yield "The video says that it is a panorama, and is taken as the picture of a flat lens; cut such a view out."
    alpha = any(component.is_alpha for component in frame.format.components)
    if alpha and frame.reformat(format="rgba").to_ndarray()[..., 3].min() < 255:
        yield _TRANSPARENT.format("The video")


def of_pictures(first: Path) -> Iterator[str]:
    """Sentences about a sequence, from its first file. Raises ClipError."""
    if is_exr(first):
        with open_exr(first, ClipError) as exr:
            shown = picture_channels(exr, first)[0]
            views = sorted({channel.view for channel in exr.channels if channel.view} - {shown.view})
            if shown.view and views:
                yield f"{first.name} holds the views {' and '.join([shown.view, *views])}; {shown.view} is used."
            layer = shown.name.rpartition(".")[0]
            alpha = [c for c in exr.channels if (c.part, c.name) == (shown.part, f"{layer}.A" if layer else "A")]
            if alpha and float(np.nanmin(exr.picture(alpha[0], outside=1.0))) < 1:
                yield _TRANSPARENT.format(first.name)
        return
    pages = pictures_in(first)
    if pages > 1:
        yield f"{first.name} holds {pages} pictures; the first of each file is used."
    if _is_transparent(first):
        yield _TRANSPARENT.format(first.name)


def require_one_picture(path: Path, error: type[InputError]) -> None:
    """Raise ``error`` where a file that was given alone holds several pictures: pages of a TIFF, an animation."""
    pages = pictures_in(path)
    if pages > 1:
        raise error(
            f"{path} holds {pages} pictures in one file, of which only the first would be read; write each into a "
            "numbered file of its own."
        )


def pictures_in(path: Path) -> int:
    """How many pictures an image file holds; 1 where nothing says so."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return int(getattr(image, "n_frames", 1))
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, Image.DecompressionBombError):
        return 1


def _is_transparent(path: Path) -> bool:
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return False
    opaque = (1 << 8 * image.itemsize) - 1 if image.dtype.kind == "u" else 1
    return bool(image[..., 3].min() < opaque)
