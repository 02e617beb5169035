"""The socket that the server and its own processes speak on, and that nobody else can reach.

Where the system has sockets in the file system, it lies in a folder that only this user may enter. Elsewhere it is a
loopback port whose key is new at every start and is known to the children alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import zmq

from ex4d_backend.process_ids import is_alive
from ex4d_protocol import framing

KEY_VARIABLE = "EX4D_CHILD_SERVER_KEY"
"""In the environment of a child: the server's public key (Z85), where the socket is a port."""
_PREFIX = "ex4d-children-"
_LONGEST_PATH = 103  # bytes; systems allow 104 to 108 for a socket, with the zero behind them


class PrivateSocket:
    """A bound ROUTER, its address, and what a child needs besides."""

    def __init__(self, context: zmq.Context[Any], *, files: bool = sys.platform != "win32") -> None:
        """``files`` says that a file of the system's should be used where one can be had."""
        self.folder = private_folder(len("/server")) if files and zmq.has("ipc") else None
        self._context: zmq.Context[Any] | None = None
        self.environment: Mapping[str, str] = {}
        """For the children."""
        if self.folder is not None:
            self.socket = _router(context)
            self.address = f"ipc://{self.folder / 'server'}"
            self.socket.bind(self.address)
        else:
            self._context = zmq.Context()  # keys of public clients are asked for in the other one
            self.socket = _router(self._context)
            public, secret = zmq.curve_keypair()
            self.socket.curve_server, self.socket.curve_secretkey, self.socket.curve_publickey = True, secret, public
            self.environment = {KEY_VARIABLE: public.decode()}
            self.address = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"

    def close(self) -> None:
        """Close it and take its folder away."""
        self.socket.close(0)
        if self._context is not None:
            self._context.term()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def connect_privately(context: zmq.Context[Any], address: str) -> zmq.Socket[Any]:
    """A child's end of it; the key is taken out of the environment, for programs that the child starts."""
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 1000)
    server = os.environ.pop(KEY_VARIABLE, "")
    if server:
        socket.curve_serverkey = server.encode()
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.connect(address)
    return socket


def _router(context: zmq.Context[Any]) -> zmq.Socket[Any]:
    socket = context.socket(zmq.ROUTER)
    # Affinity: not the I/O thread of bulk data. Children may send any number of messages, but none beyond all measure.
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.AFFINITY, 1),
        (zmq.SNDHWM, 0),
        (zmq.RCVHWM, 0),
        (zmq.MAXMSGSIZE, framing.MAX_FRAME_BYTES),
    ):
        socket.setsockopt(option, value)
    return socket


def private_folder(below: int) -> Path | None:
    """A new folder that only this user may enter, whose path and ``below`` bytes more still name a socket.

    None if there can be none. It is for the process that asks: when that has ended, whoever asks next removes it.
    """
    for root in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if not root or not os.access(root, os.W_OK | os.X_OK):
            continue
        _remove_left(Path(root))
        folder = Path(root) / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        if len(os.fsencode(folder)) + below > _LONGEST_PATH:
            continue
        with suppress(OSError):
            folder.mkdir(mode=0o700)
            return folder
    return None


def _remove_left(root: Path) -> None:
    """Remove this user's folders of servers that were killed."""
    for folder in root.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError, ValueError):
            if folder.stat().st_uid == os.getuid() and not is_alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
