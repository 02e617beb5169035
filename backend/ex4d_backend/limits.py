"""Limits: how large a clip may be, and how many requests a connection may make."""

import time
from collections.abc import Callable

BURST_S = 4.0
"""A client that was quiet may make this many seconds' worth of requests at once."""


class Bucket:
    """Keeps one client from filling the loop with small requests.

    ``rate`` tokens a second flow in, up to ``BURST_S`` seconds' worth; every request takes one."""

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._tokens, self._filled = rate * BURST_S, clock()

    def take(self) -> bool:
        """Take a token; False if there is none."""
        now = self._clock()
        self._tokens = min(self._rate * BURST_S, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def too_many_pixels(frames: int, width: int, height: int, limit: int) -> str:
    """ "" if a clip of that size may be worked on, else why not. ``limit`` is in pixels of all frames together."""
    if frames * width * height <= limit:
        return ""
    return (
        f"{frames} frames of {width}x{height} are more than this backend takes ({limit / 1e6:.0f} million pixels); "
        "use fewer frames or a smaller picture."
    )
