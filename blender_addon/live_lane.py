"""One kind of live request (pictures, or coverage): at most one under way, the newest wish kept. No Blender here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count

from ex4d_protocol.live import LiveView

_sequence = count(1)


def next_sequence() -> int:
    """The number of the next request."""
    return next(_sequence)


@dataclass
class Lane:
    """State of one lane. ``wanted`` is set by changes; ``open`` by sending; answers clear ``open``."""

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

    def close(self) -> None:
        """It ended."""
        self.request_id = None

    def reset(self) -> None:
        """Forget everything but the wish: the connection or the shot is another."""
        self.request_id, self.sent = None, None
