"""Time as expiry counts it: seconds a server has served from this data folder, over all its runs.

The computer's clock may jump by years (a flat battery, a wrong time zone set right) and would take results with it;
time in which the server was off does not count either, so nothing is lost over a holiday.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class ServedClock:
    """Seconds served; starts at ``base``, what earlier runs have saved."""

    def __init__(self, base: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._base, self._monotonic, self._start = base, monotonic, monotonic()

    def __call__(self) -> float:
        """Now."""
        return self._base + self._monotonic() - self._start
