"""The client's connection: opens two sockets, says Hello, pings, notices a lost server and tries again.

Lazy Pirate: a silent or lost server means new sockets after a back-off. What is asked again then is the business of
:class:`~ex4d_protocol.session.Session`.
"""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from itertools import count
from typing import Any, Literal

import zmq

from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.base import PROTOCOL_MAJOR, PROTOCOL_MINOR
from ex4d_protocol.errors import FrameError
from ex4d_protocol.events import Connected, Disconnected, Event, Incompatible
from ex4d_protocol.transport import HUNG_UP, Channel, data_address

ConnectionState = Literal["disconnected", "connecting", "connected", "incompatible"]

FIRST_RETRY_S, LONGEST_RETRY_S = 0.25, 4.0
WELCOME_TIMEOUT_S = 5.0
SILENT_INTERVALS = 3


class Connection(ABC):
    """Everything below requests and jobs. Not used by itself."""

    def __init__(
        self,
        address: str,
        *,
        client_name: str = "client",
        client_id: str | None = None,
        server_key: bytes | None = None,
        keypair: tuple[bytes, bytes] | None = None,
        context: zmq.Context[Any] | None = None,
        versions: Mapping[str, str] | None = None,
        operator: str = "",
    ):
        self.address = address
        self.client_name = client_name
        self.client_id = client_id or uuid.uuid4().hex
        self.state: ConnectionState = "disconnected"
        self.welcome: m.Welcome | None = None
        self.capabilities = m.Capabilities()
        self.last_failure = ""
        """Why there is no connection, for people."""
        self._security: dict[str, Any] = {"server_key": server_key, "keypair": keypair}
        self._own_context = context is None
        self._context = context or zmq.Context()
        self._versions = dict(versions or {})
        self._operator = operator
        self._control: Channel | None = None
        self._data: Channel | None = None
        self._wanted = False
        self._retry_at = self._state_since = self._last_poll = time.monotonic()
        self._retry_s = FIRST_RETRY_S
        self._silence_s, self._silence_mark, self._pinged_at = 0.0, 0.0, 0.0
        self._ids = count(1)
        self._events: deque[Event] = deque()

    def connect(self) -> None:
        """Start connecting; ``poll`` does the rest, and reconnects until :meth:`close`."""
        self._wanted = True
        self._retry_s = FIRST_RETRY_S
        if self._own_context and self._context.closed:
            self._context = zmq.Context()
        if self.state in ("disconnected", "incompatible"):
            self._open()

    def close(self) -> None:
        """Leave at once. Jobs go on on the server; what was not sent yet is dropped."""
        self._wanted = False
        self._drop_channels()
        self.state = "disconnected"
        if self._own_context and not self._context.closed:
            self._context.destroy(linger=0)

    def wait_readable(self, timeout_s: float) -> None:
        """Sleep until there may be something to do; for callers that may block."""
        if self._control is None:
            time.sleep(min(timeout_s, max(0.0, self._retry_at - time.monotonic()), 0.05))
        else:
            self._control.wait(timeout_s, self._data)

    @abstractmethod
    def _handle(self, received: framing.Received) -> None:
        """Take one message."""

    @abstractmethod
    def _attached(self) -> None:
        """The handshake is done: ask again whatever is open."""

    @abstractmethod
    def _lost(self) -> None:
        """The connection is gone: nothing asked over it will be answered."""

    # --- opening and closing ------------------------------------------------------------------------------

    def _open(self) -> None:
        self._drop_channels()
        self.state, self._state_since = "connecting", time.monotonic()
        self._control = Channel(self._context, self.address, **self._security)
        hello = m.Hello(
            client_id=self.client_id,
            client_name=self.client_name[:128],
            major=PROTOCOL_MAJOR,
            minor=PROTOCOL_MINOR,
            versions=self._versions,
            operator=self._operator,
        )
        self._control.send(hello, request_id=next(self._ids))

    def _drop_channels(self) -> None:
        for channel in (self._control, self._data):
            if channel is not None:
                channel.close()
        self._control = self._data = None

    def _take_welcome(self, welcome: m.Welcome) -> None:
        if welcome.major != PROTOCOL_MAJOR:
            self._refuse_version(welcome.major)
            return
        self.welcome, self.capabilities = welcome, welcome.capabilities
        if self._data is not None:
            self._data.close()
        self._data = Channel(self._context, data_address(self.address, welcome.data_port), **self._security)
        self._data.send(m.Attach(session=welcome.session), request_id=next(self._ids))

    def _take_attached(self) -> None:
        if self.state != "connecting" or self.welcome is None:
            return
        again = bool(self.last_failure)
        self.state, self._state_since = "connected", time.monotonic()
        self._retry_s, self.last_failure, self._silence_s = FIRST_RETRY_S, "", 0.0
        self._events.append(Connected(self.welcome, reconnected=again))
        self._attached()

    def _lose(self, reason: str) -> None:
        """Close, have everything asked fail, and plan the next attempt."""
        self._drop_channels()
        if self.state == "connecting" and self._security["server_key"] is None and reason in HUNG_UP:
            reason += "; if it is encrypted, this client needs its key and one of its own"
        self.state = "disconnected"
        self.last_failure = f"No backend at {self.address}: {reason}."
        self._retry_at = time.monotonic() + self._retry_s
        self._events.append(Disconnected(self.last_failure, self._retry_s))
        self._retry_s = min(LONGEST_RETRY_S, self._retry_s * 2)
        self._lost()

    def _refuse_version(self, major: int) -> None:
        text = framing.incompatible_sentence(server_major=major, client_major=PROTOCOL_MAJOR, client=self.client_name)
        self._take_incompatible(text)

    def _take_incompatible(self, text: str) -> None:
        self._drop_channels()
        self.state, self.last_failure = "incompatible", text
        self._events.append(Incompatible(text))
        self._lost()

    # --- the tick's share ---------------------------------------------------------------------------------

    def _tick(self, deadline: float) -> None:
        """Reconnect if it is time, read what came, and see whether the server is still there."""
        now = time.monotonic()
        gap, self._last_poll = now - self._last_poll, now
        if self._wanted and self.state == "disconnected" and now >= self._retry_at:
            self._open()
        self._receive(self._control, deadline)
        self._receive(self._data, deadline)
        self._check_alive(gap)

    def _receive(self, channel: Channel | None, deadline: float) -> None:
        """Take messages until ``deadline``, one at least; none that would go beyond it if it is like the last one."""
        now = time.monotonic()
        while channel is not None and channel in (self._control, self._data):
            began = now
            try:
                received = channel.receive()
                if received is None:
                    return
                self._handle(received)
            except FrameError as error:
                if error.code == "incompatible":
                    self._refuse_version(int(str(error)))
                elif error.code != "unknown_type":  # a newer minor may send what is not known here
                    self._lose(f"it sent something unreadable ({error})")
            now = time.monotonic()
            if now + (now - began) >= deadline:
                return

    def _check_alive(self, gap_s: float) -> None:
        """Ping, notice a closed connection, and give up on a silent server."""
        control, data, now = self._control, self._data, time.monotonic()
        if control is None:
            return
        reason = control.failure() or (data.failure() if data else None)
        if reason is not None:
            self._lose(reason)
            return
        interval = self.welcome.ping_interval_s if self.welcome else WELCOME_TIMEOUT_S
        heard = max(control.last_heard, data.last_heard) if data is not None else control.last_heard
        if heard != self._silence_mark:
            self._silence_mark, self._silence_s = heard, 0.0
        # However long this side was away, it counts as one interval: the server must get time to answer.
        self._silence_s += min(gap_s, interval)
        if self.state == "connecting" and now - self._state_since > WELCOME_TIMEOUT_S:
            self._lose(f"something listens there but has not answered for {WELCOME_TIMEOUT_S:g} seconds")
        elif self.state == "connected" and self._silence_s > interval * SILENT_INTERVALS:
            self._lose(f"it has been silent for {interval * SILENT_INTERVALS:g} seconds")
        elif self.state == "connected" and now - max(self._pinged_at, min(control.last_sent, heard)) > interval:
            self._pinged_at = now
            control.send(m.Ping(), request_id=next(self._ids))
