"""Jobs and their result items in SQLite (WAL): what was accepted survives a kill at any moment."""

import hashlib
import json
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ex4d_backend.data_folder import file_at, folder_at
from ex4d_backend.job_rows import COLUMNS, Job, job_of
from ex4d_ground.errors import OutputError
from ex4d_ground.files import atomic_path, output_error
from ex4d_ground.remedies import Failure
from ex4d_protocol.base import FINAL_PHASES
from ex4d_protocol.messages import Item

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
    cancelling INTEGER NOT NULL DEFAULT 0,
    failure BLOB,
    freed INTEGER NOT NULL DEFAULT 0,
    crashed INTEGER NOT NULL DEFAULT 0
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
_NUMBER = "INTEGER NOT NULL DEFAULT 0"
_LATER_COLUMNS = {"cancelling": _NUMBER, "failure": "BLOB", "freed": _NUMBER, "crashed": _NUMBER}
"""Columns of ``jobs`` that older tables lack; a backend that does not know one leaves it at its default."""
SCHEMA_VERSION = 2
CHECKPOINT_WRITES, CHECKPOINT_BYTES = 500, 4 << 20
"""How many writes, or bytes of them, stand in SQLite's log before they are moved into the table."""
LOG_BYTES = 32 << 20
"""A log that is longer is emptied at once."""
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
log = logging.getLogger("ex4d_backend.store")
_item_decoder = msgspec.msgpack.Decoder(Item)


