"""Resumable work: long operations as generators that are advanced under a time budget.

A step yields a :class:`TaskProgress` (or None when it only waits) and finally returns its result. The same generator
serves both ways of running an operator: ``execute()`` drives it to its end, ``invoke()`` lets the session's timer
advance it a few milliseconds at a time. Steps hold no references to Blender's data; what they return is put into
the scene by the operator.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ex4d_ground import stages
from ex4d_protocol.errors import ProtocolError

from .addon import log
from .errors import AddonError, StoppedKeeping, TaskCancelled

Result = TypeVar("Result")


@dataclass(frozen=True)
class TaskProgress:
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


Steps = Generator[TaskProgress | None, None, Result]


def run_through(steps: Steps[Result]) -> Result:
    """The steps' result, all at once. Raises what they raise."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


class Stepper(Generic[Result]):
    """Steps that are taken one at a time by whoever has time for one, and begun anew once they are through."""

    def __init__(self) -> None:
        self.progress: TaskProgress | None = None
        self._steps: Steps[Result] | None = None

    @property
    def under_way(self) -> bool:
        """Whether they have begun and not ended."""
        return self._steps is not None

    def step(self, begin: Callable[[], Steps[Result]]) -> Result | None:
        """Take one step; the result after the last, which must not be None. Raises what the steps raise."""
        try:
            if self._steps is None:
                self._steps = begin()
            self.progress = next(self._steps)
            return None
        except StopIteration as end:
            self._steps = None
            return end.value
        except BaseException:
            self._steps = None
            raise

    def drop(self) -> None:
        """Begin anew next time."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None


@dataclass(frozen=True)
class Delivery:
    """What putting a result into the scene has to say: a sentence, and warnings beside it."""

    message: str
    warnings: tuple[str, ...] = ()
    changes_scene: bool = True
    """Whether there is something to undo."""
    then: "Callable[[Any], Task | None] | None" = None
    """Begins what was waiting for this, given the context. Holds no operator: Blender may have freed it."""


Deliver = Callable[[Any, Any], Delivery]
"""(context, result) -> what to tell. Holds ids only: Blender's data may have come and gone since the start."""


@dataclass(eq=False)
class Task:
    """One running operation. ``finished`` turns true once, with either ``result`` or ``error`` set.

    Its ``deliver`` puts the result into the scene. The operator that started it does so while it lives; if a new
    file or a closed window took the operator away, the timer does (:mod:`delivery`).
    """

    title: str
    steps: Steps[Any]
    panel: str = "Clip"
    """Label of the panel that shows it and what it has to say."""
    shot_id: str = ""
    deliver: Deliver | None = None
    stage_at: float = field(default_factory=time.monotonic)
    """When the present stage began; time left is reckoned from it."""
    whole_from: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), 0.0))
    """When the share of the whole job was first known, and what it was; anew once compiled parts are prepared."""
    watched_at: float = field(default_factory=time.monotonic)
    """When an operator last looked after this task."""
    progress: TaskProgress = TaskProgress("starting")
    finished: bool = False
    result: Any = None
    error: AddonError | None = None
    notes: tuple[str, ...] = ()
    """What there was to say when it began; told with the result."""
    arrival: Any = None
    """Has ``count``, ``update`` and ``end`` if what arrives is shown while the task runs (takes.arrivals)."""

    def advance(self, deadline: float) -> bool:
        """Run steps until ``deadline`` (``time.perf_counter``) or until one waits. Returns whether any work was done.

        Errors end up in ``error``, never raised: a task that fails must not take the timer with it.
        """
        worked = False
        while not self.finished:
            progress = self._resume(lambda: next(self.steps))
            if progress is None:
                return worked
            worked = True
            if progress.stage != self.progress.stage:
                self.stage_at = time.monotonic()
            prepared = self.progress.stage == stages.PREPARING != progress.stage
            if progress.whole and (prepared or not self.progress.whole):
                self.whole_from = time.monotonic(), progress.whole
            self.progress = progress
            if time.perf_counter() >= deadline:
                return True
        return worked

    @property
    def seconds_left(self) -> float | None:
        """A guess from how fast it went so far; None while there is too little to go by.

        Nobody knows how fast a stage goes of which nothing is done; of compiled parts the message says it.
        """
        waits = self.progress.total and not self.progress.done
        if waits or self.progress.stage == stages.PREPARING:
            return None
        now, (since, first) = time.monotonic(), self.whole_from
        gone = self.progress.whole - first
        if self.progress.whole and gone > 0.02 and now - since > 3:
            return (now - since) * (1 - self.progress.whole) / gone
        return None

    def cancel(self, *, keep: bool = False) -> None:
        """Stop now: the generator cleans up after itself, but for what has arrived if that is to be kept."""
        reason = StoppedKeeping(f"{self.title}: stopped; what has arrived is kept.") if keep else None
        while not self.finished:
            self._resume(lambda: self.steps.throw(reason or TaskCancelled(f"{self.title}: cancelled.")))

    def abandon(self, reason: str) -> None:
        """Stop looking after it here. A job that can be found again (a take's) goes on on the backend."""
        if not self.finished:
            self.steps.close()
            self.error = TaskCancelled(reason)
            self.finished = True

    def _resume(self, step: Callable[[], TaskProgress | None]) -> TaskProgress | None:
        try:
            return step()
        except StopIteration as end:
            self.result = end.value
        except AddonError as error:
            self.error = error
        except ProtocolError as error:
            self.error = AddonError(str(error), code=error.code, remedy=error.remedy)
        except Exception as error:
            log.exception("%s failed", self.title)
            self.error = AddonError(f"{self.title} failed unexpectedly ({error}); details are in the log.")
        self.finished = True
        return None
