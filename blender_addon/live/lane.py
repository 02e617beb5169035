"""Live requests, pictures or coverage: at most one of a kind under way; how long they take. No Blender here."""

import time
from collections import deque
from dataclasses import dataclass
from itertools import count

from ex4d_protocol.live import LiveView

KEEP = 20
ENOUGH = 8
"""Fewer round trips say nothing about the rest."""

sequence = count(1)
"""Numbers of requests, of all lanes together."""


@dataclass
class Lane:
    """State of one lane. ``wanted`` is set by changes, ``request_id`` by sending; the answer takes it away."""

    wanted: bool = False
    request_id: int | None = None
    """The request under way; None while there is none."""
    sent: LiveView | None = None
    """The last request."""
    sent_at: float = 0.0
    heard_at: float = 0.0
    """When the last answer or news of progress came."""
    loading: bool = False
    """The backend has said that it reads the clip: this round trip says nothing about the link."""
    asked: int = 0
    """Requests sent so far, for tests and the panel."""

    @property
    def is_open(self) -> bool:
        """Whether a request is under way."""
        return self.request_id is not None

    def send(self, request_id: int, view: LiveView) -> None:
        """A request was sent."""
        self.request_id, self.sent, self.wanted, self.loading = request_id, view, False, False
        self.sent_at = self.heard_at = time.monotonic()
        self.asked += 1

    def reset(self) -> None:
        """Forget everything but the wish: the connection or the shot is another."""
        self.request_id, self.sent = None, None


class Meter(deque[float]):
    """The last round trips of live pictures in seconds, each from a request's departure to its picture."""

    def __init__(self) -> None:
        super().__init__(maxlen=KEEP)

    @property
    def p95_ms(self) -> float | None:
        """The round trip that 95 % of them stay within, in milliseconds; None while there are too few."""
        if len(self) < ENOUGH:
            return None
        ranked = sorted(self)
        return 1e3 * ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]

    @property
    def last_ms(self) -> float | None:
        """The last round trip in milliseconds."""
        return 1e3 * self[-1] if self else None


def too_slow(p95_ms: float | None, limit_ms: float) -> str:
    """Why live views pause, as a sentence; "" if they need not."""
    if p95_ms is None or p95_ms <= limit_ms:
        return ""
    return (
        f"Paused: pictures take {p95_ms:.0f} ms, more than {limit_ms:.0f} ms. Use a backend nearer by, "
        "a smaller picture, or a higher limit in the preferences."
    )
