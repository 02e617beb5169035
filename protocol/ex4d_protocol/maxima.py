"""How large what a client sends may be: every list, table, text and message, so that none costs much to read."""

from typing import Annotated

import msgspec

from ex4d_ground.records import Name

MAX_FRAMES = 10_000
"""Of a move, of a sequence of pictures, of a list of frames or edits."""
MAX_ASKED = 2_000
"""Blobs that one HaveBlobs may name."""
MAX_SETTINGS = 128
"""Settings of an engine or an estimator."""
MAX_VERSIONS = 32

SettingText = Annotated[str, msgspec.Meta(max_length=16_384)]
"""A setting's value that is text, such as a prompt."""
Settings = Annotated[dict[Name, bool | int | float | SettingText | None], msgspec.Meta(max_length=MAX_SETTINGS)]
Versions = Annotated[dict[Name, Name], msgspec.Meta(max_length=MAX_VERSIONS)]
"""Package versions by package."""
PoseBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_FRAMES * 16 * 8)]
"""float64 [N, 4, 4]"""
LensBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_FRAMES * 4 * 8)]
"""float64 [N, 4]"""
TimeBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_FRAMES * 8)]
"""float64 [N]"""

SMALL_BODY_BYTES = 4 << 10
LARGER_BODIES = {
    "Hello": 16 << 10,
    "CostQuery": 4 << 20,
    "HaveBlobs": 1 << 20,
    "ProveBlobs": 32 << 10,
    "SubmitJob": 8 << 20,
    "LiveView": 8 << 20,
}
"""Largest body in bytes, by type; every other message that a client sends is small."""


def largest_body(kind: str) -> int:
    """How many bytes the body of a client's message of this type may have."""
    return LARGER_BODIES.get(kind, SMALL_BODY_BYTES)
