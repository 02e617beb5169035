"""What a take would cost: a question that is answered at once, before anything is rendered. New in 1.1."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ex4d_protocol.base import Count, Name, Scalar, Tagged, Text


class CostQuery(Tagged, frozen=True, kw_only=True):
    """C>S: what would this take cost on the server's first device?"""

    engine: Name
    num_frames: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    """Of the move. A lead-in, if the move needs one, is not counted."""
    width: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    height: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    settings: dict[str, Scalar] = {}
    """The engine's; one that is missing takes its default."""


class CostReply(Tagged, frozen=True, kw_only=True):
    """S>C: answer to CostQuery. What cannot be said without guessing is 0 or ""."""

    engine: Name
    num_frames: Count
    windows: Count = 1
    """Runs of the engine, each sharing some frames with the one before."""
    passes: Count = 1
    tiles: Count = 1
    """Parts the picture is refined in."""
    forwards: Count = 0
    """Runs of the model in all."""
    plan: Name = ""
    """Where the weights go."""
    peak_bytes: Count = 0
    """Expected on the device."""
    device_bytes: Count = 0
    """The device's memory."""
    seconds: float = 0.0
    """Rough time with the model loaded."""
    problem: Text = ""
    """Why it cannot run as asked, and what to do about it; "" if it can."""
    text: Text = ""
    """All of it in one line, for people."""
