"""What every structure on the wire shares: its encoding rules and the few constrained field types."""

from typing import Annotated, Literal

import msgspec

PROTOCOL_MAJOR = 1
PROTOCOL_MINOR = 3
"""A new optional field or message raises the minor; anything an older peer would misread raises the major."""

MAX_CHUNK_BYTES = 4 << 20
"""The largest blob frame either side may send, so that nothing waits long behind it."""
MAX_BODY_BYTES = 8 << 20
"""The largest message body: a trajectory of 10,000 cameras is 1.8 MB."""
MAX_HEADER_BYTES = 1024
MAX_RESULT_STREAMS = 64
"""Result streams that one session may have open; one more is refused until another has ended."""

JobId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
"""Chosen by the client; a UUID's hex digits are the usual choice. Sending the same job twice is harmless."""
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
"""Lower-case hexadecimal digest of a blob's bytes."""
JobPhase = Literal["queued", "running", "done", "failed", "cancelled"]
FINAL_PHASES: frozenset[str] = frozenset({"done", "failed", "cancelled"})


class Tagged(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """A structure that carries its own name in the field ``type``: a message, or one member of a union."""


class AboutJob(Tagged, frozen=True, kw_only=True):
    """A message about one job."""

    job_id: JobId
