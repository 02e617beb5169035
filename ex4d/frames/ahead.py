"""Work on frames side by side, a few ahead of whoever takes them, in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from ex4d.frames.stack import physical_memory
from ex4d.progress import CancelToken, check
from ex4d_ground.errors import SettingError

T = TypeVar("T")
R = TypeVar("R")
_WORKING_BYTES = 1280 << 20
"""What frames being worked on may take in any machine..."""
_SHARE_OF_MEMORY = 8
"""...and where one part of its memory in so many is more, that."""


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
