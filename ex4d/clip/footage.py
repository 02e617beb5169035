"""Reading what a source carries beside its pictures: time code, reel, start frame, rate, sound."""

import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

from ex4d.clip.exr import open_exr
from ex4d.clip.film_images import DPX_MAGICS, EXR_MAGIC
from ex4d.clip.sound import stream_of_sound
from ex4d_ground.errors import ClipError
from ex4d_ground.footage import Footage, exact_rate, rate_text, timecode_after
from ex4d_ground.sequences import FrameFiles

_DPX_TIMECODE, _DPX_RATE, _DPX_HEADER = 1920, 1940, 2048
"""Places in a DPX file's television header (SMPTE 268M, section 8)."""
_LONGEST = 120


def footage_of_container(container: Any, rate: Fraction | None) -> Footage:
    """What a video file says of itself."""
    texts = [container.metadata, *(stream.metadata for stream in container.streams)]

    def said(key: str) -> str:
        return next((str(each[key])[:_LONGEST] for each in texts if each.get(key)), "")

    timecode = said("timecode")
    return Footage(
        rate="" if rate is None else rate_text(rate),
        timecode=timecode if rate is not None and timecode_after(timecode, 0, rate) else "",
        reel=said("reel_name"),
        sound=stream_of_sound(container) is not None,
    )


def footage_of_sequence(files: FrameFiles) -> Footage:
    """What numbered pictures say: the first one's number, its header's time code, reel and rate. Raises ClipError."""
    start, path = files.first_number, files.paths[0]
    with path.open("rb") as file:
        head = file.read(_DPX_HEADER)
    if head[:4] in DPX_MAGICS:
        return _of_dpx(head, start)
    if head[:4] == EXR_MAGIC:
        return _of_exr(path, start)
    return Footage(start_frame=start)


def _of_exr(path: Path, start: int) -> Footage:
    with open_exr(path, ClipError) as exr:
        header = exr.header(exr.channels[0])
    rate, code = header.get("framesPerSecond"), header.get("timeCode")
    exact = ""
    if isinstance(rate, Fraction) and 0 < rate <= 1000:
        exact = rate_text(rate)
    text = ""
    if code is not None:
        sign = ";" if code.dropFrame else ":"
        text = f"{code.hours:02d}:{code.minutes:02d}:{code.seconds:02d}{sign}{code.frame:02d}"
    return Footage(start_frame=start, rate=exact, timecode=text, reel=str(header.get("reelName", ""))[:_LONGEST])


def _of_dpx(head: bytes, start: int) -> Footage:
    order = ">" if head[:4] == DPX_MAGICS[0] else "<"
    rate = timecode = ""
    (pixels_at,) = struct.unpack_from(f"{order}I", head, 4)
    if pixels_at >= _DPX_HEADER <= len(head):  # some programs write no television header
        (code,) = struct.unpack_from(f"{order}I", head, _DPX_TIMECODE)
        (fps,) = struct.unpack_from(f"{order}f", head, _DPX_RATE)
        if math.isfinite(fps) and 1 <= fps <= 1000:
            rate = rate_text(exact_rate(fps))
        digits = f"{code:08x}"
        if code not in (0, 0xFFFFFFFF) and digits.isdecimal():
            timecode = ":".join(digits[k : k + 2] for k in range(0, 8, 2))
    return Footage(start_frame=start, rate=rate, timecode=timecode)
