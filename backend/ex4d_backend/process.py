"""Small things about the server process itself: waking its loop from a thread, versions, memory."""

from __future__ import annotations

import os
from collections import deque
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import zmq


class Waker:
    """Called on the verifying thread: hands a result to the loop and wakes it."""

    def __init__(self, context: zmq.Context[Any], results: deque[tuple[str, str]]) -> None:
        self._context = context
        self._results = results
        self._socket: zmq.Socket[Any] | None = None

    def __call__(self, digest: str, error: str) -> None:
        """Note that checking ``digest`` ended; ``error`` is "" if it is right."""
        socket = self._socket
        if socket is None:  # made here, because a socket belongs to the thread that uses it
            socket = self._socket = self._context.socket(zmq.PUSH)
            socket.connect("inproc://wake")
        self._results.append((digest, error))
        socket.send(b"")


def package_version(package: str) -> str:
    """An installed package's version, or "" if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
