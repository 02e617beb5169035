"""Frames that are read, or worked on, beside those who wait for them."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from ex4d.frames.ahead import aside, read_ahead
from ex4d.progress import CancelToken
from ex4d_ground.errors import Cancelled


def test_items_read_ahead_come_in_order_and_an_error_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("no more")

    seen = []
    with pytest.raises(OSError, match="no more"):
        for item in read_ahead(items()):
            seen.append(item)
    assert seen == list(range(5))


def test_no_more_is_read_ahead_than_asked_for_and_none_once_closed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    with closing(read_ahead(items(), 2)) as coming:
        assert next(coming) == 0
    assert taken[-1] <= 2


def test_work_aside_gives_its_result_and_stops_where_the_block_fails() -> None:
    with aside(lambda stop: 7, None) as result:
        assert result() == 7
    stopped = threading.Event()

    def work(stop: CancelToken) -> None:
        while not stop.cancelled:
            time.sleep(0.01)
        stopped.set()

    with pytest.raises(OSError), aside(work, None):
        raise OSError
    assert stopped.is_set()


def test_who_waits_for_work_aside_can_be_cancelled() -> None:
    cancel = CancelToken()

    def work(stop: CancelToken) -> None:
        cancel.cancel()
        while not stop.cancelled:
            time.sleep(0.01)

    with pytest.raises(Cancelled), aside(work, cancel) as result:
        result()
