"""What the server's loop sees of Ray: a pool whose workers come and go, behind one process that speaks to them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence

import zmq

from ex4d_backend.child_messages import (
    Abilities,
    FromChild,
    FromJob,
    JobEnded,
    RayDrop,
    RayJobLost,
    RayRun,
    RaySlot,
    RaySlots,
    RayWant,
    RunJob,
    StopJob,
)
from ex4d_backend.pool import FETCHES, Fetcher, OnCrash, OnNews, Pool, Starter
from ex4d_backend.ray_workers.placement import Placement
from ex4d_backend.settings import ServerSettings
from ex4d_backend.supervisor import ChildProcess, Supervisor
from ex4d_backend.worker_state import WorkerState
from ex4d_protocol import messages as m


class RayWorker(WorkerState):
    """One actor, as the scheduler sees it."""

    def __init__(self, bridge: RayBridge, slot: RaySlot, settings: ServerSettings):
        super().__init__(slot.name, settings)
        self._bridge = bridge
        self.update(slot)

    def update(self, slot: RaySlot) -> None:
        """What the bridge says of it now."""
        self.abilities, self._spec = slot.abilities, slot.device or m.DeviceSpec(name=self.device)
        self.ready = slot.device is not None

    def takes(self, kind: str) -> bool:
        """Whether jobs of this kind are for it."""
        return kind not in FETCHES

    def send(self, message: RunJob | StopJob) -> None:
        """By way of the bridge."""
        self._bridge.send(RayRun(self.device, message) if isinstance(message, RunJob) else message)

    @property
    def state(self) -> str:
        """For the wire."""
        return "busy" if self.job_id else "idle" if self.ready else "starting"


def _place_of_ray() -> str:
    """Where Ray notes the clusters of this machine, which it would look for where children keep temporary files."""
    return os.environ.get("RAY_TMPDIR") or ("/tmp" if sys.platform == "darwin" else tempfile.gettempdir())


class RayBridge(ChildProcess):
    """The process that speaks to Ray, and the actors that it tells of."""

    def __init__(self, supervisor: Supervisor, on_news: OnNews, on_crash: OnCrash, on_lost: OnCrash):
        settings = supervisor.settings
        arguments = ["--address", settings.ray, "--gpus", str(settings.ray_gpus)]
        arguments += ["--least", str(settings.ray_workers_min), "--most", str(settings.ray_workers_max)]
        super().__init__(
            supervisor,
            "ray",
            "ex4d_backend.ray_workers.bridge",
            arguments=arguments,
            environment={"RAY_TMPDIR": _place_of_ray()},
            silent_s=settings.worker_silent_s,
        )
        self._settings = settings
        self._on_news, self._on_crash, self._on_lost = on_news, on_crash, on_lost
        self.workers: dict[str, RayWorker] = {}
        self.lost = 0
        """Actors that ended without being asked to."""

    def takes(self, kind: str) -> bool:
        """Whether jobs of this kind wait for it to start."""
        return kind not in FETCHES

    def on_message(self, message: FromChild, blobs: list[zmq.Frame]) -> None:
        """News of actors and of their jobs."""
        match message:
            case RaySlots(slots):
                self._take_slots(slots)
            case RayJobLost(job_id, reason):
                self._lose(job_id, reason)
            case Abilities():
                pass
            case _ if isinstance(message, FromJob):
                worker = self._of(message.job_id)
                if worker is not None:
                    worker.heard(over=isinstance(message, JobEnded))
                    self.works()
                    self._on_news(message)

    def on_end(self, reason: str) -> None:
        """All actors are lost with it; so are their jobs, which start over."""
        workers, self.workers = list(self.workers.values()), {}
        for worker in workers:
            if worker.job_id:
                self._on_lost(worker.job_id, f"was lost, for the process that speaks to Ray {reason}")

    def poll(self, now: float) -> None:
        """Actors whose job did not stop or stands still are replaced."""
        for worker in list(self.workers.values()):
            reason = worker.overdue(now)
            if reason:
                self.send(RayDrop(worker.device))
                del self.workers[worker.device]
                job_id, cancelled = worker.give_up()
                self._on_crash(job_id, "cancelled" if cancelled else reason)
        super().poll(now)

    def forgive(self, seconds: float) -> None:
        """What was not heard of meanwhile counts for no actor either."""
        super().forgive(seconds)
        for worker in self.workers.values():
            worker.forgive(seconds)

    def _of(self, job_id: str) -> RayWorker | None:
        return next((w for w in self.workers.values() if w.job_id == job_id), None)

    def _take_slots(self, slots: Collection[RaySlot]) -> None:
        known, self.workers = self.workers, {}
        for slot in slots:
            worker = known.pop(slot.name, None) or RayWorker(self, slot, self._settings)
            worker.update(slot)
            self.workers[slot.name] = worker
        for worker in known.values():  # gone; of its job the bridge tells by itself
            self.lost += 1
            if worker.job_id:
                self.workers[worker.device] = worker
                worker.ready = False

    def _lose(self, job_id: str, reason: str) -> None:
        worker = self._of(job_id)
        if worker is None:
            return
        del self.workers[worker.device]
        if worker.cancelling:
            self._on_crash(job_id, "cancelled")
        else:
            self._on_lost(job_id, f"was lost ({reason})")


class RayPool(Pool):
    """All actors, and the fetcher."""

    def __init__(self) -> None:
        """Nobody yet."""
        super().__init__()
        self._bridge: RayBridge | None = None
        self._placement = Placement()
        self._wanted = -1

    def employ(
        self, supervisor: Supervisor, devices: Sequence[str], on_news: OnNews, on_crash: OnCrash, on_lost: OnCrash
    ) -> None:
        """A bridge to the cluster that the settings name; ``devices`` of this machine are not asked for."""
        self._bridge = RayBridge(supervisor, on_news, on_crash, on_lost)
        self.fetcher = Fetcher(supervisor, on_news, on_crash)

    @property
    def workers(self) -> Sequence[WorkerState]:
        """All actors."""
        return [] if self._bridge is None else list(self._bridge.workers.values())

    @property
    def starters(self) -> Sequence[Starter]:
        """The bridge and the fetcher: actors are Ray's to start."""
        return [each for each in (self._bridge, self.fetcher) if each is not None]

    def suits(self, worker: WorkerState, kind: str, request: Callable[[], bytes], job_id: str) -> bool:
        """Whether no idle worker's GPU is better for the job's memory plan than this one's."""
        others = [each for each in self.workers if each.idle]
        return self._placement.suits(worker, others, kind, request, job_id)

    def want(self, kinds: Collection[str], jobs: int) -> None:
        """So many jobs run or wait: the cluster may have to grow for them."""
        super().want(kinds, jobs)
        if self._bridge is not None and self._bridge.ready and jobs != self._wanted:
            self._wanted = jobs
            self._bridge.send(RayWant(jobs))

    def look_again(self) -> None:
        """Weights of this machine say nothing of the others."""

    @property
    def restarts(self) -> int:
        """Actors that ended without being asked to."""
        return 0 if self._bridge is None else self._bridge.lost

    @property
    def trouble(self) -> str:
        """Why no worker can take jobs, as a sentence; "" if one can, or all are on their first start."""
        bridge = self._bridge
        if bridge is None or not bridge.last_failure:
            return ""
        words = f', writing "{bridge.last_words}"' if bridge.last_words else ""
        return f"Waiting: the process that speaks to Ray {bridge.last_failure}{words}; see {bridge.log_path.name}."
