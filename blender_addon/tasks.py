"""Resumable work: long operations as generators that are advanced under a time budget.

A step yields a :class:`Progress` (or None when it only waits) and finally returns its result. The same generator
serves both ways of running an operator: ``execute()`` drives it to its end, ``invoke()`` lets the session's timer
advance it a few milliseconds at a time. Steps hold no references to Blender's data; what they return is put into
the scene by the operator.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from ex4d_protocol.errors import ProtocolError

from .errors import AddonError, StoppedKeeping, TaskCancelled

log = logging.getLogger(__package__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` units of a named stage; total 0 if unknown."""

    stage: str
    done: int = 0
    total: int = 0
    message: str = ""
    whole: float = 0.0
    """Share of the whole job, its stages weighted; 0 if unknown."""

    @property
    def share(self) -> float:
        """0..1; 0 if the total is unknown."""
        return min(self.done / self.total, 1.0) if self.total else 0.0


Steps = Generator[Progress | None, None, Result]


@dataclass(frozen=True)
class Delivery:
    """What putting a result into the scene has to say: a sentence, and warnings beside it."""

    message: str
    warnings: tuple[str, ...] = ()
    changes_scene: bool = True
    """Whether there is something to undo."""


Deliver = Callable[[Any, Any], Delivery]
"""(context, result) -> what to tell. Holds ids only: Blender's data may have come and gone since the start."""


class Task:
    """One running operation. ``finished`` turns true once, with either ``result`` or ``error`` set.

    Its ``deliver`` puts the result into the scene. The operator that started it does so while it lives; if a new
    file or a closed window took the operator away, the timer does (:mod:`delivery`).
    """

    def __init__(self, title: str, steps: Steps[Any], *, shot_id: str = "", deliver: Deliver | None = None):
        self.title = title
        self.shot_id = shot_id
        self.deliver = deliver
        self.started_at = time.monotonic()
        self.stage_at = self.started_at
        """When the present stage began; time left is reckoned from it."""
        self.whole_from = self.started_at, 0.0
        """When the share of the whole job was first known, and what it was."""
        self.watched_at = self.started_at
        """When an operator last looked after this task."""
        self.progress = Progress("starting")
        self.finished = False
        self.result: Any = None
        self.error: AddonError | None = None
        self.arrival: Any = None
        """An ``arrivals.Arrival`` if what arrives is shown while the task runs."""
        self._steps = steps

    def advance(self, deadline: float) -> bool:
        """Run steps until ``deadline`` (``time.perf_counter``) or until one waits. Returns whether any work was done.

        Errors end up in ``error``, never raised: a task that fails must not take the timer with it.
        """
        worked = False
        while not self.finished:
            progress = self._resume(lambda: next(self._steps))
            if progress is None:
                return worked
            worked = True
            if progress.stage != self.progress.stage:
                self.stage_at = time.monotonic()
            if progress.whole and not self.progress.whole:
                self.whole_from = time.monotonic(), progress.whole
            self.progress = progress
            if time.perf_counter() >= deadline:
                return True
        return worked

    @property
    def seconds_left(self) -> float | None:
        """A guess from how fast it went so far; None while there is too little to go by."""
        now, (since, first) = time.monotonic(), self.whole_from
        gone = self.progress.whole - first
        if self.progress.whole and gone > 0.02 and now - since > 3:
            return (now - since) * (1 - self.progress.whole) / gone
        return None

    def cancel(self, *, keep: bool = False) -> None:
        """Stop now: the generator cleans up after itself, but for what has arrived if that is to be kept."""
        reason = StoppedKeeping(f"{self.title}: stopped; what has arrived is kept.") if keep else None
        while not self.finished:
            self._resume(lambda: self._steps.throw(reason or TaskCancelled(f"{self.title}: cancelled.")))

    def abandon(self, reason: str) -> None:
        """Stop looking after it here. A job that can be found again (a take's) goes on on the backend."""
        if not self.finished:
            self._steps.close()
            self.error = TaskCancelled(reason)
            self.finished = True

    def _resume(self, step: Callable[[], Progress | None]) -> Progress | None:
        try:
            return step()
        except StopIteration as end:
            self.result = end.value
        except AddonError as error:
            self.error = error
        except ProtocolError as error:
            self.error = AddonError(str(error))
        except Exception as error:
            log.exception("%s failed", self.title)
            self.error = AddonError(f"{self.title} failed unexpectedly ({error}); details are in the log.")
        self.finished = True
        return None
