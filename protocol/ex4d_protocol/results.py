"""A job's results on their way to the client, under credit. Direction as in :mod:`~ex4d_protocol.messages`."""

from typing import Annotated, Literal

import msgspec

from ex4d_ground.records import Count, Name
from ex4d_protocol.base import AboutJob, JobPhase


class GetResults(AboutJob, frozen=True, kw_only=True):
    """C>S data: stream this job's items from ``from_item`` on, as they are done, until ``ResultsEnd``.

    At most ``credit`` Item messages are sent until :class:`Credit` allows more.
    """

    from_item: Count = 0
    attempt: Count = 1
    """The attempt ``from_item`` counts in; if the job has started over since, items come from 0."""
    credit: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8


class Credit(AboutJob, frozen=True, kw_only=True):
    """C>S data: so many more Item messages may come."""

    more: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    freed: Count = 0
    """New in 1.1. Items before this one are never asked for again: the server may delete them."""
    attempt: Count = 1
    """New in 1.1. The attempt that ``freed`` counts in."""


class Item(AboutJob, frozen=True, kw_only=True):
    """S>C data, with one blob frame: one result item or, above the chunk limit, one part of it, in order."""

    index: Count
    """Order of production, from 0, without gaps, within one attempt."""
    attempt: Count = 1
    name: Name
    """"frame", "colour", "mask", "vertices", "faces", "visible", "clip_info", "coverage", "take"."""
    frame: int = -1
    """0-based frame it belongs to; -1 if it belongs to the whole job."""
    encoding: Literal["raw", "png", "json", "jpeg", "file"] = "raw"
    """New in 1.1, only where the request asked for it: "jpeg", and "file", which is to be kept as it is."""
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


class ResultsEnd(AboutJob, frozen=True, kw_only=True):
    """S>C data: the job is final and every item it has was sent."""

    items: Count
    phase: JobPhase


class AckResults(AboutJob, frozen=True, kw_only=True):
    """C>S: everything received is safe on the client's side; the server may delete the job's results."""


class ResultsAcknowledged(AboutJob, frozen=True, kw_only=True):
    """S>C: answer to AckResults."""
