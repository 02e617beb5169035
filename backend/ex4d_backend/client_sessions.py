"""Connected clients: who they are, what they listen to, and the result streams they have open."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from ex4d_backend.connections import Connection
from ex4d_backend.limits import Bucket
from ex4d_protocol.messages import Item

PRESENT_S = 10.0
"""Who said something so lately is there; clients ping more often."""
COUNT_EVERY_S = 0.2
SILENT_PINGS = 3
"""Who missed so many pings may have to make way for a newcomer."""
IDLE_S = 10.0
"""Who has only pinged for so long, too, if nobody is silent."""
SHARE_OF_PLACES = 4
"""One owner, or one other machine, may have this part of the places."""
FEW_PLACES = 8
"""But so many in any case."""
LEAVE_S = 1.0
"""How long after the end of its connection a session's messages are still read."""
STALL_S = 1.0
"""A server that has not looked for so long was held up itself."""


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
    ahead: deque[Item | None] = field(default_factory=deque)
    """Descriptions of the next items, read together; None is one that cannot be read."""
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
    connection: Connection | None = None
    """Its control socket's; None if unknown."""
    minor: int = 0
    """Of the protocol that the client speaks."""
    data_connection: Connection | None = None
    """The same of its data socket's."""
    address: str = ""
    """The machine it is on; "" if unknown."""
    left_at: float | None = None
    """When its connection ended; what it had sent is still read."""
    asked: float = field(default_factory=time.monotonic)
    """When it last wanted something, which a ping does not."""
    paused_until: float = 0.0
    """Its queue was full: nothing is sent before (monotonic seconds)."""
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    """What its proofs of having blobs are made with."""
    asking: int = 0
    """Its questions about blobs that wait for a file to be read."""


class ClientSessions:
    """All sessions, by the identities of their sockets."""

    def __init__(self, *, requests_per_s: float, limit: int, ping_s: float) -> None:
        """``limit`` sessions at a time, each with ``requests_per_s`` in the long run; they ping every ``ping_s``."""
        self._requests_per_s, self._limit, self._silent_s = requests_per_s, limit, SILENT_PINGS * ping_s
        self._by_control: dict[bytes, ClientSession] = {}
        self._by_data: dict[bytes, ClientSession] = {}
        self._crowded, self._counted_at = False, 0.0
        self._ended: list[ClientSession] = []
        self._looked_at = time.monotonic()

    def __iter__(self) -> Iterator[ClientSession]:
        return iter(list(self._by_control.values()))

    def __len__(self) -> int:
        return len(self._by_control)

    def identities(self) -> list[bytes]:
        """The control sockets of all sessions."""
        return list(self._by_control)

    def has_place(self, identity: bytes, owner: str, address: str, *, working: Callable[[], Collection[str]]) -> bool:
        """Whether a client may say Hello; if all places are taken, somebody else's is freed for it if it can be.

        First of a client that has left, then of the one that was silent longest, then of the one that has wanted
        nothing for longest; never of an owner in ``working()``, who has jobs. No owner and no other machine may have
        more than a quarter of the places.
        """
        if identity in self._by_control:
            return True
        most = max(FEW_PLACES, self._limit // SHARE_OF_PLACES)
        local = not address or address.startswith("127.") or address == "::1"
        there = list(self._by_control.values())
        here = [s for s in there if s.left_at is None and (s.owner == owner or (not local and s.address == address))]
        if len(here) >= most and not self._give_up_one(here, tuple):
            return False
        return len(self._by_control) < self._limit or self._give_up_one(there, working)

    def _give_up_one(self, sessions: Iterable[ClientSession], working: Callable[[], Collection[str]]) -> bool:
        now, at_work = time.monotonic(), working()

        def worth(session: ClientSession) -> tuple[bool, bool, float]:
            silent = now - session.heard > self._silent_s
            return session.left_at is None, not silent, session.heard if silent else session.asked

        def dispensable(session: ClientSession) -> bool:
            silent, idle = now - session.heard > self._silent_s, now - session.asked > IDLE_S
            return session.left_at is not None or (session.owner not in at_work and (silent or idle))

        least = min((s for s in sessions if dispensable(s)), key=worth, default=None)
        self.drop(least)
        return least is not None

    def open(self, identity: bytes, owner: str, client_name: str, key: str, *, operator: bool) -> ClientSession:
        """A client said Hello; an earlier session on the same socket is replaced. Ask :meth:`has_place` first."""
        earlier = self._by_control.get(identity)
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

    def owner_of(self, identity: bytes) -> str | None:
        """Whose a control socket is; None if nobody said Hello on it."""
        session = self._by_control.get(identity)
        return session.owner if session is not None else None

    @property
    def crowded(self) -> bool:
        """Whether several clients have been heard from lately."""
        now = time.monotonic()
        if now - self._counted_at >= COUNT_EVERY_S:
            self._counted_at = now
            owners = {s.owner for s in self._by_control.values() if now - s.heard < PRESENT_S}
            self._crowded = len(owners) > 1
        return self._crowded

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

    def left(self, connections: Collection[Connection]) -> None:
        """These connections have ended: their sessions end soon, when what they had sent has been read."""
        now = time.monotonic()
        for session in self:
            if session.connection in connections and session.left_at is None:
                session.left_at = now

    def drop(self, session: ClientSession | None) -> None:
        """Forget a session."""
        if session is not None:
            self._ended.append(session)
            self._by_control.pop(session.identity, None)
            self._by_data.pop(session.data_identity, None)
            session.streams.clear()

    def take_ended(self) -> list[ClientSession]:
        """The sessions that were dropped since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def expire(self, timeout_s: float) -> None:
        """Forget sessions that have been silent for so long; time in which the server stood still does not count."""
        now = time.monotonic()
        held_up, self._looked_at = now - self._looked_at, now
        for session in self:
            if held_up > STALL_S:
                session.heard += held_up
            if (session.left_at is not None and now - session.left_at > LEAVE_S) or now - session.heard > timeout_s:
                self.drop(session)
