"""Progress and cancel: the two arguments every long function takes.

``on_progress`` is called with a :class:`Progress`; ``cancel`` is asked at least once a second and raises
:class:`~ex4d_ground.errors.Cancelled`. The library prints nothing itself.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypedDict, TypeVar, Unpack

from ex4d_ground.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """One step of a named stage: ``done`` of ``total`` units (frames, steps, bytes)."""

    stage: str
    done: int
    total: int
    message: str = ""


OnProgress = Callable[[Progress], None]

T = TypeVar("T")


class CancelToken:
    """A flag another thread or a signal handler may set; long functions call :meth:`check`."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask whatever holds this token to stop at its next check."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise :class:`Cancelled` if :meth:`cancel` was called."""
        if self._event.is_set():
            raise Cancelled("Cancelled.")


class Watch(TypedDict, total=False):
    """Both arguments together, as a function takes and hands them on: ``**watch: Unpack[Watch]``."""

    on_progress: OnProgress | None
    cancel: CancelToken | None


def report(on_progress: OnProgress | None, stage: str, done: int, total: int, message: str = "") -> None:
    """Call ``on_progress`` if there is one."""
    if on_progress is not None:
        on_progress(Progress(stage, done, total, message))


def check(cancel: CancelToken | None) -> None:
    """Raise :class:`Cancelled` if there is a token and it was set."""
    if cancel is not None:
        cancel.check()


def reported(items: Iterable[T], stage: str, total: int, **watch: Unpack[Watch]) -> Iterator[T]:
    """Each of ``items``: before work on it ``cancel`` is asked, after it ``on_progress`` is told how many are done."""
    for done, item in enumerate(items, start=1):
        check(watch.get("cancel"))
        yield item
        report(watch.get("on_progress"), stage, done, total)
