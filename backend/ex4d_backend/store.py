"""Jobs and their result items in SQLite (WAL): what was accepted survives a kill at any moment."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ex4d.errors import OutputError
from ex4d_backend.clock import ServedClock
from ex4d_protocol.messages import Item, JobState

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    kind TEXT NOT NULL,
    priority INTEGER NOT NULL,
    request BLOB NOT NULL,
    digest TEXT NOT NULL,
    phase TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 1,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    submitted_at REAL NOT NULL,
    ended_at REAL,
    cancelling INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_phase ON jobs (phase, seq);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, seq);
CREATE TABLE IF NOT EXISTS items (
    job_id TEXT NOT NULL,
    idx INTEGER NOT NULL,
    size INTEGER NOT NULL,
    description BLOB NOT NULL,
    PRIMARY KEY (job_id, idx)
) WITHOUT ROWID;
"""
SCHEMA_VERSION = 2
CHECKPOINT_WRITES = 500
log = logging.getLogger("ex4d_backend.store")
_item_decoder = msgspec.msgpack.Decoder(Item)


@dataclass
class Job:
    """One row, and the progress that only lives in memory."""

    seq: int
    job_id: str
    owner: str
    title: str
    kind: str
    priority: int
    digest: str
    phase: str
    message: str
    attempt: int
    acknowledged: bool
    submitted_at: float
    ended_at: float | None
    """In served seconds (see :class:`~ex4d_backend.clock.ServedClock`); ``submitted_at`` is the time of day."""
    cancelling: bool
    """A cancel was accepted; the job must not start again."""
    items: int = 0
    stage: str = ""
    done: int = 0
    total: int = 0
    share: float = 0.0

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.phase in ("done", "failed", "cancelled")

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
        )


_COLUMNS = (
    "seq, job_id, owner, title, kind, priority, digest, phase, message, attempt, acknowledged, submitted_at, ended_at, "
    "cancelling"
)


