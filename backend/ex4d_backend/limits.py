"""Limits: how large a clip may be, how many requests a connection may make, and how much of the loop's time."""

import time
from collections.abc import Callable

BURST_S = 4.0
"""A client that was quiet may make this many seconds' worth of requests at once."""

TIME_SHARE, TIME_BURST_S = 0.1, 0.5
"""Of the loop's time, what one client may use in the long run, and at once after it was quiet."""
LIGHT_S, HEAVY = 0.002, 20
"""What a message takes beyond the first counts so many times: nobody else's waits behind such a one often."""


class Bucket:
    """Keeps one client from filling the loop with small requests.

    ``rate`` tokens a second flow in, up to ``burst``, or ``BURST_S`` seconds' worth; every request takes one."""

    def __init__(self, rate: float, *, burst: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._burst = rate * BURST_S if burst is None else burst
        self._tokens, self._filled = self._burst, clock()

    def take(self, tokens: float = 1.0) -> bool:
        """Take a token, or as many as are said; False if there are not so many."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True


class TimeAccount:
    """What a client's messages may cost the loop: time flows in, and each message's time is charged afterwards.

    So the 99th percentile of another client's answers is kept: messages that take long each are rare, a hundredth of
    the time at most.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        share: float = TIME_SHARE,
        heavy: float = HEAVY,
        saved_s: float = TIME_BURST_S,
    ) -> None:
        """``share`` of the time flows in, and ``saved_s`` is there at first; what one charge has beyond ``LIGHT_S``
        counts ``heavy`` times more."""
        self._clock, self._share, self._heavy = clock, share, heavy
        self._balance, self._filled = saved_s, clock()

    @property
    def balance(self) -> float:
        """Seconds left; negative: owed."""
        now = self._clock()
        self._balance = min(TIME_BURST_S, self._balance + max(0.0, now - self._filled) * self._share)
        self._filled = now
        return self._balance

    @property
    def open(self) -> bool:
        """Whether there is time left."""
        return self.balance > 0.0

    @property
    def opens_in(self) -> float:
        """Seconds until there is time left."""
        return max(0.0, -self.balance) / self._share

    def charge(self, seconds: float, *, beside_s: float = 0.0) -> None:
        """A message took so long, and another thread, which holds nobody up, ``beside_s``."""
        self._balance = self.balance - seconds - beside_s - self._heavy * max(0.0, seconds - LIGHT_S)


class TimeUsed:
    """How much time was spent on each client: the one with the least is next.

    Who comes, or comes back, begins where the one served last stands: nobody is owed the time that others used while
    there was nothing to do for it, nor while it was somebody else.
    """

    def __init__(self) -> None:
        self._used: dict[int, float] = {}
        self._level = 0.0
        """What the one served last had used before."""

    def of(self, client: int) -> float:
        """Seconds, as far as turns are concerned."""
        return self._used.get(client, self._level)

    def join(self, client: int) -> None:
        """There is something to do for a client for which there was nothing."""
        self._used[client] = max(self.of(client), self._level)

    def charge(self, client: int, seconds: float) -> None:
        """So much was spent on it."""
        self._level = max(self._level, self.of(client))
        self._used[client] = self.of(client) + seconds

    def forget(self, client: int) -> None:
        """It is gone."""
        self._used.pop(client, None)


def too_many_pixels(frames: int, width: int, height: int, limit: int) -> str:
    """ "" if a clip of that size may be worked on, else why not. ``limit`` is in pixels of all frames together."""
    if frames * width * height <= limit:
        return ""
    return (
        f"{frames} frames of {width}x{height} are more than this backend takes ({limit / 1e6:.0f} million pixels); "
        "use fewer frames or a smaller picture."
    )
