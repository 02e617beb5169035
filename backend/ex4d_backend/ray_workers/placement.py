"""Which actor a take goes to: one whose GPU holds the model as the engine's best plan would have it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ex4d_backend.devices import answer_cost
from ex4d_backend.job_rows import decode_request
from ex4d_backend.worker_state import WorkerState
from ex4d_ground.errors import Ex4dError
from ex4d_protocol import messages as m
from ex4d_protocol.requests import Generate

log = logging.getLogger("ex4d_backend.ray_workers")

RANKS = {"resident": 0, "fp8": 1, "offload": 2}
"""Memory plans, the fastest first."""
IMPOSSIBLE = 9
KEPT = 4096


class Placement:
    """Remembers what each job's plan would be on each kind of GPU."""

    def __init__(self) -> None:
        self._ranks: dict[tuple[str, str, int], int] = {}

    def suits(
        self, worker: WorkerState, idle: Iterable[WorkerState], kind: str, request: Callable[[], bytes], job_id: str
    ) -> bool:
        """Whether no idle worker is better for the job than this one; where all are too small, any will do."""
        if kind != Generate.__name__:
            return True
        mine = self._rank(worker.spec(), request, job_id)
        return not mine or all(mine <= self._rank(other.spec(), request, job_id) for other in idle)

    def _rank(self, device: m.DeviceSpec, request: Callable[[], bytes], job_id: str) -> int:
        if device.kind != "cuda":
            return 0  # without a GPU there is no plan to choose
        key = (job_id, device.name, device.memory_bytes)
        if key not in self._ranks:
            if len(self._ranks) >= KEPT:
                self._ranks.clear()
            self._ranks[key] = self._reckoned(device, request())
        return self._ranks[key]

    def _reckoned(self, device: m.DeviceSpec, request: bytes) -> int:
        job = decode_request(request)
        if not isinstance(job, Generate):
            return 0
        move = job.trajectory
        query = m.CostQuery(
            engine=job.engine, num_frames=move.num_frames, width=move.width, height=move.height, settings=job.settings
        )
        try:
            cost = answer_cost(query, [device]).cost
        except Ex4dError as error:  # the worker says it, in the job's own words
            log.debug("the plan of a job is not known: %s", error)
            return 0
        return IMPOSSIBLE if cost.problem else RANKS.get(cost.plan, 0)
