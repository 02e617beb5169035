"""How long live answers take, and whether the link is too slow for them. No Blender in here."""

from __future__ import annotations

from collections import deque

KEEP = 20
ENOUGH = 8
"""Fewer round trips say nothing about the rest."""


class Meter:
    """The last round trips of live pictures."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=KEEP)

    def add(self, seconds: float) -> None:
        """One round trip: from a request's departure to its picture."""
        self._times.append(seconds)

    def clear(self) -> None:
        """Forget them: the link or the clip is another."""
        self._times.clear()

    @property
    def p95_ms(self) -> float | None:
        """The round trip that 95 % of them stay within, in milliseconds; None while there are too few."""
        if len(self._times) < ENOUGH:
            return None
        ranked = sorted(self._times)
        return 1e3 * ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]

    @property
    def last_ms(self) -> float | None:
        """The last round trip in milliseconds."""
        return 1e3 * self._times[-1] if self._times else None


def too_slow(p95_ms: float | None, limit_ms: float) -> str:
    """Why live views pause, as a sentence; "" if they need not."""
    if p95_ms is None or p95_ms <= limit_ms:
        return ""
    return (
        f"Paused: pictures take {p95_ms:.0f} ms, more than {limit_ms:.0f} ms. Use a backend nearer by, "
        "a smaller picture, or a higher limit in the preferences."
    )
