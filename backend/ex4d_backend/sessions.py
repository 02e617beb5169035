"""Connected clients: who they are, what they listen to, and the result streams they have open."""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zmq

from ex4d_backend.limits import Bucket
from ex4d_protocol import framing
from ex4d_protocol.messages import Item

MAX_CREDIT = 64
SMALL_ITEM_BYTES = 64 << 10
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)


@dataclass
class Stream:
    """One GetResults under way."""

    job_id: str
    next_item: int
    attempt: int
    credit: int
    request_id: int
    folder: str = ""
    """Where this attempt's items are."""
    ahead: deque[Item] = field(default_factory=deque)
    """Descriptions of the next items, read together."""
    item: Item | None = None
    """The item being sent in parts."""
    content: memoryview | None = None
    offset: int = 0
    fetched: int = 0
    """Items before this one were just read from disk by the reading thread."""
    fetching: bool = False

    def start_over(self, attempt: int) -> None:
        """The job began anew: its items come from the first one on, from another folder."""
        self.attempt, self.next_item, self.fetched = attempt, 0, 0
        self.item, self.content, self.folder = None, None, ""
        self.ahead.clear()


@dataclass
class Session:
    """One client's connection."""

    identity: bytes
    owner: str
    client_name: str
    key: str = ""
    """Public key of an encrypted connection, else ""."""
    operator: bool = False
    """It showed the secret of the data folder, and sees every client's jobs."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    data_identity: bytes = b""
    heard: float = field(default_factory=time.monotonic)
    streams: dict[str, Stream] = field(default_factory=dict)
    paused_until: float = 0.0
    """Its queue was full: nothing is sent before (monotonic seconds)."""
    bucket: Bucket | None = None
    """Its requests on either socket; None: not limited."""
    wanted_blobs: set[str] = field(default_factory=set)
    """Blobs it was told are missing: it hears when they are complete."""


class Sessions:
    """All sessions, by the identities of their sockets."""

    def __init__(self, *, requests_per_s: float, limit: int) -> None:
        """``limit`` sessions at a time, each with ``requests_per_s`` in the long run."""
        self._requests_per_s, self._limit = requests_per_s, limit
        self._by_control: dict[bytes, Session] = {}
        self._by_data: dict[bytes, Session] = {}
        self._by_token: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_control.values()))

    def __len__(self) -> int:
        return len(self._by_control)

    def open(
        self, identity: bytes, owner: str, client_name: str, key: str = "", *, operator: bool = False
    ) -> Session | None:
        """A client said Hello; an earlier session on the same socket is replaced. None if there are too many."""
        earlier = self._by_control.get(identity)
        if earlier is None and len(self._by_control) >= self._limit:
            return None
        # Saying Hello again does not refill the bucket.
        bucket = earlier.bucket if earlier is not None else Bucket(self._requests_per_s)
        self.drop(earlier)
        session = Session(identity, owner, client_name, key, operator, bucket=bucket)
        self._by_control[identity] = session
        self._by_token[session.token] = session
        return session

    def attach(self, token: str, identity: bytes, key: str) -> Session | None:
        """A data socket presents a session's token; None if there is no such session (or another key's)."""
        session = self._by_token.get(token)
        if session is None or session.data_identity or key != session.key:
            return None
        session.data_identity = identity
        self._by_data[identity] = session
        return session

    def control(self, identity: bytes) -> Session | None:
        """The session of a control socket; noted as heard from."""
        return self._heard(self._by_control.get(identity))

    def data(self, identity: bytes) -> Session | None:
        """The session of a data socket; noted as heard from."""
        return self._heard(self._by_data.get(identity))

    def holds(self, session: Session) -> bool:
        """Whether this session is still open."""
        return self._by_control.get(session.identity) is session

    @staticmethod
    def _heard(session: Session | None) -> Session | None:
        if session is not None:
            session.heard = time.monotonic()
        return session

    def of_owner(self, owner: str) -> Iterable[Session]:
        """Every session of one owner."""
        return [s for s in self._by_control.values() if s.owner == owner]

    def drop(self, session: Session | None) -> None:
        """Forget a session."""
        if session is not None:
            self._by_control.pop(session.identity, None)
            self._by_data.pop(session.data_identity, None)
            self._by_token.pop(session.token, None)
            session.streams.clear()

    def expire(self, timeout_s: float) -> None:
        """Forget sessions that have been silent for so long."""
        now = time.monotonic()
        for session in self:
            if now - session.heard > timeout_s:
                self.drop(session)


def open_item(path: str, size: int, *, cached_only: bool = False) -> memoryview | None:
    """An item's bytes; large ones are mapped, so that they go from the page cache to the socket without a copy.

    What a slow client leaves in its queue is then no memory of this process. With ``cached_only`` None is returned for
    a file that would have to be read from disk. Raises OSError, also if the file has another size.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        if os.fstat(descriptor).st_size != size:
            raise OSError(errno.EIO, "the file was cut short")
        if cached_only and not _in_page_cache(descriptor, size):
            return None
        if size <= SMALL_ITEM_BYTES:
            return memoryview(os.read(descriptor, size))
        if not _POPULATE:
            return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        # One call instead of a page fault every few pages while the socket's thread reads.
        return memoryview(mmap.mmap(descriptor, 0, flags=mmap.MAP_SHARED | _POPULATE, prot=mmap.PROT_READ))
    finally:
        os.close(descriptor)


def _in_page_cache(descriptor: int, size: int) -> bool:
    """Whether a file can be read without the disk, as far as its ends tell; True where the system does not say."""
    if not _NOWAIT or not size:
        return True
    try:
        for offset in (0, size - 1):
            os.preadv(descriptor, [bytearray(1)], offset, _NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system that cannot answer
    return True


def read_through(path: str) -> None:
    """Read a file and forget it: its pages stay in the system's cache. A file that cannot be read is left to others."""
    buffer = bytearray(1 << 20)
    with suppress(OSError), Path(path).open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def send(
    socket: zmq.Socket[Any],
    identity: bytes,
    message: msgspec.Struct,
    *,
    reply_to: int = 0,
    blobs: tuple[framing.Buffer, ...] = (),
) -> bool:
    """Send to one peer. False if its queue is full; raises zmq.ZMQError (EHOSTUNREACH) if it is gone."""
    frames = [identity, *framing.encode(message, reply_to=reply_to, blobs=blobs)]
    try:
        socket.send_multipart(frames, zmq.NOBLOCK, copy=not blobs)
    except zmq.Again:
        return False
    return True
