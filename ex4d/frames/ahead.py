"""Work on frames side by side, a few ahead of whoever takes them, in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from ex4d.progress import CancelToken, check
from ex4d_ground.errors import SettingError

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int, cancel: CancelToken | None) -> Iterator[R]:
    """What ``work`` makes of each item on ``workers`` threads, in the items' order; twice as many are ahead at most.

    An error of one is raised in its turn, and none is begun after it. Raises Cancelled.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ex4d-frames")
    coming, waiting = iter(items), deque[Future[R]]()
    try:
        while True:
            waiting.extend(pool.submit(work, item) for item in islice(coming, 2 * workers - len(waiting)))
            if not waiting:
                return
            done = waiting.popleft().result()
            check(cancel)
            yield done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def thread_count(threads: int | None = None) -> int:
    """``threads``, or the cores at hand. Raises SettingError for less than one."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise SettingError(f"At least one thread is needed, got {threads}.")
    return threads
