"""The client's connection: opens two sockets, says Hello, pings, notices a lost server and tries again.

Lazy Pirate: a silent or lost server means new sockets after a back-off. What is said over them, and said again then,
is the business of the other parts of :class:`~ex4d_protocol.client.Client`.
"""

import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Literal

import msgspec
import zmq

from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.base import PROTOCOL_MAJOR
from ex4d_protocol.errors import FrameError, IncompatibleError
from ex4d_protocol.events import CapabilitiesChanged, Connected, Disconnected, Event, Incompatible
from ex4d_protocol.transport import HUNG_UP, UNANSWERED, Channel

ConnectionState = Literal["disconnected", "connecting", "connected", "incompatible"]

FIRST_RETRY_S, LONGEST_RETRY_S = 0.25, 4.0
WELCOME_TIMEOUT_S = 5.0
SILENT_INTERVALS = 3


class _Lines:
    """The context of a connection and its open channels, which must end before it does."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._channels: list[Channel] = []

    def open(self) -> None:
        """Also again, after :meth:`close`."""
        if self._context.closed:
            self._context = zmq.Context()

    def add(self, make: Callable[[zmq.Context[zmq.Socket[bytes]], str], Channel], address: str) -> Channel:
        """A new channel to ``address``."""
        channel = make(self._context, address)
        self._channels.append(channel)
        return channel

    def drop(self, *channels: Channel) -> None:
        """Close these channels."""
        for channel in channels:
            self._channels.remove(channel)
            channel.close()

    def close(self) -> None:
        """Close everything."""
        self.drop(*self._channels)
        if not self._context.closed:
            self._context.destroy(linger=0)


class Connection:
    """The way to one backend, which comes and goes.

    ``take`` gets every message that arrives, ``attached`` is called when the handshake is done, and ``lost`` when
    nothing that was asked will be answered any more. What people may want to know is appended to ``events``.
    """

    def __init__(
        self,
        address: str,
        hello: m.Hello,
        events: deque[Event],
        *,
        take: Callable[[framing.Received], None],
        attached: Callable[[], None],
        lost: Callable[[], None],
        server_key: bytes | None = None,
        keypair: tuple[bytes, bytes] | None = None,
    ):
        self.address = address
        self.state: ConnectionState = "disconnected"
        self.welcome: m.Welcome | None = None
        self.capabilities = m.Capabilities()
        self.last_failure = ""
        """Why there is no connection, for people."""
        self.control: Channel | None = None
        self.data: Channel | None = None
        self._hello = hello
        self._events = events
        self._take, self._attached, self._lost = take, attached, lost
        self._encrypted = server_key is not None
        self._open_channel = partial(Channel, server_key=server_key, keypair=keypair)
        self._lines = _Lines()
        # A client that nobody closed: pyzmq's own end of a context waits forever for sockets that are freed with it.
        weakref.finalize(self, self._lines.close).atexit = False
        self._wanted = False
        self._retry_at = self._state_since = self._last_tick = time.monotonic()
        self._retry_s = FIRST_RETRY_S
        self._silence_s, self._silence_mark, self._pinged_at = 0.0, 0.0, 0.0
        self.ids = count(1)
        """Numbers for requests, no two alike in this client's life."""
        self.postponed: list[Callable[[], None]] = []
        """What the server refused for now, to be done a little later."""

    def connect(self) -> None:
        """Start connecting; :meth:`tick` does the rest, and reconnects until :meth:`close`."""
        self._wanted = True
        self._retry_s = FIRST_RETRY_S
        self._lines.open()
        if self.state in ("disconnected", "incompatible"):
            self._open()

    def close(self) -> None:
        """Leave at once. Jobs go on on the server; what was not sent yet is dropped."""
        self._wanted = False
        self.control = self.data = None
        self._lines.close()
        self.state = "disconnected"

    def wait_readable(self, timeout_s: float) -> None:
        """Sleep until there may be something to do; for callers that may block."""
        if self.control is None:
            time.sleep(min(timeout_s, max(0.0, self._retry_at - time.monotonic()), 0.05))
            return
        poller = zmq.Poller()
        for channel in filter(None, (self.control, self.data)):
            channel.register(poller)
        poller.poll(max(0, int(timeout_s * 1000)))

    def tell(self, message: msgspec.Struct, *, bulk: bool = False, blobs: Sequence[framing.Buffer] = ()) -> int | None:
        """Send on the control socket, or the data socket if ``bulk``.

        Returns the request's id, or None if there is no connection or no room.
        """
        channel = self.data if bulk else self.control
        if self.state != "connected" or channel is None:
            return None
        request_id = next(self.ids)
        return request_id if channel.send(message, request_id=request_id, blobs=blobs) else None

    def absence(self) -> m.ErrorReply:
        """What is told to whoever asks something without a connection."""
        text = self.last_failure or f"There is no connection to {self.address} yet."
        return m.ErrorReply(code="no_session", message=text)

    # --- opening and closing ------------------------------------------------------------------------------

    def _open(self) -> None:
        self._drop_channels()
        self.state, self._state_since = "connecting", time.monotonic()
        self.control = self._lines.add(self._open_channel, self.address)
        self.control.send(self._hello, request_id=next(self.ids))

    def _drop_channels(self) -> None:
        self._lines.drop(*filter(None, (self.control, self.data)))
        self.control = self.data = None

    def take_welcome(self, welcome: m.Welcome) -> None:
        """Take the answer to Hello. Raises IncompatibleError."""
        self._check_major(welcome.major)
        self.welcome, self.capabilities = welcome, welcome.capabilities
        if self.data is not None:
            self._lines.drop(self.data)
        host = self.address.rpartition(":")[0]
        self.data = self._lines.add(self._open_channel, f"{host}:{welcome.data_port}")
        self.data.send(m.Attach(session=welcome.session), request_id=next(self.ids))

    def take_attached(self) -> None:
        """Take the answer to Attach: the handshake is done."""
        if self.state != "connecting" or self.welcome is None:
            return
        again = bool(self.last_failure)
        self.state, self._state_since = "connected", time.monotonic()
        self._retry_s, self.last_failure, self._silence_s = FIRST_RETRY_S, "", 0.0
        self._events.append(Connected(self.welcome, reconnected=again))
        self._attached()

    def take_capabilities(self, capabilities: m.Capabilities) -> None:
        """Take what the server can do from now on."""
        self.capabilities = capabilities
        self._events.append(CapabilitiesChanged(capabilities))

    def refused(self, error: m.ErrorReply, reply_to: int) -> bool:
        """An error came; whether it ends the connection. Raises IncompatibleError."""
        if error.code == "incompatible" and self.state == "connecting":
            raise IncompatibleError(error.message)
        if error.code == "no_session":
            self.lose("it has restarted and no longer knows this session")
        elif error.code == "not_allowed" and not reply_to:
            self.lose(error.message.rstrip("."))
        else:
            return False
        return True

    def lose(self, reason: str) -> None:
        """Close, have everything asked fail, and plan the next attempt."""
        self._drop_channels()
        if self.state == "connecting" and not self._encrypted and reason in HUNG_UP:
            reason += "; if it is encrypted, this client needs its key and one of its own"
        self.state = "disconnected"
        self.last_failure = f"No backend at {self.address}: {reason}."
        self._retry_at = time.monotonic() + self._retry_s
        self._events.append(Disconnected(self.last_failure, self._retry_s))
        self._retry_s = min(LONGEST_RETRY_S, self._retry_s * 2)
        self._lost()

    def _check_major(self, major: int) -> None:
        if major != PROTOCOL_MAJOR:
            client = self._hello.client_name
            raise IncompatibleError(
                framing.incompatible_sentence(server_major=major, client_major=PROTOCOL_MAJOR, client=client)
            )

    # --- the tick -----------------------------------------------------------------------------------------

    def tick(self, deadline: float) -> None:
        """Reconnect if it is time, take what came until ``deadline`` (time.monotonic), see whether the server lives."""
        now = time.monotonic()
        gap, self._last_tick = now - self._last_tick, now
        if self._wanted and self.state == "disconnected" and now >= self._retry_at:
            self._open()
        self._receive(self.control, deadline)
        self._receive(self.data, deadline)
        self._check_alive(gap)

    def _receive(self, channel: Channel | None, deadline: float) -> None:
        """Take messages until ``deadline``, one at least; none that would go beyond it if it is like the last one."""
        now = time.monotonic()
        while channel is not None and channel in (self.control, self.data):
            began = now
            try:
                frames = channel.receive()
                if frames is None:
                    return
                if (major := framing.major_of(frames)) is not None:
                    self._check_major(major)
                self._take(framing.decode(frames, framing.SERVER_DECODERS))
            except IncompatibleError as error:
                self._drop_channels()
                self.state, self.last_failure = "incompatible", str(error)
                self._events.append(Incompatible(self.last_failure))
                self._lost()
            except FrameError as error:
                if error.code != "unknown_type":  # a newer minor may send what is not known here
                    self.lose(f"it sent something unreadable ({error})")
            now = time.monotonic()
            if now + (now - began) >= deadline:
                return

    def _check_alive(self, gap_s: float) -> None:
        """Ping, notice a closed connection, and give up on a silent server."""
        control, data, now = self.control, self.data, time.monotonic()
        if control is None:
            return
        reason = control.failure() or (data.failure() if data else None)
        if reason is not None:
            self.lose(self._unanswered(control, data) if reason == UNANSWERED and data else reason)
            return
        interval = self.welcome.ping_interval_s if self.welcome else WELCOME_TIMEOUT_S
        heard = max(control.last_heard, data.last_heard) if data is not None else control.last_heard
        if heard != self._silence_mark:
            self._silence_mark, self._silence_s = heard, 0.0
        # However long this side was away, it counts as one interval: the server must get time to answer.
        self._silence_s += min(gap_s, interval)
        if self.state == "connecting" and now - self._state_since > WELCOME_TIMEOUT_S:
            self.lose(self._unanswered(control, data))
        elif self.state == "connected" and self._silence_s > interval * SILENT_INTERVALS:
            self.lose(f"it has been silent for {interval * SILENT_INTERVALS:g} seconds")
        elif self.state == "connected" and now - max(self._pinged_at, min(control.last_sent, heard)) > interval:
            self._pinged_at = now
            control.send(m.Ping(), request_id=next(self.ids))

    @staticmethod
    def _unanswered(control: Channel, data: Channel | None) -> str:
        """Why there was no Welcome, or nothing after it, as far as can be told from here."""
        if not control.connected:
            return (
                f"nothing there has answered for {WELCOME_TIMEOUT_S:g} seconds (a wrong name, a machine that is off, "
                "or a firewall)"
            )
        if data is not None and not data.connected:
            port = data.address.rpartition(":")[2]
            return f"it answers, but its data port {port} cannot be reached (its setting data_address chooses the port)"
        return f"something listens there but has not answered for {WELCOME_TIMEOUT_S:g} seconds"
