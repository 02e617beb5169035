"""Whose message is handled next: clients take turns, by the time that their messages have cost the loop so far."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import zmq

from ex4d_backend.client_errors import Refusal
from ex4d_backend.limits import Bucket, TimeAccount
from ex4d_protocol import framing
from ex4d_protocol.errors import FrameError

ROUND_S = 0.002
"""Handling messages of one socket stops after so long, for the others to be seen to."""
MESSAGES_PER_ROUND = 64
URGENT = frozenset({"Ping", "CancelJob", "Credit"})
"""Small messages with small answers, that are handled as they come."""
WAITING_MESSAGES, WAITING_BYTES, ALL_WAITING_BYTES = 64, 16 << 20, 64 << 20
"""What may wait for a turn: of one client, and of all together; what is beyond is refused."""
ACCOUNTS = 4096
"""Of clients that are kept; the one that sent nothing for longest is forgotten first."""

NEWCOMER_BYTES = 20 << 10
"""Before somebody has said Hello, nothing longer is read."""
RECEIVING_S = 1e-9
"""What a byte costs ZeroMQ's thread, about, before the loop sees it."""
REFUSED_BYTES, STRANGERS_BYTES, REFUSED_PER_S = 64 << 20, 16 << 20, 1 << 20
"""Of what is refused: who goes on sending after so much (if nobody knows who it is, so much), and more than the last
each second, is cut off: what is refused must be received all the same, and takes the cores from everybody."""

Frames = list[zmq.Frame]
Handle = Callable[[Frames], None]


class Turns:
    """The reading end of one socket. :meth:`run` when something can be read or it is :attr:`ready`.

    A client that sends nothing but small requests never waits. One whose messages take long waits after them, while
    others are there, so that theirs are not held up: by its account (see :class:`~ex4d_backend.limits.TimeAccount`).
    """

    def __init__(
        self,
        socket: zmq.Socket[Any],
        *,
        client_of: Callable[[bytes], str | None],
        handle: Handle,
        refuse: Callable[[Frames, Refusal], None],
        crowded: Callable[[], bool],
        choked: Callable[[bytes], bool],
        cut_off: Callable[[zmq.Frame], None],
        clock: Callable[[], float] = time.monotonic,
        cost_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """``client_of`` knows whose a socket's identity is; None if nobody's.

        ``crowded`` says whether several clients are there, so that one must make way for another; ``choked``, whether
        the client behind a socket has so much left to read that nothing more should be answered for now. ``cut_off``
        ends the connection that a frame came over.
        """
        self._socket, self._client_of, self._handle, self._refuse = socket, client_of, handle, refuse
        self._crowded, self._choked, self._clock, self._cost_clock = crowded, choked, clock, cost_clock
        self._cut_off = cut_off
        self._refused: OrderedDict[str | bytes, Bucket] = OrderedDict()
        """What each client, or connection that nobody knows, may still send in vain."""
        self._accounts: OrderedDict[str, TimeAccount] = OrderedDict()
        self._queues: dict[str, deque[tuple[Frames, int]]] = {}
        self._waiting_bytes: dict[str, int] = {}

    @property
    def ready(self) -> bool:
        """Whether a message that waits could be handled now."""
        return any(self._may(client, self._queues[client][0][0]) for client in self._queues)

    def run(self) -> None:
        """Read what has come, and handle messages for a few milliseconds at most."""
        end = self._clock() + ROUND_S
        for _ in range(MESSAGES_PER_ROUND):
            frames = framing.receive(self._socket, extra=1)
            if frames is None:
                break
            self._sort(frames)
            if self._clock() >= end:
                break
        while self._clock() < end:
            able = [client for client, queue in self._queues.items() if self._may(client, queue[0][0])]
            if not able:
                break
            client = max(able, key=lambda name: self._account(name).balance)
            self._take(client, *self._next(client))

    def _sort(self, frames: Frames) -> None:
        """Handle a message now if it is urgent or its client has time left; else let it wait, or refuse it."""
        client, size = self._client_of(frames[0].bytes), sum(len(frame) for frame in frames)
        if client is None:
            if size > NEWCOMER_BYTES:
                self._turn_away(frames, size, None, Refusal("no_session", "This connection has not said Hello."))
            else:
                self._handle(frames)
            return
        queue, kind = self._queues.get(client), _kind_of(frames)
        # A cancel must not overtake the job that it is about.
        urgent = kind in URGENT and not (kind == "CancelJob" and queue and any(_is_job(each) for each, _ in queue))
        if urgent or (queue is None and self._may(client, frames)):
            self._take(client, frames, size)
            return
        if not self._has_room(client, size):
            text = "This client's requests take long; wait for their answers."
            self._turn_away(frames, size, client, Refusal("rate_limited", text))
            return
        self._queues.setdefault(client, deque()).append((frames, size))
        self._waiting_bytes[client] = self._waiting_bytes.get(client, 0) + size

    def _turn_away(self, frames: Frames, size: int, client: str | None, refusal: Refusal) -> None:
        """Refuse a message; cut off who sends so much of them that receiving them holds others up."""
        self._refuse(frames, refusal)
        who = frames[0].bytes if client is None else client
        if who not in self._refused:
            burst = STRANGERS_BYTES if client is None else REFUSED_BYTES
            self._refused[who] = Bucket(REFUSED_PER_S, burst=burst, clock=self._clock)
            while len(self._refused) > ACCOUNTS:
                self._refused.popitem(last=False)
        self._refused.move_to_end(who)
        if not self._refused[who].take(size):
            self._cut_off(frames[0])

    def _may(self, client: str, frames: Frames) -> bool:
        """Whether this client's next message may be handled now."""
        if self._choked(frames[0].bytes):
            return False
        return self._account(client).open or not self._crowded()

    def _has_room(self, client: str, size: int) -> bool:
        own, everyones = self._waiting_bytes.get(client, 0), sum(self._waiting_bytes.values())
        few = len(self._queues.get(client, ())) < WAITING_MESSAGES
        return few and own + size <= WAITING_BYTES and everyones + size <= ALL_WAITING_BYTES

    def _next(self, client: str) -> tuple[Frames, int]:
        frames, size = self._queues[client].popleft()
        self._waiting_bytes[client] -= size
        if not self._queues[client]:
            del self._queues[client], self._waiting_bytes[client]
        return frames, size

    def _take(self, client: str, frames: Frames, size: int) -> None:
        began = self._cost_clock()
        self._handle(frames)
        self._account(client).charge(self._cost_clock() - began, beside_s=size * RECEIVING_S)

    def _account(self, client: str) -> TimeAccount:
        account = self._accounts.get(client)
        if account is None:
            account = self._accounts[client] = TimeAccount(self._clock)
            while len(self._accounts) > ACCOUNTS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(client)
        return account


def _kind_of(frames: Frames) -> str:
    """A message's type; one that has none is answered at once, like a ping."""
    try:
        return framing.header_of(frames[1:]).type
    except FrameError:
        return "Ping"


def _is_job(frames: Frames) -> bool:
    return _kind_of(frames) == "SubmitJob"
