"""A child process's tie to its server: it proves who it is, says that it is there, hears orders, leaves with it."""

from __future__ import annotations

import argparse
import logging
import math
import os
import time
from typing import Any

import zmq

from ex4d.processes import end_with_parent
from ex4d_backend import child_messages
from ex4d_backend.child_messages import TOKEN_VARIABLE, Beat, FromChild, ToChild
from ex4d_backend.private_socket import connect_privately
from ex4d_backend.process_ids import is_alive

log = logging.getLogger("ex4d_backend.child")

BEAT_S = 1.0
YIELDING = 5
"""By how much children are nicer than the server: where cores are few, what moves bytes and answers goes before what
computes, else a ping waits for a whole turn of a process that draws."""


def child_arguments(module: str) -> argparse.ArgumentParser:
    """A parser of what the supervisor gives every child; a kind of child adds its own."""
    parser = argparse.ArgumentParser(prog=module)
    parser.add_argument("--server", required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rasterizer", default="auto")
    return parser


def connect_to_server(args: argparse.Namespace) -> ServerConnection:
    """The first thing a child does: tie its life to the server's, and let it go first."""
    if os.name == "posix":
        os.nice(YIELDING)
    end_with_parent(args.parent)
    return ServerConnection(args.server)


class ServerConnection:
    """The socket to the server. Belongs to one thread."""

    def __init__(self, address: str) -> None:
        self.token = os.environ.pop(TOKEN_VARIABLE, "")
        """What :class:`~ex4d_backend.child_messages.Ready` must hold."""
        self._parent = os.getppid()
        self.context: zmq.Context[Any] = zmq.Context()
        self.socket = connect_privately(self.context, address)
        self._beat_at = time.monotonic()

    def send(self, message: FromChild, blob: memoryview | None = None) -> None:
        """Say something; ``blob`` goes in a frame of its own, without a copy."""
        frames: list[Any] = [child_messages.encode(message)]
        self.socket.send_multipart(frames if blob is None else [*frames, blob], copy=blob is None)

    def hear(self, wait_s: float = 0.0) -> list[ToChild]:
        """What the server has sent, after waiting ``wait_s`` at most; call it every second.

        Ends this process if the server is gone: what it worked on was given up, and the device must be freed. A server
        that is silent is not: it may be stalled, or stopped for a while.
        """
        if time.monotonic() - self._beat_at >= BEAT_S:
            self._beat_at = time.monotonic()
            self.send(Beat())
        messages: list[ToChild] = []
        while self.socket.poll(0 if messages else math.ceil(wait_s * 1000)):
            messages.append(child_messages.decode_to_child(self.socket.recv()))
        if os.getppid() != self._parent or (os.name == "nt" and not is_alive(self._parent)):
            log.warning("the server is gone")
            os._exit(3)
        return messages
