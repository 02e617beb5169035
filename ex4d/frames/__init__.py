"""Frames of a clip as array-likes: in memory where they are few, else in a file without a name on a scratch disk."""

from ex4d.frames.stack import DepthStack, FrameStack, LinkedDepth, frames_in, physical_memory
from ex4d.frames.store import (
    Frames,
    FrameStore,
    JoinedFrames,
    MappedFrames,
    PickedFrames,
    SomeFrames,
    bounds_of,
    held_bytes,
)

__all__ = [
    "DepthStack",
    "FrameStack",
    "FrameStore",
    "Frames",
    "JoinedFrames",
    "LinkedDepth",
    "MappedFrames",
    "PickedFrames",
    "SomeFrames",
    "bounds_of",
    "frames_in",
    "held_bytes",
    "physical_memory",
]
