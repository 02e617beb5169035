"""What a shot carries beside its pictures: where it starts to count, its exact rate, time code, reel, sound."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal

from ex4d_ground.errors import SettingError
from ex4d_ground.records import Name, Record

USUAL_RATES = (
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(48000, 1001),
    Fraction(48),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
    Fraction(120000, 1001),
    Fraction(120),
)
"""Frames a second of film and video."""
Fields = Literal["deinterlace", "refuse"]
"""What becomes of interlaced video, whose frames hold two moments each: one picture a frame, or a refusal."""
_AS_TYPED = 2e-5
"""Share by which a rate that is written with a few digits (23.976, 29.97) may be off."""
SLOWEST_RATE, FASTEST_RATE = 0.001, 1000.0
"""Frames a second: of a time lapse a frame in a quarter of an hour."""
_TIMECODE = re.compile(r"(\d\d?)[:.](\d\d)[:.](\d\d)([:;.])(\d\d)")


class Footage(Record, frozen=True, kw_only=True):
    """Facts that stay with a shot through takes and exports. New in protocol 1.1."""

    start_frame: int = 1
    """Number of the first frame, as in a sequence's file names: 1001 stays 1001."""
    rate: Name = ""
    """Frames a second as a fraction, "24000/1001"; "" where nothing says it."""
    timecode: Name = ""
    """Of the first frame, HH:MM:SS:FF; a semicolon before the frames says that it drops numbers (SMPTE ST 12-1)."""
    reel: Name = ""
    sound: bool = False
    """Whether there is sound."""


def check_rate(fps: float) -> None:
    """Raise SettingError for a frame rate that no file can hold."""
    if not SLOWEST_RATE <= fps <= FASTEST_RATE:
        raise SettingError(
            f"The frame rate must be between {SLOWEST_RATE:g} and {FASTEST_RATE:g} frames a second, got {fps:g}."
        )


def exact_rate(fps: float) -> Fraction:
    """The fraction that a rate means: 23.976 is 24000/1001. Raises SettingError for what is no rate."""
    check_rate(fps)
    nearest = min(USUAL_RATES, key=lambda usual: abs(float(usual) / fps - 1))
    return nearest if abs(float(nearest) / fps - 1) < _AS_TYPED else Fraction(fps).limit_denominator(1001)


def rate_text(rate: Fraction) -> str:
    """As it stands in files and in what ffprobe prints."""
    return f"{rate.numerator}/{rate.denominator}"


def rate_of(text: str) -> Fraction | None:
    """The rate that a text means; None for none, or for what is no rate."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
    return rate if SLOWEST_RATE <= rate <= FASTEST_RATE else None


def timecode_after(timecode: str, frames: int, rate: Fraction) -> str:
    """The time code ``frames`` later (or, if negative, earlier); "" for text that is none. Wraps at 24 hours."""
    found = _TIMECODE.fullmatch(timecode.strip())
    if found is None:
        return ""
    hours, minutes, seconds, count = (int(found[i]) for i in (1, 2, 3, 5))
    drops = found[4] in ";."
    base = round(rate)
    if count >= base or minutes > 59 or seconds > 59:
        return ""
    dropped = 2 * (base // 30) if drops and base % 30 == 0 else 0
    number = ((hours * 60 + minutes) * 60 + seconds) * base + count
    total = hours * 60 + minutes
    number -= dropped * (total - total // 10)
    number += frames
    per_ten = 600 * base - 9 * dropped
    number %= 144 * per_ten
    if dropped:
        tens, rest = divmod(number, per_ten)
        number += 9 * dropped * tens
        if rest >= 60 * base:
            number += dropped * (1 + (rest - 60 * base) // (60 * base - dropped))
    count, number = number % base, number // base
    sign = ";" if dropped else ":"
    return f"{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}{sign}{count:02d}"
