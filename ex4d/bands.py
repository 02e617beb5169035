"""Sharing one frame's work among threads, in bands of rows."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

Split = Callable[[int, Callable[[int, int], None]], None]
"""``split(count, work)`` calls ``work(first, last)`` for parts that make up 0..count-1, and returns after the last."""
Pause = Callable[[], None]
"""Called between parts of long work; it may raise to end it."""


def serial(count: int, work: Callable[[int, int], None]) -> None:
    """Everything in one part, in this thread."""
    work(0, count)


def no_pause() -> None:
    """Go on."""


class Bands(AbstractContextManager["Bands"]):
    """A :data:`Split` over ``threads`` threads; several parts per thread, because rows differ in work.

    One thread is the caller's own: handing small parts to another and waiting for it takes longer than they do.
    """

    def __init__(self, threads: int, parts_per_thread: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ex4d-bands") if threads > 1 else None
        self._parts = threads * parts_per_thread

    def __call__(self, count: int, work: Callable[[int, int], None]) -> None:
        """Call ``work`` on every part; the first error is raised after all have ended."""
        if self._pool is None:
            serial(count, work)
            return
        parts = min(self._parts, count)
        edges = [count * n // parts for n in range(parts + 1)] if parts else [0]
        jobs = [self._pool.submit(work, edges[n], edges[n + 1]) for n in range(parts)]
        errors = [error for job in jobs if (error := job.exception()) is not None]
        if errors:
            raise errors[0]

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def __exit__(self, *_: object) -> None:
        self.close()
