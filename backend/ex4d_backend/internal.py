"""What the server and its own worker processes say to each other, over loopback with a token. Not public protocol."""

from __future__ import annotations

import msgspec

from ex4d_protocol.messages import EngineSpec, EstimatorSpec


class _Message(msgspec.Struct, frozen=True, tag=True):
    pass


class Abilities(_Message, frozen=True, kw_only=True):
    """Worker: what it can run; part of Ready, and again by itself when that changed (weights were fetched)."""

    engines: tuple[EngineSpec, ...] = ()
    estimators: tuple[EstimatorSpec, ...] = ()
    licences: dict[str, str] = {}


class Ready(_Message, frozen=True, kw_only=True):
    """Worker: imported everything and waits for a job."""

    token: str
    device: str
    device_name: str
    device_kind: str
    memory_bytes: int
    abilities: Abilities


class Beat(_Message, frozen=True):
    """Both ways: still here."""


class RunJob(_Message, frozen=True, kw_only=True):
    """Server: run this. ``request`` is the msgpack of the public request."""

    job_id: str
    attempt: int
    request: bytes
    folder: str
    """The job's own folder; items, log and scratch go below it."""
    blobs: str
    """The blob store's folder."""
    clip_pixels: int
    """Largest clip: width x height x frames."""


class StopJob(_Message, frozen=True):
    """Server: cancel it."""

    job_id: str


class Quit(_Message, frozen=True):
    """Server: leave."""


class JobProgress(_Message, frozen=True):
    """Worker: where the job is."""

    job_id: str
    stage: str
    done: int
    total: int
    message: str


class ItemReady(_Message, frozen=True, kw_only=True):
    """Worker: a result item is on disk, whole."""

    job_id: str
    index: int
    name: str
    frame: int
    encoding: str
    dtype: str
    shape: tuple[int, ...]
    order: str
    size: int
    sha256: str
    checksum: str


class BlobMade(_Message, frozen=True):
    """Worker: a file in the job's folder that later requests may refer to like an upload; the server takes it over."""

    job_id: str
    file: str
    """Its name below the job's items."""
    sha256: str
    size: int


class JobEnded(_Message, frozen=True):
    """Worker: the job is over; ``outcome`` is "done", "failed" or "cancelled"."""

    job_id: str
    outcome: str
    message: str


FromJob = JobProgress | ItemReady | BlobMade | JobEnded
"""About the job a worker runs."""
FromWorker = Ready | Abilities | Beat | FromJob
FromServer = Beat | RunJob | StopJob | Quit

encode = msgspec.msgpack.Encoder().encode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
decode_from_server = msgspec.msgpack.Decoder(FromServer).decode


def item_file(index: int) -> str:
    """File name of a result item."""
    return f"{index:06d}.bin"
