"""The client's sockets: one DEALER each for control and data, watched by monitors so that a refusal is quick."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import zmq
import zmq.utils.monitor

from ex4d_protocol import framing
from ex4d_protocol.errors import ConnectionFailed

_OPTIONS = {
    zmq.LINGER: 0,
    zmq.RECONNECT_IVL: -1,
    zmq.MAXMSGSIZE: framing.MAX_FRAME_BYTES,
    **framing.KEEP_ALIVE,
    zmq.HANDSHAKE_IVL: 5000,
    zmq.SNDHWM: 10_000,
    zmq.RCVHWM: 0,  # what may come is bounded by the credit that is given; see KEEP_ALIVE
}
_HANDSHAKE_FAILURES = {
    zmq.Event.HANDSHAKE_FAILED_AUTH: "it refused this client's key; have the key allowed on the server",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: "the encryption handshake failed; check the server's key",
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: "the encryption handshake failed; check the keys on both sides",
}
CLOSED, UNANSWERED = "it closed the connection", "nothing answers there"
HUNG_UP = frozenset({CLOSED, *_HANDSHAKE_FAILURES.values()})
"""Reasons that a client without keys also gets from an encrypted server, which cannot tell it more."""


class Channel:
    """A DEALER socket that connects once and never reconnects by itself (the client decides when to)."""

    def __init__(
        self,
        context: zmq.Context[Any],
        address: str,
        *,
        server_key: bytes | None = None,
        keypair: tuple[bytes, bytes] | None = None,
    ):
        self.address = address
        self.connected = False
        """Whether something listens there, as far as :meth:`failure` has looked."""
        self.last_sent = self.last_heard = time.monotonic()
        self._socket = context.socket(zmq.DEALER)
        for option, value in _OPTIONS.items():
            self._socket.setsockopt(option, value)
        if "[" in address:
            self._socket.setsockopt(zmq.IPV6, 1)
        if server_key is not None:
            public, secret = keypair or zmq.curve_keypair()
            self._socket.curve_serverkey = server_key
            self._socket.curve_publickey, self._socket.curve_secretkey = public, secret
        watched = zmq.Event.CONNECTED | zmq.Event.CLOSED | zmq.Event.DISCONNECTED
        for event in _HANDSHAKE_FAILURES:
            watched |= event
        self._monitor: zmq.Socket[Any] = self._socket.get_monitor_socket(watched)
        try:
            self._socket.connect(address)
        except zmq.ZMQError:
            self.close()
            raise ConnectionFailed(f"{address!r} is no address; it looks like tcp://127.0.0.1:7764.") from None

    def send(self, message: msgspec.Struct, *, request_id: int = 0, blobs: Sequence[framing.Buffer] = ()) -> bool:
        """Queue a message; blobs are not copied. False if the outgoing queue is full."""
        frames = framing.encode(message, request_id=request_id, blobs=blobs)
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK, copy=not blobs)
        except zmq.Again:
            return False
        self.last_sent = time.monotonic()
        return True

    def receive(self) -> list[zmq.Frame] | None:
        """The frames of the next message, or None."""
        frames = framing.receive(self._socket)
        if frames is not None:
            self.last_heard = time.monotonic()
        return frames

    def failure(self) -> str | None:
        """Why the connection is gone, as a clause ("nothing listens there"), or None if nothing is known."""
        reason = None
        while self._monitor.poll(0):
            event = zmq.Event(zmq.utils.monitor.recv_monitor_message(self._monitor)["event"])
            if event in _HANDSHAKE_FAILURES:
                return _HANDSHAKE_FAILURES[event]
            if event == zmq.Event.CONNECTED:
                self.connected = True
            elif event == zmq.Event.CLOSED:
                reason = UNANSWERED
            elif event == zmq.Event.DISCONNECTED:
                reason = CLOSED
        return reason

    def register(self, poller: zmq.Poller) -> None:
        """Have ``poller`` wait for what may be read here."""
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)

    def close(self) -> None:
        """Drop the connection and whatever is still queued."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
