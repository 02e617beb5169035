"""Small things about the server process itself: its data folder, waking its loop from a thread, versions, memory."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import zmq
from filelock import FileLock, Timeout

from ex4d_ground.errors import OutputError
from ex4d_ground.files import output_error
from ex4d_protocol.base import MAX_CHUNK_BYTES

log = logging.getLogger("ex4d_backend.server_process")

BULK_YIELDS = 4
"""By how much the thread of bulk data is nicer than the loop; less than children are (``child.YIELDING``), for live
pictures travel by it, and would wait for whoever computes."""
LARGE_BYTES, SPARE_BYTES = MAX_CHUNK_BYTES + (64 << 10), 8 << 20
"""See :func:`ex4d.allocation.give_back_large_blocks`. The memory of files' and results' parts stays for the next ones:
where each part's came from the system, which clears it, encryption took nearly twice the processor time."""
TRIM_S = 5.0
"""How often what is free of the kept memory goes back: requests with long moves, a minute of them, left 50 MiB."""
_WAKE = "inproc://wake"


def lock_folder(folder: Path) -> FileLock:
    """The data folder for this process alone, until it is released or ends. Raises OutputError."""
    lock = FileLock(folder / "lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(
            f"Another backend uses the data folder {folder}; stop it, or give this one its own --data-dir."
        ) from None
    except OSError as error:
        raise output_error(folder, error) from None
    return lock


class LoopCalls:
    """Has other threads' results taken by the server's loop: ``post(call)`` makes the loop call ``call`` soon."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        self._context = context
        self._calls: deque[Callable[[], None]] = deque()
        self._local = threading.local()
        self.socket: zmq.Socket[Any] = context.socket(zmq.PULL)
        """Readable when there is something to :meth:`run`."""
        self.socket.bind(_WAKE)

    def __call__(self, call: Callable[[], None]) -> None:
        """From any thread."""
        self._calls.append(call)
        with suppress(zmq.ZMQError):  # no file is left for a new socket: the loop comes by without being woken
            self._wake()

    def _wake(self) -> None:
        socket = getattr(self._local, "socket", None)
        if socket is None:  # one for each thread, because a socket belongs to the thread that uses it
            socket = self._context.socket(zmq.PUSH)
            socket.connect(_WAKE)
            self._local.socket = socket
        socket.send(b"")

    def run(self) -> None:
        """On the loop: make the calls. Now and then also when :attr:`socket` says nothing."""
        while self.socket.poll(0):
            self.socket.recv()
        while self._calls:
            call = self._calls.popleft()
            try:
                call()
            except Exception:  # as with a message: one call must never end the server
                log.exception("what another thread handed over could not be taken")


def package_version(package: str) -> str:
    """An installed package's version, or "" if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def yield_io_thread(number: int) -> bool:
    """Let this process's I/O thread ``number`` of ZeroMQ's give way to other threads; only Linux can do that to one.

    Where cores are few, a thread that copies bulk data without end makes everybody wait for a whole turn of it; given
    way, the 99th percentile of a small request fell by a third, at the same throughput (see benchmarks/README.md).

    False if it has not named itself yet, as it does once it runs: then ask again.
    """
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return True
    for folder in tasks.iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            if (folder / "comm").read_text("ascii", errors="replace").strip() == f"ZMQbg/IO/{number}":
                with suppress(PermissionError):  # a sandbox that forbids it
                    own = os.getpriority(os.PRIO_PROCESS, 0)
                    os.setpriority(os.PRIO_PROCESS, int(folder.name), own + BULK_YIELDS)
                return True
    return False


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
