"""Writing what arrives on a thread of its own, so that a slow disk never holds Blender up.

The thread runs nothing but file functions: no Blender data, no sockets. What goes wrong on it is raised by the next
call from the main thread. It lives as long as one job's folder is being written.
"""

import contextlib
import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from ex4d_ground.files import told_as

from . import files
from .errors import StorageError
from .tasks import Steps

MAX_WAITING_BYTES = 64 << 20
"""So much may wait for the disk before no more is taken from the network."""

Closable = TypeVar("Closable", bound=contextlib.AbstractContextManager)


class FolderWriter:
    """A folder that is complete or absent.

    Files are written to a folder beside ``target``, which takes its place at :meth:`finish`; with ``in_place`` they
    are written to ``target`` itself, so that they can be watched as they arrive. With ``replaces`` an older ``target``
    makes way. Leaving the ``with`` block without :meth:`finish` removes what was written, but for a folder that is
    ``added_to``: what it holds stays, file by file replaced by what comes. What has replaced an older folder by then
    stays, too: that one is gone.
    """

    def __init__(self, target: Path, *, replaces: bool = False, in_place: bool = False, added_to: bool = False):
        self.folder = target if in_place else target.with_name(target.name + ".part")
        """Where the files lie until the end."""
        self._target = target
        self._replaces = replaces
        self._clears = replaces or not in_place
        self._keeps = added_to
        self._work: queue.SimpleQueue[tuple[Callable[[], object], int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        # Each counter is changed by one thread only, so neither needs a lock.
        self._handed = self._handed_bytes = 0
        self._done = self._done_bytes = 0
        self._dropped = self._finished = self._placed = False
        self._placing = threading.Lock()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._clears and self.folder.exists():
            self.hand(self._prepare)  # removing many files takes its time
        else:
            self._prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._open.close()
        if not self._finished and not self._keeps and not (self._placed and self._replaces):
            shutil.rmtree(self._target if self._placed else self.folder, ignore_errors=True)

    @property
    def full(self) -> bool:
        """Whether the disk is so far behind that no more should be taken. Raises what went wrong."""
        self.check()
        return self._handed_bytes - self._done_bytes > MAX_WAITING_BYTES

    def keep_open(self, opened: Closable) -> Closable:
        """Close ``opened`` once nothing is written any more."""
        return self._open.enter_context(opened)

    def keep(self) -> None:
        """Leave what is on disk by the end of the ``with`` block, though it is not complete."""
        self._keeps = True

    def discard(self) -> None:
        """Remove what is on disk by the end of the ``with`` block, what was there before included."""
        self._keeps = False

    def check(self) -> None:
        """Raise what went wrong on the thread, if anything did."""
        if self._error is not None:
            with told_as(self.folder, self._target):
                raise self._error

    def write(self, name: str | Path, data: bytes | memoryview) -> None:
        """Write a file below the folder. Raises what went wrong earlier."""
        self.hand(partial(files.write_whole, self.folder / name, data), memoryview(data).nbytes)

    def hand(self, work: Callable[[], object], size: int = 0) -> None:
        """Have ``work`` done on the thread, after everything handed over before. Raises what went wrong earlier."""
        self.check()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"ex4d {self.folder.name}", daemon=True)
            self._thread.start()
        self._handed += 1
        self._handed_bytes += size
        self._work.put((work, size))

    def finish(self) -> Steps[None]:
        """Put the folder in its place once everything is written. Raises StorageError."""
        if self.folder != self._target:
            self.hand(self._put_in_place)
        while self._done < self._handed:
            self.check()
            yield None
        self.check()
        self._finished = True

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, size = item
            if not self._dropped:
                try:
                    work()
                except Exception as error:  # noqa: BLE001  it is raised on the main thread
                    self._error = error
                    self._dropped = True
            self._done_bytes += size
            self._done += 1

    def _stop(self) -> None:
        """End the thread; what still waits is dropped, the write under way is waited for."""
        self._dropped = True
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None

    def _prepare(self) -> None:
        if self._clears:
            shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True, exist_ok=not self._clears)  # a claimed folder is there, and empty
        except OSError as error:
            raise StorageError(
                f"Cannot make the folder {self._target}: {error.strerror or error}; choose a folder you can write to."
            ) from error

    @contextlib.contextmanager
    def staying(self) -> Iterator[bool]:
        """Whether what was written lies in :attr:`folder`; if so, it stays there during the block."""
        with self._placing:
            yield not self._placed

    def _put_in_place(self) -> None:
        self._open.close()
        if self._replaces:
            shutil.rmtree(self._target, ignore_errors=True)
        with self._placing:
            try:
                self.folder.replace(self._target)
            except OSError as error:
                raise StorageError(
                    f"Cannot put the folder {self._target} in place: {error.strerror or error}; close what uses it."
                ) from error
            self._placed = True
