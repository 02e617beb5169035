"""What a worker is doing: its job, since when, and whether that must end. A process here or an actor elsewhere."""

from __future__ import annotations

import time

import msgspec

from ex4d_backend.child_messages import Abilities, RunJob, StopJob
from ex4d_backend.settings import ServerSettings
from ex4d_protocol import messages as m


class WorkerState:
    """One worker as the scheduler sees it. A subclass says how it is spoken to, and whether it is ready."""

    ready: bool
    """Whether it takes messages."""

    def __init__(self, device: str, settings: ServerSettings) -> None:
        self.device = device
        self.job_id = ""
        self.abilities: Abilities | None = None
        """What it can run; None until it says so."""
        self._limits = settings
        self._spec = m.DeviceSpec(name=device)
        self._moved = 0.0
        """When its job was given to it or last made progress; heartbeats do not count."""
        self._kill_at: float | None = None
        """When the running job's cancel turns into a kill."""

    def takes(self, kind: str) -> bool:
        """Whether jobs of this kind are for it."""
        raise NotImplementedError

    def send(self, message: RunJob | StopJob) -> None:
        """Tell it, if it is ready."""
        raise NotImplementedError

    @property
    def state(self) -> str:
        """What it is doing, for the wire."""
        raise NotImplementedError

    @property
    def idle(self) -> bool:
        """Whether it could take a job now."""
        return self.ready and not self.job_id

    @property
    def cancelling(self) -> bool:
        """Whether its job was cancelled."""
        return self._kill_at is not None

    def spec(self) -> m.DeviceSpec:
        """For the wire."""
        return msgspec.structs.replace(self._spec, worker=self.state)

    def run(self, order: RunJob) -> None:
        """Give it a job, when it is idle."""
        self.job_id, self._moved, self._kill_at = order.job_id, time.monotonic(), None
        self.send(order)

    def stop_job(self) -> None:
        """Ask it to cancel its job; it is killed after the grace time."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._limits.cancel_grace_s
            self.send(StopJob(self.job_id))

    def heard(self, *, over: bool) -> None:
        """It said something of its job, perhaps that it is over."""
        self._moved = time.monotonic()
        if over:
            self.job_id, self._kill_at = "", None

    def give_up(self) -> tuple[str, bool]:
        """It is gone: the job that it ran, and whether that was cancelled."""
        job_id, cancelled = self.job_id, self.cancelling
        self.job_id, self._kill_at = "", None
        return job_id, cancelled

    def forgive(self, seconds: float) -> None:
        """The server stood still for so long: its job's progress and the end of its cancel were not heard of."""
        self._moved += seconds
        if self._kill_at is not None:
            self._kill_at += seconds

    def overdue(self, now: float) -> str:
        """Whether its job did not stop or stands still: heartbeats come from a thread of their own and would go on."""
        if self._kill_at is not None and now > self._kill_at:
            return "did not stop its cancelled job"
        if self.job_id and now - self._moved > self._limits.job_stall_s:
            return f"made no progress for {self._limits.job_stall_s:g} seconds"
        return ""
