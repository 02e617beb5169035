"""Which queued job runs next: by priority, then fairly between owners, then first come first served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from ex4d_backend.store import Job


def choose_next(queued: Collection[Job], running: Iterable[Job], served: Mapping[str, float]) -> Job | None:
    """The next job to run, or None.

    Among the jobs of the highest priority, the owner with the fewest running jobs goes first, then the one served
    longest ago (``served``: owner -> time), so that one client's hundred jobs do not hold up another's single one.
    """
    busy = Counter(job.owner for job in running)
    return min(
        queued, key=lambda job: (-job.priority, busy[job.owner], served.get(job.owner, 0.0), job.seq), default=None
    )