class JobStore:
    """The job table. Every method commits before it returns; unfinished jobs are also kept in memory."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Open or make the database. Raises OutputError if it cannot be written or is of a newer version."""
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            # NORMAL survives a kill of the process; only a power cut may take the last commits.
            self._db.execute("PRAGMA synchronous=NORMAL")
            # Moving the log into the table waits for the disk: a thread of its own does that, not the loop.
            self._db.execute("PRAGMA wal_autocheckpoint=0")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise OutputError(f"{path} was written by a newer backend; upgrade this one or use another --data-dir.")
            if version == 1:
                self._db.execute("ALTER TABLE jobs ADD COLUMN cancelling INTEGER NOT NULL DEFAULT 0")
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except sqlite3.Error as error:
            raise OutputError(f"Cannot use the job table {path}: {error}; choose another --data-dir.") from None
        served = self._db.execute("SELECT value FROM meta WHERE name = 'served_s'").fetchone()
        self.clock = ServedClock(served[0] if served else 0.0, monotonic=monotonic)
        self._writes = 0
        self._checkpointer = ThreadPoolExecutor(1, "job-table")
        self._jobs: dict[str, Job] = {}
        for row in self._db.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY seq"):
            self._jobs[row[1]] = self._from_row(row)
        for job_id, items in self._db.execute("SELECT job_id, COUNT(*) FROM items GROUP BY job_id"):
            if job_id in self._jobs:
                self._jobs[job_id].items = items

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise OutputError(f"Cannot write the job table {self._path}: {error}; free some disk space.") from None
        self._writes += 1
        if self._writes % CHECKPOINT_WRITES == 0:
            self._checkpointer.submit(self._checkpoint)

    def _checkpoint(self) -> None:
        """On a thread of its own: readers and writers go on meanwhile."""
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            log.warning("the job table's log cannot be moved into it: %s", error)  # nothing is lost: it grows

    @staticmethod
    def _from_row(row: tuple) -> Job:
        values = list(row)
        values[10], values[13] = bool(values[10]), bool(values[13])
        return Job(*values)

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        return self._jobs.get(job_id)

    def of_owner(self, owner: str) -> list[Job]:
        """Jobs of one owner, oldest first."""
        return [job for job in self._jobs.values() if job.owner == owner]

    def all(self) -> list[Job]:
        """Every job, oldest first."""
        return list(self._jobs.values())

    def in_phase(self, phase: str) -> list[Job]:
        """Jobs in a phase, oldest first."""
        return [job for job in self._jobs.values() if job.phase == phase]

    def add(self, job_id: str, *, owner: str, title: str, kind: str, priority: int, request: bytes) -> Job:
        """Accept a job; on disk when this returns."""
        digest, now = hashlib.sha256(request).hexdigest(), time.time()
        with self._writing() as db:
            cursor = db.execute(
                "INSERT INTO jobs (job_id, owner, title, kind, priority, request, digest, phase, submitted_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?)",
                (job_id, owner, title, kind, priority, request, digest, now),
            )
        job = Job(
            cursor.lastrowid or 0,
            job_id,
            owner,
            title,
            kind,
            priority,
            digest,
            "queued",
            "",
            1,
            False,
            now,
            None,
            False,
        )
        self._jobs[job_id] = job
        return job

    def request(self, job_id: str) -> bytes:
        """The request as it was accepted (msgpack)."""
        return self._db.execute("SELECT request FROM jobs WHERE job_id = ?", (job_id,)).fetchone()[0]

    def set_phase(self, job: Job, phase: str, message: str = "") -> None:
        """Move a job on."""
        ended = self.clock() if phase in ("done", "failed", "cancelled") else None
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET phase = ?, message = ?, ended_at = ? WHERE job_id = ?",
                (phase, message, ended, job.job_id),
            )
        job.phase, job.message, job.ended_at = phase, message, ended

    def set_cancelling(self, job: Job) -> None:
        """Note that a running job is to stop, also should the server end before it has."""
        with self._writing() as db:
            db.execute("UPDATE jobs SET cancelling = 1 WHERE job_id = ?", (job.job_id,))
        job.cancelling = True

    def save_clock(self) -> None:
        """Keep the time served so far for the next run."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('served_s', ?)", (self.clock(),))

    def start_over(self, job: Job) -> None:
        """Put a job whose run was lost back in the queue; its items so far do not count."""
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET phase = 'queued', message = '', attempt = attempt + 1 WHERE job_id = ?", (job.job_id,)
            )
            db.execute("DELETE FROM items WHERE job_id = ?", (job.job_id,))
        job.phase, job.message, job.attempt, job.items = "queued", "", job.attempt + 1, 0
        job.stage, job.done, job.total, job.share = "", 0, 0, 0.0

    def add_item(self, job: Job, item: Item) -> None:
        """Note a result item that is on disk."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO items VALUES (?, ?, ?, ?)",
                (job.job_id, item.index, item.size, msgspec.msgpack.encode(item)),
            )
        job.items += 1

    def items(self, job_id: str, first: int, count: int) -> list[Item]:
        """The descriptions (offset 0) of the items from ``first`` on, ``count`` at most, without gaps."""
        query = "SELECT description FROM items WHERE job_id = ? AND idx >= ? AND idx < ? ORDER BY idx"
        rows = self._db.execute(query, (job_id, first, first + count))
        return [_item_decoder.decode(row[0]) for row in rows]

    def acknowledge(self, job: Job) -> None:
        """The client has everything: its items may go."""
        with self._writing() as db:
            db.execute("UPDATE jobs SET acknowledged = 1 WHERE job_id = ?", (job.job_id,))
            db.execute("DELETE FROM items WHERE job_id = ?", (job.job_id,))
        job.acknowledged, job.items = True, 0

    def forget(self, job: Job) -> None:
        """Remove a job altogether."""
        with self._writing() as db:
            db.execute("DELETE FROM jobs WHERE job_id = ?", (job.job_id,))
            db.execute("DELETE FROM items WHERE job_id = ?", (job.job_id,))
        del self._jobs[job.job_id]

    def result_bytes(self) -> int:
        """Size of all kept items."""
        return self._db.execute("SELECT COALESCE(SUM(size), 0) FROM items").fetchone()[0]

    def close(self) -> None:
        """Close the database."""
        self._checkpointer.shutdown(wait=True)
        self._db.close()
