"""Says that something is being compiled, to those who wait for it. Without numba, so that all may import it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ex4d.compiled import shipped
from ex4d.progress import OnProgress, Progress
from ex4d_ground import stages

ABOUT_S = 30
"""What a first preview take compiles for, on a processor of today; see ``benchmarks/first_use.py``."""
_lock = threading.Lock()
_waiting: list[Callable[[], None]] = []


@contextmanager
def announced(on_progress: OnProgress | None) -> Iterator[None]:
    """While it lasts, the first thing that is compiled is reported, once, as a step of the stage ``PREPARING``.

    ``on_progress`` may be called from any thread that computes.
    """
    if on_progress is None:
        yield
        return

    def tell_once() -> None:
        on_progress(Progress(stages.PREPARING, 0, 0, sentence()))

    with _lock:
        _waiting.append(tell_once)
    try:
        yield
    finally:
        with _lock:
            if tell_once in _waiting:
                _waiting.remove(tell_once)


def tell() -> None:
    """Something is about to be compiled."""
    with _lock:
        told = _waiting.copy()
        _waiting.clear()
    for each in told:
        each()


def sentence() -> str:
    """What people are told."""
    why = shipped.why_not()
    text = f"Preparing compiled parts for this machine, once: about {ABOUT_S} s."
    return f"{text} {why}" if why else text
