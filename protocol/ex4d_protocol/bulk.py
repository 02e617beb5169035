"""Messages of bulk data: uploads in, result items out. Direction and socket as in :mod:`~ex4d_protocol.messages`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ex4d_protocol.base import Count, JobId, JobPhase, Name, Part, Sha256, Tagged
from ex4d_protocol.requests import BlobRef

# --- uploads ------------------------------------------------------------------------------------------


class HaveBlobs(Tagged, frozen=True, kw_only=True):
    """C>S: which of these does the server lack?"""

    blobs: Annotated[tuple[BlobRef, ...], msgspec.Meta(max_length=100_000)]


class BlobProgress(Part, frozen=True, kw_only=True):
    """A blob the server has only the first ``received`` bytes of."""

    sha256: Sha256
    received: Count = 0


class BlobsMissing(Tagged, frozen=True, kw_only=True):
    """S>C: answer to HaveBlobs; blobs not listed are there."""

    missing: tuple[BlobProgress, ...] = ()


class PutChunk(Tagged, frozen=True, kw_only=True):
    """C>S data, with one blob frame: bytes ``offset .. offset + len(frame)`` of a blob, in order."""

    sha256: Sha256
    size: Count
    """Of the whole blob."""
    offset: Count


class ChunkAck(Tagged, frozen=True, kw_only=True):
    """S>C data: the server has the first ``received`` bytes; a chunk that did not fit is sent from there."""

    sha256: Sha256
    received: Count
    complete: bool = False
    """Everything arrived and the digest was checked."""


# --- results ------------------------------------------------------------------------------------------


class GetResults(Tagged, frozen=True, kw_only=True):
    """C>S data: stream this job's items from ``from_item`` on, as they are done, until ``ResultsEnd``.

    At most ``credit`` Item messages are sent until :class:`Credit` allows more.
    """

    job_id: JobId
    from_item: Count = 0
    attempt: Count = 1
    """The attempt ``from_item`` counts in; if the job has started over since, items come from 0."""
    credit: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8


class Credit(Tagged, frozen=True, kw_only=True):
    """C>S data: so many more Item messages may come."""

    job_id: JobId
    more: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1


class Item(Tagged, frozen=True, kw_only=True):
    """S>C data, with one blob frame: one result item or, above the chunk limit, one part of it, in order."""

    job_id: JobId
    index: Count
    """Order of production, from 0, without gaps, within one attempt."""
    attempt: Count = 1
    name: Name
    """"frame", "colour", "mask", "vertices", "faces", "visible", "clip_info", "coverage", "take"."""
    frame: int = -1
    """0-based frame it belongs to; -1 if it belongs to the whole job."""
    encoding: Literal["raw", "png", "json"] = "raw"
    dtype: Name = ""
    """For "raw": one of the allowed dtypes (little-endian), such as "<f4"."""
    shape: tuple[Count, ...] = ()
    order: Literal["C", "F"] = "C"
    size: Count
    """Bytes of the whole item."""
    sha256: str = ""
    """Digest of the whole item, for those who keep it; empty if the server did not compute one."""
    offset: Count = 0
    """Where this part starts."""
    checksum: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32})?$")] = ""
    """New in 1.1. Of the whole item, see :mod:`~ex4d_protocol.checksum`; a receiver checks it. Empty: none."""


class ResultsEnd(Tagged, frozen=True, kw_only=True):
    """S>C data: the job is final and every item it has was sent."""

    job_id: JobId
    items: Count
    phase: JobPhase


class AckResults(Tagged, frozen=True, kw_only=True):
    """C>S: everything received is safe on the client's side; the server may delete the job's results."""

    job_id: JobId


class ResultsAcknowledged(Tagged, frozen=True, kw_only=True):
    """S>C: answer to AckResults."""

    job_id: JobId
