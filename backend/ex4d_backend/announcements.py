"""What every client is told when it changes: the newest news only, to a few clients at a time."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from ex4d_backend.outbox import Outbox
from ex4d_protocol import framing

EVERY_S = 0.5
"""Clients hear of changes this often: workers are busy and idle many times a second."""
PER_ROUND = 8
"""Clients that are told before the loop sees to messages again: a ping does not wait for news to a hundred others."""


News = TypeVar("News", bound=msgspec.Struct)


class Announcements(Generic[News]):
    """One kind of news. :meth:`offer` it whenever it may have changed, :meth:`pump` in every round of the loop."""

    def __init__(
        self,
        outbox: Outbox,
        clients: Callable[[], Iterable[bytes]],
        first: News,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clients`` gives the sockets of those to be told; ``first`` is what they know when they come."""
        self.newest = first
        """What who comes is to be told: it hears of what is other than this."""
        self._outbox, self._clients, self._clock = outbox, clients, clock
        self._frames: list[framing.Buffer] = []
        self._untold: deque[bytes] = deque()
        self._next_at = 0.0

    def offer(self, news: News) -> None:
        """Have everyone told, soon, if it is other than before; who was not told of what was before never is."""
        if news == self.newest or self._clock() < self._next_at:
            return
        self.newest, self._next_at = news, self._clock() + EVERY_S
        self._frames = framing.encode(news)  # once for all
        self._untold = deque(self._clients())

    def pump(self) -> bool:
        """Tell some; whether there are more to tell."""
        for _ in range(min(PER_ROUND, len(self._untold))):
            self._outbox.send_frames(self._untold.popleft(), self._frames)
        return bool(self._untold)
