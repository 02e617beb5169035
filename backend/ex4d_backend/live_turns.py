"""Whose live view is drawn next: clients take turns, by the time that their frames took so far."""

import time
from collections.abc import Callable, Collection

from ex4d_backend.limits import TimeAccount, TimeUsed

SHARE = 0.5
"""Of the process's time, what the frames of one client may take while others look at live views too: two who want all
of it lose nothing, and who moves a camera finds the process, and the cores, free as often as not."""
PICTURES_PER_S = 120.0
"""No screen shows more; every picture is a message to its client too, which the server's loop passes on."""
LONGEST_S = 0.25
"""What takes longer counts for no more: it is a clip being read, which lets others' frames be drawn meanwhile."""
PRESENT_S = 10.0
"""Who asked for a view so lately is there."""


class LiveTurns:
    """The order of clients, in one process of live views."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._used = clock, TimeUsed()
        self._accounts: dict[int, TimeAccount] = {}
        self._asked: dict[int, float] = {}
        """When each client asked last."""

    def ask(self, client: int) -> None:
        """A client asked for a view."""
        self._asked[client] = self._clock()

    def join(self, client: int) -> None:
        """There is something to draw for a client for which there was nothing."""
        self._used.join(client)

    def of(self, client: int) -> float:
        """The client with the least is next."""
        return self._used.of(client)

    def charge(self, client: int, seconds: float, *, picture: bool) -> None:
        """A frame took so long."""
        self._used.charge(client, seconds)
        least_s = SHARE / PICTURES_PER_S if picture else 0.0
        self._account(client).charge(min(LONGEST_S, max(seconds, least_s)))

    def wait_s(self, client: int) -> float:
        """How long this client's next frame has to wait: 0 unless it used more than its share and others are there."""
        if client not in self._accounts or not self._others(client):
            return 0.0
        return self._accounts[client].opens_in

    def forget(self, client: int) -> None:
        """It is gone."""
        self._used.forget(client)
        self._accounts.pop(client, None)
        self._asked.pop(client, None)

    def shortest_wait_s(self, clients: Collection[int], most_s: float) -> float:
        """How long until one of ``clients`` may be served; ``most_s`` at most."""
        return min((most_s, *map(self.wait_s, clients)))

    def _others(self, client: int) -> bool:
        since = self._clock() - PRESENT_S
        return any(at > since for other, at in self._asked.items() if other != client)

    def _account(self, client: int) -> TimeAccount:
        if client not in self._accounts:
            # Nothing saved up: who connects anew gains nothing by it.
            self._accounts[client] = TimeAccount(self._clock, share=SHARE, heavy=0, saved_s=0.0)
        return self._accounts[client]
