"""Work on frames side by side, a few ahead of whoever takes them, in order."""

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from ex4d.frames.stack import physical_memory
from ex4d.progress import CancelToken, check
from ex4d_ground.errors import SettingError

T = TypeVar("T")
R = TypeVar("R")
_ASK_AGAIN_S = 0.2
_WORKING_BYTES = 1280 << 20
"""What frames being worked on may take in any machine..."""
_SHARE_OF_MEMORY = 8
"""...and where one part of its memory in so many is more, that."""


def first(items: Iterable[T], count: int | None) -> Iterator[T]:
    """The first ``count`` items, however large that number is; all for None."""
    return islice(items, count if count is None else min(count, sys.maxsize))


def in_order(
    work: Callable[[T], R], items: Iterable[T], workers: int, cancel: CancelToken | None, *, ahead: int | None = None
) -> Iterator[R]:
    """What ``work`` makes of each item on ``workers`` threads, in the items' order.

    Not more than ``ahead`` are begun before they are asked for; by default twice as many as there are threads.

    An error of one is raised in its turn, and none is begun after it. Raises Cancelled.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ex4d-frames")
    most = 2 * workers if ahead is None else ahead
    coming, waiting = iter(items), deque[Future[R]]()
    try:
        while True:
            waiting.extend(pool.submit(work, item) for item in islice(coming, most - len(waiting)))
            if not waiting:
                return
            done = waiting.popleft().result()
            check(cancel)
            yield done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_ahead(items: Iterator[T], most: int = 2) -> Generator[T, None, None]:
    """The items, read by a thread of its own, up to ``most`` of them before they are asked for.

    An error is raised in its turn. Close it (``contextlib.closing``) before what the items are read from: no thread
    reads any more then.
    """
    pool, end = ThreadPoolExecutor(1, thread_name_prefix="ex4d-ahead"), object()
    waiting = deque[Future[Any]]()
    try:
        while True:
            waiting.extend(pool.submit(next, items, end) for _ in range(most - len(waiting)))
            item = waiting.popleft().result()
            if item is end:
                return
            yield item
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def aside(work: Callable[[CancelToken], R], cancel: CancelToken | None) -> Iterator[Callable[[], R]]:
    """Begin ``work`` on a thread of its own, beside the block; the function that is given waits for what it makes.

    The wait asks ``cancel``. Where the block ends by an error, the token that ``work`` has asks it to stop. Raises
    Cancelled and what ``work`` raises, both from the wait.
    """
    stop = CancelToken()
    with ThreadPoolExecutor(1, thread_name_prefix="ex4d-aside") as pool:
        coming = pool.submit(work, stop)

        def result() -> R:
            while not wait([coming], _ASK_AGAIN_S).done:
                check(cancel)
            return coming.result()

        try:
            yield result
        except BaseException:
            stop.cancel()
            raise


def workers_within(threads: int, frame_bytes: int) -> int:
    """As many of ``threads`` as may work at once on frames that take ``frame_bytes`` each meanwhile; one at least."""
    budget = max(_WORKING_BYTES, physical_memory() // _SHARE_OF_MEMORY)
    return max(1, min(threads, budget // max(frame_bytes, 1)))


def thread_count(threads: int | None = None) -> int:
    """``threads``, or the cores at hand. Raises SettingError for less than one."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise SettingError(f"At least one thread is needed, got {threads}.")
    return threads
