"""What goes out on a public socket, and how much of it each client has not taken yet."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import zmq

from ex4d_protocol import framing

log = logging.getLogger("ex4d_backend.outbox")

LARGE_BYTES = 8 << 10
"""What is larger is watched until it has left this process; smaller messages ZeroMQ's queue bounds by number."""
QUEUE_MESSAGES = 500
"""Small messages of one client that wait in ZeroMQ (the socket's SNDHWM)."""
UNREAD_BYTES, ALL_UNREAD_BYTES = 4 << 20, 64 << 20
"""Large answers that one client, and all together, may leave unread before no more are made for them."""
LITTLE_BYTES = 256 << 10
"""A client that has left no more than this unread is answered also when all together are at their limit."""
LATER_BYTES, LATER_S = 1 << 20, 20.0
"""What waits for a place in ZeroMQ's queue, and for how long, before the client counts as one that does not read."""


class _Peer:
    """One client's unread messages."""

    def __init__(self) -> None:
        self.large: deque[tuple[Any, int]] = deque()
        self.unread = 0
        self.later: deque[list[framing.Buffer]] = deque()
        self.later_bytes = 0
        self.full_since = 0.0


class Outbox:
    """The sending end of one ROUTER socket."""

    def __init__(
        self, socket: zmq.Socket[Any], *, unread_bytes: int = UNREAD_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``unread_bytes`` of large messages may be left unread by one client."""
        self.socket, self._unread_bytes, self._clock = socket, unread_bytes, clock
        self._peers: dict[bytes, _Peer] = {}
        self._unread = 0

    def send(self, identity: bytes, message: msgspec.Struct, reply_to: int = 0, *blobs: framing.Buffer) -> None:
        """Send one message; what does not fit yet goes later. A client that has left gets none."""
        self.send_frames(identity, framing.encode(message, reply_to=reply_to, blobs=blobs))

    def send_frames(self, identity: bytes, encoded: Sequence[framing.Buffer]) -> None:
        """The same for a message that was encoded before, for several clients."""
        frames: list[framing.Buffer] = [identity, *encoded]
        peer = self._peers.get(identity)
        if (peer is not None and peer.later) or not self._pass_on(identity, frames):
            peer = self._peers.setdefault(identity, _Peer())
            if not peer.later:
                peer.full_since = self._clock()
            if peer.later_bytes <= LATER_BYTES:  # beyond, it is given up anyway
                peer.later.append(frames)
            peer.later_bytes += _size(frames)

    def _pass_on(self, identity: bytes, frames: list[framing.Buffer]) -> bool:
        size = _size(frames)
        try:
            if size <= LARGE_BYTES:
                self.socket.send_multipart(frames, zmq.NOBLOCK)
                return True
            tracker = self.socket.send_multipart(frames, zmq.NOBLOCK, copy=False, track=True)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            log.debug("a client left before its reply (%s)", error)
            self.forget(identity)
            return True
        peer = self._peers.setdefault(identity, _Peer())
        peer.large.append((tracker, size))
        peer.unread += size
        self._unread += size
        return True

    def unread(self, identity: bytes) -> int:
        """Bytes of large messages that this client has not taken."""
        peer = self._peers.get(identity)
        if peer is None:
            return 0
        while peer.large and peer.large[0][0].done:
            _, size = peer.large.popleft()
            peer.unread -= size
            self._unread -= size
        if not peer.large and not peer.later:
            del self._peers[identity]
        return peer.unread

    def choked(self, identity: bytes) -> bool:
        """Whether this client has so much left to read that nothing large should be made for it."""
        unread = self.unread(identity)
        return unread >= self._unread_bytes or (unread > LITTLE_BYTES and self._unread >= ALL_UNREAD_BYTES)

    def pump(self) -> list[bytes]:
        """Send what waits; the clients that do not read and are to be given up."""
        overdue: list[bytes] = []
        for identity, peer in list(self._peers.items()):
            while peer.later and self._pass_on(identity, peer.later[0]):
                if not peer.later:
                    break  # it has left
                frames = peer.later.popleft()
                peer.later_bytes -= _size(frames)
                peer.full_since = self._clock()
            too_much = peer.later_bytes > LATER_BYTES
            if peer.later and (too_much or self._clock() - peer.full_since > LATER_S):
                overdue.append(identity)
            self.unread(identity)
        return overdue

    def forget(self, identity: bytes) -> None:
        """This client is gone."""
        peer = self._peers.pop(identity, None)
        if peer is not None:
            self._unread -= peer.unread
            peer.later.clear()


def _size(frames: list[framing.Buffer]) -> int:
    return sum(memoryview(frame).nbytes for frame in frames)