class JobStore:
    """The job table. Every method commits before it returns; unfinished jobs are also kept in memory."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Open or make the database. Raises OutputError if it cannot be written or is of a newer version."""
        self._path = path
        self._writes = self._written = 0
        self._checkpointer = ThreadPoolExecutor(1, "job-table")
        self.set_aside_as = ""
        """Where a job table went that could not be read; "" if there was none."""
        try:
            self._open()
        except _Damaged as damage:
            self.set_aside_as = _set_table_aside(path)
            log.error("the job table %s is damaged (%s); it was set aside as %s", path, damage, self.set_aside_as)
            self._open()
        served = self._db.execute("SELECT value FROM meta WHERE name = 'served_s'").fetchone()
        self._monotonic, self._opened_at = monotonic, monotonic()
        self._served_before: float = served["value"] if served else 0.0

    def _open(self) -> None:
        """Open or make the database and read it. Raises OutputError, _Damaged."""
        path = self._path
        for end in ("", "-wal", "-shm"):
            file_at(path.with_name(path.name + end))
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            # NORMAL survives a kill of the process; only a power cut may take the last commits.
            self._db.execute("PRAGMA synchronous=NORMAL")
            # Moving the log into the table waits for the disk: a thread of its own does that, not the loop.
            self._db.execute("PRAGMA wal_autocheckpoint=0")
            self._db.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
            version = self._db.execute("PRAGMA user_version").fetchone()["user_version"]
            if version > SCHEMA_VERSION:
                raise OutputError(f"{path} was written by a newer backend; upgrade this one or use another --data-dir.")
            self._db.executescript(_SCHEMA)
            there = {row["name"] for row in self._db.execute("PRAGMA table_info(jobs)")}
            for name in _LATER_COLUMNS.keys() - there:
                self._db.execute(f"ALTER TABLE jobs ADD COLUMN {name} {_LATER_COLUMNS[name]}")
            self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            self._jobs = self._read_jobs()
            self._owned: dict[str, dict[str, Job]] = {}
            self._not_over: dict[str, Job] = {}
            """A few of thousands, and all that is asked for many times a second."""
            for job in self._jobs.values():
                self._keep(job)
            self._result_bytes = 0
            for row in self._db.execute(
                "SELECT job_id, MAX(idx) + 1 AS items, SUM(CASE WHEN idx >= freed THEN size ELSE 0 END) AS bytes "
                "FROM items JOIN jobs USING (job_id) GROUP BY job_id"
            ):
                job = self._jobs.get(row["job_id"])
                if job is not None and isinstance(row["items"], int) and isinstance(row["bytes"], int):
                    job.items, job.result_bytes = row["items"], row["bytes"]
                    self._result_bytes += job.result_bytes
        except sqlite3.Error as error:
            if hasattr(self, "_db"):
                self._db.close()
            if is_corrupt(error):
                raise _Damaged(str(error)) from None
            raise OutputError(f"Cannot use the job table {path}: {error}; choose another --data-dir.") from None

    def _read_jobs(self) -> dict[str, Job]:
        """All jobs, oldest first; rows that cannot be read are set aside, and the rest is served."""
        found: dict[str, Job] = {}
        for (seq,) in self._db.execute("SELECT seq FROM jobs ORDER BY seq").fetchall():
            try:
                row = self._db.execute(f"SELECT {COLUMNS} FROM jobs WHERE seq = ?", (seq,)).fetchone()
                job = job_of(row)
            except (sqlite3.Error, msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
                if isinstance(error, sqlite3.Error) and is_corrupt(error):
                    raise
                self._set_aside(seq, error)
            else:
                found[job.job_id] = job
        return found

    def set_aside(self, job: Job, reason: Exception) -> None:
        """Take a job that cannot be understood out of the table; its row is kept beside it. Raises OutputError."""
        self._set_aside(job.seq, reason)
        self._drop(job)

    def _set_aside(self, seq: int, reason: Exception) -> None:
        names = [row["name"] for row in self._db.execute("PRAGMA table_info(jobs)")]
        columns = ", ".join(f"CAST({name} AS BLOB) AS {name}" for name in names)
        row = self._db.execute(f"SELECT {columns} FROM jobs WHERE seq = ?", (seq,)).fetchone()
        folder = folder_at(self._path.parent / "set-aside")
        kept = {name: value if value is None else value.hex() for name, value in zip(names, tuple(row), strict=True)}
        path = folder / f"job-{seq}-{secrets.token_hex(4)}.json"
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        with self._writing() as db:
            db.execute("DELETE FROM jobs WHERE seq = ?", (seq,))
        log.error("job %d in %s cannot be read (%s); its row was set aside as %s", seq, self._path, reason, path.name)

    def clock(self) -> float:
        """Now, as expiry counts it: seconds a server has served from this data folder, over all its runs.

        The computer's clock may jump by years (a flat battery, a wrong time zone set right) and would take results
        with it; time in which the server was off does not count either, so nothing is lost over a holiday.
        """
        return self._served_before + self._monotonic() - self._opened_at

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
        if self._writes >= CHECKPOINT_WRITES or self._written >= CHECKPOINT_BYTES:
            self._writes = self._written = 0
            self._checkpointer.submit(self._checkpoint)

    def _checkpoint(self) -> None:
        """On a thread of its own: readers and writers go on meanwhile."""
        log_file = self._path.with_name(f"{self._path.name}-wal")
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                if log_file.stat().st_size > LOG_BYTES:
                    # So much was written meanwhile that it never begins anew: writers wait for the rest once.
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except (OSError, sqlite3.Error) as error:
            log.warning("the job table's log cannot be moved into it: %s", error)  # nothing is lost: it grows

    def _update(self, job: Job, *, drop_items: bool = False, **values: Any) -> None:
        """Write columns of a job's row, then the fields of the same names; its items may have to go with it."""
        columns = ", ".join(f"{name} = :{name}" for name in values)
        with self._writing() as db:
            stored = {n: msgspec.msgpack.encode(v) if isinstance(v, Failure) else v for n, v in values.items()}
            db.execute(f"UPDATE jobs SET {columns} WHERE job_id = :job_id", {**stored, "job_id": job.job_id})
            if drop_items:
                db.execute("DELETE FROM items WHERE job_id = ?", (job.job_id,))
        for name, value in values.items():
            if name != "request":
                setattr(job, name, value)
        if drop_items:
            self._result_bytes -= job.result_bytes
            job.items = job.result_bytes = 0

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        return self._jobs.get(job_id)

    def jobs(self, *, owner: str | None = None, phase: str | None = None) -> list[Job]:
        """Jobs, oldest first: every one, or those of an owner or in a phase."""
        jobs = self._jobs if owner is None else self._owned.get(owner, {})
        if owner is None and phase not in (None, *FINAL_PHASES):
            jobs = self._not_over
        return [job for job in jobs.values() if phase in (None, job.phase)]

    def add(self, job_id: str, *, owner: str, title: str, kind: str, priority: int, request: bytes) -> Job:
        """Accept a job; on disk when this returns."""
        values: dict[str, Any] = {"job_id": job_id, "owner": owner, "title": title, "kind": kind, "priority": priority}
        values |= {"request": request, "digest": hashlib.sha256(request).hexdigest()}
        values |= {"phase": "queued", "submitted_at": time.time()}
        self._written += len(request)
        with self._writing() as db:
            places = ", ".join(f":{name}" for name in values)
            # Items of the same id are left of a row that was set aside; its client sends the job again under that id.
            db.execute("DELETE FROM items WHERE job_id = ?", (job_id,))
            db.execute(f"INSERT INTO jobs ({', '.join(values)}) VALUES ({places})", values)
            row = db.execute(f"SELECT {COLUMNS} FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        job = self._jobs[job_id] = job_of(row)
        self._keep(job)
        return job

    def _keep(self, job: Job) -> None:
        self._owned.setdefault(job.owner, {})[job.job_id] = job
        if not job.final:
            self._not_over[job.job_id] = job

    def request(self, job_id: str) -> bytes:
        """The request as it was accepted (msgpack); of a job that is over only its digest is kept."""
        return self._db.execute("SELECT request FROM jobs WHERE job_id = ?", (job_id,)).fetchone()["request"]

    def is_request(self, job_id: str, request: bytes) -> bool:
        """Whether this is the request that a job was submitted with."""
        kept = self._db.execute("SELECT digest FROM jobs WHERE job_id = ?", (job_id,)).fetchone()["digest"]
        return kept == hashlib.sha256(request).hexdigest()

    def waiting_bytes(self, owner: str) -> tuple[int, int]:
        """Bytes of the requests of jobs that are not over: of this owner, and of all."""
        query = "SELECT owner, SUM(LENGTH(request)) FROM jobs WHERE phase IN ('queued', 'running') GROUP BY owner"
        sizes = dict(tuple(row) for row in self._db.execute(query))
        return sizes.get(owner, 0), sum(sizes.values())

    def set_phase(self, job: Job, phase: str, message: str = "", failure: Failure | None = None) -> None:
        """Move a job on; the request of one that is over is not needed any more."""
        if phase in FINAL_PHASES:
            self._update(job, phase=phase, message=message, ended_at=self.clock(), failure=failure, request=b"")
            self._not_over.pop(job.job_id, None)
        else:
            self._update(job, phase=phase, message=message, ended_at=None, failure=failure)

    def set_cancelling(self, job: Job) -> None:
        """Note that a running job is to stop, also should the server end before it has."""
        self._update(job, cancelling=True)

    def save_clock(self) -> None:
        """Keep the time served so far for the next run."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('served_s', ?)", (self.clock(),))

    def note_strays(self, names: set[str]) -> dict[str, float]:
        """When each of these folders was first seen to be of no job, by :meth:`clock`. Raises OutputError."""
        with self._writing() as db:
            noted = db.execute("SELECT name, value FROM meta WHERE name LIKE 'stray %'").fetchall()
            seen_at: dict[str, float] = {row["name"].removeprefix("stray "): row["value"] for row in noted}
            gone, new = seen_at.keys() - names, names - seen_at.keys()
            db.executemany("DELETE FROM meta WHERE name = ?", [(f"stray {name}",) for name in gone])
            now = self.clock()
            db.executemany("INSERT INTO meta VALUES (?, ?)", [(f"stray {name}", now) for name in new])
        return {name: seen_at.get(name, now) for name in names}

    def start_over(self, job: Job, *, crashed: bool = False) -> None:
        """Put a job whose run was lost, in a crash of the server's own or not, back in the queue without its items."""
        again = {"attempt": job.attempt + 1, "crashed": job.crashed + crashed}
        self._update(job, drop_items=True, phase="queued", message="", freed=0, **again)
        job.stage, job.done, job.total, job.share = "", 0, 0, 0.0

    def add_item(self, job: Job, item: Item) -> None:
        """Note a result item that is on disk."""
        with self._writing() as db:
            values = job.job_id, item.index, item.size, msgspec.msgpack.encode(item)
            db.execute("INSERT INTO items (job_id, idx, size, description) VALUES (?, ?, ?, ?)", values)
        job.items = max(job.items, item.index + 1)
        job.result_bytes += item.size
        self._result_bytes += item.size
        self._written += len(values[3])

    def items(self, job: Job, first: int, count: int) -> list[Item | None]:
        """The descriptions (offset 0) of the items from ``first`` on, ``count`` at most; None: its row is damaged."""
        return [self._item(job.job_id, index) for index in range(first, min(first + count, job.items))]

    def _item(self, job_id: str, index: int) -> Item | None:
        try:
            query = "SELECT description FROM items WHERE job_id = ? AND idx = ?"
            row = self._db.execute(query, (job_id, index)).fetchone()
            item = _item_decoder.decode(row["description"]) if row is not None else None
        except (sqlite3.Error, msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            log.error("item %d of job %s cannot be read from the job table (%s)", index, job_id, error)
            return None
        return item if item is not None and (item.job_id, item.index, item.offset) == (job_id, index, 0) else None

    def free(self, job: Job, below: int) -> range:
        """The client has the items before ``below``; those that may be deleted now. Their rows stay, to be counted."""
        gone = range(job.freed, min(below, job.items))
        if gone:
            query = "SELECT SUM(size) AS bytes FROM items WHERE job_id = ? AND idx >= ? AND idx < ?"
            found = self._db.execute(query, (job.job_id, gone.start, gone.stop)).fetchone()["bytes"] or 0
            self._update(job, freed=gone.stop)
            job.result_bytes -= found
            self._result_bytes -= found
        return gone

    def acknowledge(self, job: Job) -> None:
        """The client has everything: its items may go."""
        self._update(job, drop_items=True, acknowledged=True)

    def forget(self, *jobs: Job) -> None:
        """Remove jobs altogether."""
        with self._writing() as db:
            for table in ("jobs", "items"):
                db.executemany(f"DELETE FROM {table} WHERE job_id = ?", [(job.job_id,) for job in jobs])
        for job in jobs:
            self._drop(job)

    def _drop(self, job: Job) -> None:
        del self._jobs[job.job_id]
        self._not_over.pop(job.job_id, None)
        owned = self._owned.get(job.owner, {})
        owned.pop(job.job_id, None)
        if not owned:
            self._owned.pop(job.owner, None)
        self._result_bytes -= job.result_bytes

    @property
    def count(self) -> int:
        """How many jobs there are, over or not."""
        return len(self._jobs)

    def result_bytes(self) -> int:
        """Size of all kept items."""
        return self._result_bytes

    def close(self) -> None:
        """Close the database."""
        self._checkpointer.shutdown(wait=True)
        self._db.close()


class _Damaged(Exception):
    """SQLite says that the file is none of its own, or not whole."""


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether an error means that the database's own structure is damaged."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _CORRUPT


def _set_table_aside(path: Path) -> str:
    """Rename a job table and its log to the first free NAME.damaged-N; returns that name. Raises OutputError."""
    number = 1
    while any(path.with_name(f"{path.name}.damaged-{number}{end}").exists() for end in ("", "-wal", "-shm")):
        number += 1
    target = path.with_name(f"{path.name}.damaged-{number}")
    try:
        for end in ("-wal", "-shm", ""):
            part = path.with_name(path.name + end)
            if part.exists():
                part.rename(target.with_name(target.name + end))
    except OSError as error:
        raise output_error(path, error) from None
    return target.name
