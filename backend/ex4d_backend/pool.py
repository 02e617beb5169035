"""The workers, one for each device or group of devices: what each is doing, and what is given to it.

Belongs to the I/O loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import zmq

from ex4d.device_names import Devices
from ex4d_backend.child_messages import Abilities, FromChild, FromJob, JobEnded, LookAgain, Ready, ToChild
from ex4d_backend.supervisor import ChildProcess, Supervisor, visible_devices
from ex4d_backend.worker_state import WorkerState
from ex4d_protocol import messages as m
from ex4d_protocol.requests import FetchWeights

FETCHES = frozenset({FetchWeights.__name__})
"""Kinds of jobs that need no device."""
FETCHER_IDLE_S = 60.0
GIVEN_UP_AFTER = 4
"""Starts in a row that failed, before waiting jobs are told that they wait in vain."""
OnNews = Callable[[FromJob], None]
"""Called with what a worker says of its job."""
OnCrash = Callable[[str, str], None]
"""Called with (job_id, reason) when the worker died or was killed while it ran this job."""


class Starter(Protocol):
    """A process without which jobs of some kinds do not run."""

    name: str
    log_path: Path
    last_failure: str
    last_words: str
    failed_starts: int
    start_at: float

    def takes(self, kind: str) -> bool:
        """Whether jobs of this kind wait for it."""
        ...


class Worker(WorkerState, ChildProcess):
    """One device and the process that serves it now; or several that make one shot together, and a process for each.

    Of those one is the worker, and the others follow it (:mod:`ex4d_backend.group_process`).
    """

    module = "ex4d_backend.worker"
    group_module = "ex4d_backend.group_process"
    kinds: frozenset[str] = frozenset()
    """The kinds of jobs it is for; empty: all that need a device."""

    def __init__(
        self, supervisor: Supervisor, device: str, on_news: OnNews, on_crash: OnCrash, *, name: str = ""
    ) -> None:
        settings = supervisor.settings
        environment = visible_devices(device)
        if settings.threads:
            for library in ("OMP", "NUMBA", "MKL"):
                environment[f"{library}_NUM_THREADS"] = str(settings.threads)
        self._grouped = len(Devices.named(device)) > 1
        WorkerState.__init__(self, device, settings)
        ChildProcess.__init__(
            self,
            supervisor,
            name or f"worker {device}",
            self.group_module if self._grouped else self.module,
            arguments=["--device", device],
            environment=environment,
            silent_s=settings.worker_silent_s,
        )
        self.restarts = 0
        """Processes that ended without being asked to."""
        self._on_news, self._on_crash = on_news, on_crash

    def takes(self, kind: str) -> bool:
        """Whether jobs of this kind are for it."""
        return kind in self.kinds if self.kinds else kind not in FETCHES

    def send(self, message: ToChild) -> None:
        """Tell its process something, if it is ready."""
        ChildProcess.send(self, message)

    @property
    def ready(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - what its process says
        """Whether its process takes messages."""
        return bool(self.identity)

    @property
    def state(self) -> str:
        """What it is doing, for the wire."""
        return "busy" if self.job_id else "idle" if self.ready else "starting" if self.running else "restarting"

    def start(self) -> None:
        """Start its process; what the last one said of itself is forgotten."""
        self._spec, self.abilities = m.DeviceSpec(name=self.device), None
        super().start()

    def forgive(self, seconds: float) -> None:
        """Nor was its process heard of."""
        WorkerState.forgive(self, seconds)
        ChildProcess.forgive(self, seconds)

    def ending(self, code: int) -> str:
        """How it ended; the launcher of several says last which of them was at fault."""
        said = self.last_line() if self._grouped and code > 0 else ""
        return f"ended ({said.rstrip('.')})" if said else super().ending(code)

    def on_ready(self, ready: Ready) -> None:
        """It says what it is."""
        self._spec, self.abilities = ready.device or self._spec, ready.abilities

    def on_message(self, message: FromChild, blobs: list[zmq.Frame]) -> None:
        """News of its job are passed on."""
        if isinstance(message, Abilities):
            self.abilities = message
        elif isinstance(message, FromJob) and message.job_id == self.job_id:
            over = isinstance(message, JobEnded)
            self.heard(over=over)
            if over:
                self.works()
            self._on_news(message)

    def on_end(self, reason: str) -> None:
        """Its job is lost. After a cancel it was not at fault and starts again at once."""
        job_id, cancelled = self.give_up()
        self.restarts += 1
        if cancelled:
            self.start_at = 0.0
        if job_id:
            self._on_crash(job_id, "cancelled" if cancelled else reason)


class Fetcher(Worker):
    """The process that downloads weights: there when something is to be fetched, and apart from all devices.

    So a download of hours keeps no device from its jobs. A cancel ends its process, which costs nothing: what has
    arrived is on disk.
    """

    on_demand = True
    module = "ex4d_backend.fetch_process"
    kinds = FETCHES

    def __init__(self, supervisor: Supervisor, on_news: OnNews, on_crash: OnCrash) -> None:
        super().__init__(supervisor, "cpu", on_news, on_crash, name="fetcher")
        self._idle_since = 0.0

    def want(self) -> None:
        """Something waits to be fetched: have a process for it."""
        self._idle_since = time.monotonic()
        if not self.running and self._idle_since >= self.start_at:
            self.start()

    def on_message(self, message: FromChild, blobs: list[zmq.Frame]) -> None:
        """After a cancel its process ends, so that nothing else is given to one that is about to."""
        stopped = self.cancelling
        super().on_message(message, blobs)
        if stopped and isinstance(message, JobEnded):
            self.leave(time.monotonic())

    def poll(self, now: float) -> None:
        """It leaves when there was nothing to do for a while."""
        if self.job_id:
            self._idle_since = now
        elif self.ready and now - self._idle_since > FETCHER_IDLE_S:
            self.leave()
        super().poll(now)


class Pool:
    """All workers, and the fetcher."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._local: list[Worker] = []
        self.fetcher: Fetcher | None = None

    def employ(
        self, supervisor: Supervisor, devices: Sequence[str], on_news: OnNews, on_crash: OnCrash, on_lost: OnCrash
    ) -> None:
        """One worker for each device, from the supervisor's next look on.

        ``on_lost`` is told instead of ``on_crash`` where a worker's machine is gone, which no job can help; here none
        is gone without this one.
        """
        self._local = [Worker(supervisor, device, on_news, on_crash) for device in devices]
        self.fetcher = Fetcher(supervisor, on_news, on_crash)

    @property
    def workers(self) -> Sequence[WorkerState]:
        """All but the fetcher."""
        return self._local

    @property
    def starters(self) -> Sequence[Starter]:
        """The processes that somebody must have started before jobs can run."""
        return self._local if self.fetcher is None else [*self._local, self.fetcher]

    @property
    def _hands(self) -> list[WorkerState]:
        return [*self.workers] if self.fetcher is None else [*self.workers, self.fetcher]

    def idle(self) -> Iterator[WorkerState]:
        """Workers that could take a job now, and the fetcher if it could."""
        return (w for w in self._hands if w.idle)

    def suits(self, worker: WorkerState, kind: str, request: Callable[[], bytes], job_id: str) -> bool:
        """Whether a job that this worker takes is to go to it now, and not to another that is idle."""
        return True

    def want(self, kinds: Collection[str], jobs: int) -> None:
        """Jobs of these kinds wait, and so many run or wait: have whoever is there on demand only."""
        if self.fetcher is not None and not FETCHES.isdisjoint(kinds):
            self.fetcher.want()

    def look_again(self) -> None:
        """Have every worker say what it can run, if that is other than before."""
        for worker in self._local:
            worker.send(LookAgain())

    @property
    def restarts(self) -> int:
        """Processes that ended without being asked to."""
        return sum(w.restarts for w in self._local)

    @property
    def trouble(self) -> str:
        """Why no worker can take jobs, as a sentence; "" if one can, or is on its first start."""
        failed = next((w for w in self._local if w.last_failure), None)
        if failed is None or any(w.ready for w in self._local):
            return ""
        return f"Waiting: the worker on {failed.device} {failed.last_failure}; see {failed.log_path.name}."

    @property
    def failed_starts(self) -> int:
        """How often somebody has failed to start in a row, all together."""
        return sum(each.failed_starts for each in self.starters)

    def hopeless(self, kind: str) -> str:
        """Why jobs of this kind are not to wait any longer, as a sentence; "" while somebody may take them.

        That is when all who do such work have failed to start several times in a row.
        """
        able = [each for each in self.starters if each.takes(kind)]
        if not able or min(each.failed_starts for each in able) < GIVEN_UP_AFTER:
            return ""
        worst = able[0]
        words = f', last writing "{worst.last_words}"' if worst.last_words else ""
        return (
            f"The {worst.name} {worst.last_failure} each of the {worst.failed_starts} times it was started{words}; the "
            f"job cannot run (see {worst.log_path.name} among the backend's logs)."
        )

    def try_again(self, kind: str) -> int:
        """Have those who failed to start try once more now, for a job that has just come; their failures so far."""
        for each in self.starters:
            if each.takes(kind) and each.failed_starts >= GIVEN_UP_AFTER:
                each.start_at = 0.0
        return self.failures(kind)

    def failures(self, kind: str) -> int:
        """How often those who do such work have failed to start in a row, all together."""
        return sum(each.failed_starts for each in self.starters if each.takes(kind))

    def stop(self, job_id: str) -> bool:
        """Ask the worker of a job to cancel it; killed after the grace time. False if no worker has it."""
        worker = next((w for w in self._hands if w.job_id == job_id), None)
        if worker is not None:
            worker.stop_job()
        return worker is not None
