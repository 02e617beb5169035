"""Connected clients: who they are, what they listen to, and the result streams they have open."""

import secrets
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from ex4d_backend.limits import Bucket
from ex4d_protocol.messages import Item


@dataclass
class ResultStream:
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
class ClientSession:
    """One client's connection."""

    identity: bytes
    owner: str
    client_name: str
    key: str
    """Public key of an encrypted connection, else ""."""
    operator: bool
    """It showed the secret of the data folder, and sees every client's jobs."""
    bucket: Bucket
    """Its requests on either socket."""
    number: int = field(default_factory=count(1).__next__)
    """No other session has it."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    data_identity: bytes = b""
    heard: float = field(default_factory=time.monotonic)
    streams: dict[str, ResultStream] = field(default_factory=dict)
    paused_until: float = 0.0
    """Its queue was full: nothing is sent before (monotonic seconds)."""
    wanted_blobs: set[str] = field(default_factory=set)
    """Blobs it was told are missing: it hears when they are complete."""


class ClientSessions:
    """All sessions, by the identities of their sockets."""

    def __init__(self, *, requests_per_s: float, limit: int) -> None:
        """``limit`` sessions at a time, each with ``requests_per_s`` in the long run."""
        self._requests_per_s, self._limit = requests_per_s, limit
        self._by_control: dict[bytes, ClientSession] = {}
        self._by_data: dict[bytes, ClientSession] = {}

    def __iter__(self) -> Iterator[ClientSession]:
        return iter(list(self._by_control.values()))

    def __len__(self) -> int:
        return len(self._by_control)

    def open(self, identity: bytes, owner: str, client_name: str, key: str, *, operator: bool) -> ClientSession | None:
        """A client said Hello; an earlier session on the same socket is replaced. None if there are too many."""
        earlier = self._by_control.get(identity)
        if earlier is None and len(self._by_control) >= self._limit:
            return None
        # Saying Hello again does not refill the bucket.
        bucket = earlier.bucket if earlier is not None else Bucket(self._requests_per_s)
        self.drop(earlier)
        session = self._by_control[identity] = ClientSession(identity, owner, client_name, key, operator, bucket)
        return session

    def attach(self, token: str, identity: bytes, key: str) -> ClientSession | None:
        """A data socket presents a session's token; None if there is no such session (or another key's)."""
        session = next((s for s in self if secrets.compare_digest(s.token.encode(), token.encode())), None)
        if session is None or session.data_identity or key != session.key:
            return None
        session.data_identity = identity
        self._by_data[identity] = session
        return session

    def control(self, identity: bytes) -> ClientSession | None:
        """The session of a control socket; noted as heard from."""
        return self._heard(self._by_control.get(identity))

    def data(self, identity: bytes) -> ClientSession | None:
        """The session of a data socket; noted as heard from."""
        return self._heard(self._by_data.get(identity))

    def holds(self, session: ClientSession) -> bool:
        """Whether this session is still open."""
        return self._by_control.get(session.identity) is session

    @staticmethod
    def _heard(session: ClientSession | None) -> ClientSession | None:
        if session is not None:
            session.heard = time.monotonic()
        return session

    def of_owner(self, owner: str) -> Iterable[ClientSession]:
        """Every session of one owner."""
        return [s for s in self._by_control.values() if s.owner == owner]

    def drop(self, session: ClientSession | None) -> None:
        """Forget a session."""
        if session is not None:
            self._by_control.pop(session.identity, None)
            self._by_data.pop(session.data_identity, None)
            session.streams.clear()

    def expire(self, timeout_s: float) -> None:
        """Forget sessions that have been silent for so long."""
        now = time.monotonic()
        for session in self:
            if now - session.heard > timeout_s:
                self.drop(session)
