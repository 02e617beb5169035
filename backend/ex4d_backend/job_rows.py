"""A job as a row of the job table: its fields, what a row may hold, and how one is read."""

import hashlib
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import get_args

import msgspec

from ex4d_ground.remedies import Failure
from ex4d_protocol.base import FINAL_PHASES, JobPhase
from ex4d_protocol.messages import JobState
from ex4d_protocol.requests import Request

_failure_decoder = msgspec.msgpack.Decoder(Failure)
decode_request: Callable[[bytes], Request] = msgspec.msgpack.Decoder(Request).decode
"""A job's request, as its row holds it."""


@dataclass(slots=True)
class Job:
    """One row; fields with a default are no columns, they live in memory only."""

    seq: int
    job_id: str
    owner: str
    title: str
    kind: str
    priority: int
    phase: str
    message: str
    attempt: int
    acknowledged: bool
    submitted_at: float
    ended_at: float | None
    """In served seconds (see :meth:`JobStore.clock`); ``submitted_at`` is the time of day."""
    cancelling: bool
    """A cancel was accepted; the job must not start again."""
    failure: Failure | None
    freed: int
    """Items before this one are with the client and were deleted."""
    crashed: int
    """How many of its attempts ended with a crash of the server's own."""
    items: int = 0
    result_bytes: int = 0
    stage: str = ""
    done: int = 0
    total: int = 0
    share: float = 0.0

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.phase in FINAL_PHASES

    @property
    def folder_name(self) -> str:
        """Its folder below ``jobs``: made from the id's digest, so that nothing from the wire is a path."""
        return hashlib.sha256(self.job_id.encode()).hexdigest()[:32]

    def state(self, queue_position: int = 0) -> JobState:
        """As the wire has it."""
        return JobState(
            job_id=self.job_id,
            phase=self.phase,  # pyright: ignore[reportArgumentType] - the column only ever holds phases
            stage=self.stage,
            done=self.done,
            total=self.total,
            message=self.message[:4096],
            items=self.items,
            attempt=self.attempt,
            queue_position=queue_position,
            kind=self.kind,
            title=self.title,
            share=1.0 if self.phase == "done" else self.share,
            failure=self.failure,
        )


COLUMNS = ", ".join(field.name for field in fields(Job) if field.default is MISSING)
"""The columns that are fields of a :class:`Job`; requests stay on disk."""


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("job_id", "owner", "title", "kind", "phase", "message"), str),
    **dict.fromkeys(("seq", "priority", "attempt", "acknowledged", "cancelling", "freed", "crashed"), int),
    "submitted_at": (int, float),
    "ended_at": (int, float, type(None)),
    "failure": (bytes, type(None)),
}
"""What the columns hold; SQLite itself would take anything."""


def job_of(row: sqlite3.Row) -> Job:
    """The job that a row of COLUMNS holds. Raises TypeError, ValueError, MsgspecError for what no server writes."""
    for name, kinds in _KINDS.items():
        if not isinstance(row[name], kinds):
            raise TypeError(f"{name} is {row[name]!r:.40}")
    if row["phase"] not in get_args(JobPhase):
        raise ValueError(f"phase is {row['phase']!r:.40}")
    flags = {name: bool(row[name]) for name in ("acknowledged", "cancelling")}
    failure = _failure_decoder.decode(row["failure"]) if row["failure"] else None
    shared = {name: sys.intern(row[name]) for name in ("owner", "kind", "phase")}  # thousands have the same
    return Job(**{**dict(row), **flags, **shared, "failure": failure})
