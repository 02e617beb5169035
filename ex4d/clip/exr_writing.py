"""Writing EXR files: channels by name at their depth, with the header's attributes that others read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ex4d_ground.colour import ColourSpace
from ex4d_ground.errors import OutputError
from ex4d_ground.footage import Footage, rate_of, timecode_after

Compression = Literal["zip", "dwaa"]


def write_exr(
    path: Path,
    channels: Mapping[str, NDArray],  # each [H, W] float16 or float32
    *,
    compression: Compression = "zip",
    header: Mapping[str, Any] = {},
) -> None:
    """Write one file. Lossless with "zip"; "dwaa" is small and for viewing. Raises OutputError."""
    import OpenEXR

    kinds = {"zip": OpenEXR.ZIP_COMPRESSION, "dwaa": OpenEXR.DWAA_COMPRESSION}
    attributes = {"compression": kinds[compression], "type": OpenEXR.scanlineimage, **header}
    pixels = {name: np.ascontiguousarray(values) for name, values in channels.items()}
    try:
        with OpenEXR.File(attributes, pixels) as file, path.open("wb") as stream:
            file.write(stream)
    except OSError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise OutputError(f"Cannot write {path} ({error}); choose another format.") from error


def exr_header(space: ColourSpace | None, footage: Footage, index: int) -> dict[str, Any]:
    """Attributes of frame ``index`` (0-based): colours, frame number, time code, reel, rate.

    Where the frames do not follow the source's time, ``footage`` has no time code.
    """
    import OpenEXR

    out: dict[str, Any] = {"imageCounter": footage.start_frame + index}
    if space is not None and space.transfer == "linear":
        out["chromaticities"] = space.places
    if footage.reel:
        out["reelName"] = footage.reel
    rate = rate_of(footage.rate)
    if rate is None:
        return out
    out["framesPerSecond"] = rate
    code = timecode_after(footage.timecode, index, rate)
    if code and round(rate) <= 39:  # what the attribute's digits can hold
        hours, minutes, seconds, frame = (int(code[k : k + 2]) for k in (0, 3, 6, 9))
        out["timeCode"] = OpenEXR.TimeCode(hours, minutes, seconds, frame, int(code[8] == ";"), *[0] * 13)
    return out
