"""The connection that live views listen to: the session's, whichever that is by now."""

from collections import deque
from contextlib import ExitStack

from ex4d_protocol import events as ev
from ex4d_protocol.client import Client

from ..work import session
from ..work.link import BackendLink

SILENT = "The backend is silent; live views go on when it is back."


class Connection:
    """What came over it lies in ``inbox``."""

    def __init__(self) -> None:
        self.inbox: deque[ev.Event] = deque()
        self._link: BackendLink | None = None
        self._listening = ExitStack()

    @property
    def client(self) -> Client | None:
        """The protocol's client; None while there is no connection."""
        return self._link.client if self._link is not None else None

    @property
    def trouble(self) -> str:
        """Why it cannot serve live views now; "" if it can."""
        if self._link is None:
            return "Connect to a backend first."
        if self._link.client.state != "connected":
            return SILENT
        if not self._link.client.capabilities.limits.live_pixels:
            return "This backend has no live views; update it, or allow them in its settings (live)."
        return ""

    def follow(self) -> bool:
        """Listen to the session's present connection. Returns whether it is another than before."""
        link = session.get().link
        if link is self._link:
            return False
        self.close()
        self._link = link
        if link is not None:
            self.inbox = self._listening.enter_context(link.inbox())
        return True

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()
        self.inbox.clear()
        self._link = None
