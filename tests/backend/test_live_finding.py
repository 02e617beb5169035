"""What live views find beside their pictures, on a real thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from ex4d_backend.live_finding import MOST_WAITING, FoundBeside


def test_what_more_people_ask_for_in_turn_than_are_kept_is_found_for_each() -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        found: FoundBeside[int] = FoundBeside(thread, 2)
        thread.submit(gate.wait)  # so that nothing is found before all have asked, again and again
        asked = [[found.look(bytes([n]), lambda n=n: n) for n in range(4)] for _ in range(3)]
        gate.set()
        assert [each.result(timeout=10) for each in asked[-1]] == [0, 1, 2, 3]
        assert asked[0] == asked[-1]


def test_only_the_last_are_kept_and_waited_for() -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        found: FoundBeside[int] = FoundBeside(thread, 2)
        for n in range(4):
            found.look(bytes([n]), lambda n=n: n).result(timeout=10)
        assert found.done() == [2, 3]
        thread.submit(gate.wait)
        waiting = [found.look(bytes([10 + n]), lambda n=n: n) for n in range(MOST_WAITING + 3)]
        assert [each.cancelled() for each in waiting] == [True] * 3 + [False] * MOST_WAITING
        gate.set()
        found.close()
