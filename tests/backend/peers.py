"""A peer with hands of its own: what it sends is what a test says, well-behaved or not."""

from __future__ import annotations

import itertools
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import psutil
import zmq

from ex4d.engines import engine_names
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.requests import BlobRef, ClipSpec, Media


class Peer:
    """A control and a data socket, without any of a client's manners."""

    def __init__(
        self, context: zmq.Context, address: str, *, hello: bool = True, reads: bool = True, client_id: str = ""
    ) -> None:
        """``reads`` false: it takes as little as the system allows from what is sent to it."""
        self._context, self._reads = context, reads
        self._ids = itertools.count(1)
        self.client_id = client_id or uuid.uuid4().hex
        self.control = self._socket(address)
        self.data: zmq.Socket | None = None
        self.welcome: m.Welcome | None = None
        if hello:
            self.welcome = self.ask(self.hello())
            assert isinstance(self.welcome, m.Welcome), self.welcome
            host = address.rpartition(":")[0]
            self.data = self._socket(f"{host}:{self.welcome.data_port}")
            assert isinstance(self.ask(m.Attach(session=self.welcome.session), bulk=True), m.Attached)

    def hello(self) -> m.Hello:
        return m.Hello(client_id=self.client_id, client_name="peer", major=1, minor=1)

    def _socket(self, address: str) -> zmq.Socket:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, 0)
        if not self._reads:
            socket.setsockopt(zmq.RCVHWM, 1)
            socket.setsockopt(zmq.RCVBUF, 4096)
        socket.connect(address)
        return socket

    def send(self, message: msgspec.Struct, *, bulk: bool = False, blob: bytes | None = None) -> int:
        number = next(self._ids)
        socket = self.data if bulk else self.control
        blobs = [] if blob is None else [blob]
        socket.send_multipart(framing.encode(message, request_id=number, blobs=blobs))
        return number

    def send_raw(self, kind: str, body: bytes) -> int:
        """A message whose body is whatever it is."""
        number = next(self._ids)
        header = msgspec.msgpack.encode(framing.Header(type=kind, id=number))
        self.control.send_multipart([framing.MAGIC + b"\x01", header, body])
        return number

    def receive(self, timeout_s: float = 60.0, *, bulk: bool = False) -> framing.Received | None:
        socket = self.data if bulk else self.control
        if not socket.poll(int(timeout_s * 1000)):
            return None
        return framing.decode(socket.recv_multipart(), framing.SERVER_DECODERS)

    def answer_to(self, number: int, timeout_s: float = 60.0, *, bulk: bool = False) -> Any:
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            received = self.receive(left, bulk=bulk)
            if received is not None and received.header.reply_to == number:
                return received.message
        return None

    def ask(
        self, message: msgspec.Struct, timeout_s: float = 60.0, *, bulk: bool = False, blob: bytes | None = None
    ) -> Any:
        return self.answer_to(self.send(message, bulk=bulk, blob=blob), timeout_s, bulk=bulk)

    def answers(self, count: int, timeout_s: float = 120.0) -> list[framing.Received]:
        """The next so many messages that answer one."""
        found: list[framing.Received] = []
        end = time.monotonic() + timeout_s
        while len(found) < count:
            received = self.receive(end - time.monotonic())
            assert received is not None, f"{len(found)} of {count} answers came"
            if received.header.reply_to:
                found.append(received)
        return found

    def refusals(self) -> set[str]:
        """The codes of the refusals that have come, whatever else came between."""
        codes = set()
        while (received := self.receive(0.0)) is not None:
            if isinstance(received.message, m.ErrorReply):
                codes.add(received.message.code)
        return codes

    def close(self) -> None:
        for own in (self.control, self.data):
            if own is not None:
                own.close(0)


def ask_what_loads(ask: Callable[[msgspec.Struct], Any]) -> None:
    """Ask all for which a server loads something when it is first asked: from then on what it grows by is its own.

    It loads the same beside its loop from its start on, and more than half of what it is in memory at rest.
    """
    lens = (500.0, 500.0, 256.0, 256.0)
    preset = m.PresetQuery(preset="30", num_frames=10, width=512, height=512, intrinsics=lens, near_depth=1.0)
    assert isinstance(ask(preset), m.PresetReply)
    for engine in engine_names():
        assert ask(m.CostQuery(engine=engine, num_frames=10, width=512, height=512)) is not None


def ping_times(peer: Peer, *, count: int = 100, gap_s: float = 0.01) -> np.ndarray:
    """Round trips of so many pings, in seconds."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        assert isinstance(peer.ask(m.Ping(), 30), m.Pong)
        times.append(time.perf_counter() - began)
        time.sleep(gap_s)
    return np.array(times)


def longest_at_work(log: str) -> float:
    """How long the server's loop was at work at a stretch, in seconds, as far as its log tells (0 below a second).

    A machine with other things to do keeps a loop waiting for seconds, which is no fault of the loop's.
    """
    return max((float(s) for s in re.findall(r"stood still for [\d.]+ s \(at work for ([\d.]+) s\)", log)), default=0.0)


def nothing_clip() -> ClipSpec:
    """A clip of files that nobody has."""
    ref = BlobRef(sha256="0" * 64, size=1)
    return ClipSpec(video=Media(kind="video", blobs=(ref,)), depth=Media(kind="npz", blobs=(ref,)))


def resident(pid: int) -> int:
    """Memory of a process in bytes; 0 if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).memory_info().rss
    return 0
