"""Who is connected to a public socket at all: ends of connections are noticed at once, and idle ones are ended.

ZeroMQ tells a ROUTER nothing of a peer that left. Its monitor does, by the number of the system's socket, which every
received frame names too.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

log = logging.getLogger("ex4d_backend.connections")

GREET_S = 20.0
"""Whoever has connected has so long to say who it is."""
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED


@dataclass(eq=False)
class Connection:
    """One connection. The system gives its number to another one as soon as it has ended; this is it and no other."""

    number: int
    peer: Any
    """(address, port, ...) of the other end; None if the system does not say."""
    since: float
    known: bool = False
    """Its client said who it is."""


class Connections:
    """All connections of one ROUTER socket. Belongs to the I/O loop."""

    def __init__(self, router: zmq.Socket[Any], name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``name`` is unique among the context's sockets."""
        self._router, self._clock = router, clock
        address = f"inproc://connections-{name}"
        router.monitor(address, _EVENTS)
        self._events = router.context.socket(zmq.PAIR)
        self._events.setsockopt(zmq.RCVHWM, 0)  # else ZeroMQ's thread would wait for this one
        self._events.connect(address)
        self._open: dict[int, Connection] = {}

    def ended(self) -> set[Connection]:
        """The connections that have ended since the last call."""
        gone: set[Connection] = set()
        while self._events.poll(0):
            event = parse_monitor_message(self._events.recv_multipart())
            number = int(event["value"])
            if event["event"] == zmq.EVENT_DISCONNECTED:
                if number in self._open:
                    gone.add(self._open.pop(number))
            else:
                self._open[number] = Connection(number, _peer_of(number), self._clock())
        return gone

    def know(self, frame: zmq.Frame) -> Connection | None:
        """The client that sent ``frame`` said who it is; its connection, None if it has ended or is not known.

        Call :meth:`ended` before, so that the number is that of the present one.
        """
        connection = self.of(frame)
        if connection is not None:
            connection.known = True
        return connection

    def of(self, frame: zmq.Frame) -> Connection | None:
        """The connection that ``frame`` came over; None if it has ended or is not known."""
        return self._open.get(number_of(frame))

    def end_strangers(self) -> None:
        """End connections whose client never said who it is."""
        for connection in list(self._open.values()):
            if not connection.known and self._clock() - connection.since > GREET_S:
                self.end(connection)

    def end(self, connection: Connection | None) -> None:
        """End a connection; what waits in its queues goes with it. What cannot be ended is left to its client."""
        if connection is None or self._open.get(connection.number) is not connection:
            return  # it has ended
        if connection.peer is None or os.name != "posix":
            return
        with suppress(OSError), socket.socket(fileno=os.dup(connection.number)) as own:
            if own.getpeername() == connection.peer:  # else the number is another connection's by now
                own.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop watching."""
        with suppress(zmq.ZMQError):
            self._router.disable_monitor()
        self._events.close(0)


def number_of(frame: zmq.Frame) -> int:
    """The system's number of the connection that a frame came over; -1 if it does not say."""
    try:
        return int(frame.get(zmq.SRCFD))
    except (zmq.ZMQError, ValueError):
        return -1


def address_of(frame: zmq.Frame) -> str:
    """The address of the machine that a frame came from; "" if it is not known."""
    try:
        return str(frame.get("Peer-Address"))
    except zmq.ZMQError:
        return ""


def _peer_of(number: int) -> Any:
    if os.name == "posix":
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as own:
            return own.getpeername()
    return None
