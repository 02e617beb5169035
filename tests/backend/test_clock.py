from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from ex4d_backend.blobs import BlobStore
from ex4d_backend.limits import Bucket
from ex4d_backend.pool import Pool
from ex4d_backend.scheduler import JobScheduler
from ex4d_backend.settings import ServerSettings
from ex4d_backend.store import JobStore
from ex4d_backend.uploads import Uploads
from ex4d_ground.remedies import Failure, fewer_frames
from ex4d_protocol import messages as m
from ex4d_protocol.requests import BlobRef, BuildMesh, ClipSpec, Media

HOUR = 3600.0
DATA = b"bytes of a clip"
REF = BlobRef(sha256=hashlib.sha256(DATA).hexdigest(), size=len(DATA))
CLIP = ClipSpec(video=Media(kind="video", blobs=(REF,)), depth=Media(kind="npz", blobs=(REF,)))


class Time:
    """A monotonic clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def scheduler_on(folder, clock):
    """The server's books without sockets and workers."""
    settings = ServerSettings(data_dir=str(folder), results_ttl_hours=72, blobs_ttl_hours=168)
    calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
    store = JobStore(folder / "jobs.sqlite", monotonic=clock)
    blobs = BlobStore(folder / "blobs", post=calls.put, clock=store.clock)
    uploads = Uploads(
        blobs, blob_bytes=1 << 20, check_room=lambda *_: None, post=calls.put, on_settled=lambda upload: None
    )
    scheduler = JobScheduler(
        settings, store, blobs, Pool(), push=lambda job, state: None, check_room=lambda size, detail: None
    )
    checked: list[bool] = []
    blobs.check([REF.sha256], lambda: checked.append(True))
    while not checked:
        calls.get(timeout=120)()
    if not blobs.has(REF.sha256, REF.size):
        uploads.put("owner", REF.sha256, REF.size, 0, memoryview(DATA), lambda have, error: None)
        while not blobs.has(REF.sha256, REF.size):
            calls.get(timeout=120)()
    try:
        yield scheduler, store, blobs
    finally:
        uploads.close()
        blobs.close()
        scheduler.close()


def submit(scheduler, job_id: str) -> None:
    scheduler.submit("owner", m.SubmitJob(job_id=job_id, request=BuildMesh(clip=CLIP)))


def test_a_jump_of_the_computers_clock_deletes_nothing(tmp_path, monkeypatch):
    with scheduler_on(tmp_path, Time()) as (scheduler, store, blobs):
        submit(scheduler, "finished-job")
        store.set_phase(store.get("finished-job"), "done")
        submit(scheduler, "waiting-job")
        for years in (-30, 30):
            monkeypatch.setattr(time, "time", lambda now=time.time() + years * 365 * 24 * HOUR: now)
            scheduler.sweep.run()
            monkeypatch.undo()
        assert [job.job_id for job in store.jobs()] == ["finished-job", "waiting-job"]
        assert blobs.has(REF.sha256, REF.size)


def test_results_expire_after_the_time_the_server_served(tmp_path):
    clock = Time()
    with scheduler_on(tmp_path, clock) as (scheduler, store, _):
        submit(scheduler, "finished-job")
        store.set_phase(store.get("finished-job"), "done")
        clock.now += 71 * HOUR
        scheduler.sweep.run()
        assert store.get("finished-job") is not None
    clock.now = 5.0  # the next run of the server, however much later; a monotonic clock starts anywhere
    with scheduler_on(tmp_path, clock) as (scheduler, store, blobs):
        clock.now += 0.5 * HOUR
        scheduler.sweep.run()
        assert store.get("finished-job") is not None
        clock.now += 1 * HOUR
        scheduler.sweep.run()
        assert store.get("finished-job") is None
        assert blobs.has(REF.sha256, REF.size)
        clock.now += 168 * HOUR
        scheduler.sweep.run()
        assert not blobs.has(REF.sha256, REF.size)


def test_places_that_nobody_asks_for_go_with_the_uploads(tmp_path):
    folder = tmp_path / "places"
    folder.mkdir()
    for name, hours in (("used", 167), ("unused", 169)):
        (folder / f"{name}.npz").write_bytes(b"floor and walls")
        os.utime(folder / f"{name}.npz", (time.time() - hours * HOUR,) * 2)
    with scheduler_on(tmp_path, Time()) as (scheduler, _, _):
        scheduler.sweep.run()
    assert [path.name for path in folder.iterdir()] == ["used.npz"]


def test_a_job_folder_that_no_row_knows_is_kept_as_long_as_results_and_then_removed(tmp_path):
    """What a kill between a row and its folder leaves, or a job table that was set aside."""
    clock, stray = Time(), tmp_path / "jobs" / ("ab" * 16)
    with scheduler_on(tmp_path, clock) as (scheduler, store, _):
        submit(scheduler, "finished-job")
        store.set_phase(store.get("finished-job"), "done")
        submit(scheduler, "comes-again")
        known, again = (tmp_path / "jobs" / store.get(name).folder_name for name in ("finished-job", "comes-again"))
        store.forget(store.get("comes-again"))
    for folder in (known, again, stray, tmp_path / "jobs" / "of-somebody-else"):
        (folder / "items-1").mkdir(parents=True)
        (folder / "items-1" / "00000000.bin").write_bytes(b"a result")
    with scheduler_on(tmp_path, clock) as (scheduler, _, _):
        clock.now += 71 * HOUR
        scheduler.sweep.run()
    assert stray.exists()
    with scheduler_on(tmp_path, clock) as (scheduler, store, _):
        submit(scheduler, "comes-again")
        clock.now += 0.9 * HOUR
        scheduler.sweep.run()
        store.set_phase(store.get("finished-job"), "done")  # anew, so that it stays
        clock.now += 0.2 * HOUR
        scheduler.sweep.run()
    assert {path.name for path in (tmp_path / "jobs").iterdir()} == {known.name, again.name, "of-somebody-else"}


def test_uploads_of_a_waiting_job_never_expire(tmp_path):
    clock = Time()
    with scheduler_on(tmp_path, clock) as (scheduler, _, blobs):
        submit(scheduler, "waiting-job")
        clock.now += 10_000 * HOUR
        scheduler.sweep.run()
        assert blobs.has(REF.sha256, REF.size)


def test_a_file_time_of_another_clock_starts_to_count_when_it_is_seen(tmp_path):
    clock = Time()
    with scheduler_on(tmp_path, clock) as (scheduler, _, blobs):
        os.utime(blobs.path(REF.sha256), (4e9, 4e9))
        scheduler.sweep.run()
        clock.now += 169 * HOUR
        scheduler.sweep.run()
        assert not blobs.has(REF.sha256, REF.size)


def test_a_job_table_of_the_first_version_is_taken_over(tmp_path):
    import sqlite3

    with scheduler_on(tmp_path, Time()) as (scheduler, _, _):
        submit(scheduler, "waiting-job")
    database = sqlite3.connect(tmp_path / "jobs.sqlite")
    database.executescript("ALTER TABLE jobs DROP COLUMN cancelling; DROP TABLE meta; PRAGMA user_version=1;")
    database.close()
    with scheduler_on(tmp_path, Time()) as (_, store, _):
        assert store.get("waiting-job").phase == "queued"


def test_a_job_table_without_codes_and_remedies_is_taken_over(tmp_path):
    import sqlite3

    with scheduler_on(tmp_path, Time()) as (scheduler, store, _):
        submit(scheduler, "failed-job")
        store.set_phase(store.get("failed-job"), "failed", "It failed.")
    database = sqlite3.connect(tmp_path / "jobs.sqlite")
    database.executescript("ALTER TABLE jobs DROP COLUMN failure;")
    database.close()
    failure = Failure("bad_depth", fewer_frames(8))
    with scheduler_on(tmp_path, Time()) as (scheduler, store, _):
        state = store.get("failed-job").state()
        assert (state.message, state.failure) == ("It failed.", None)
        submit(scheduler, "other-job")
        store.set_phase(store.get("other-job"), "failed", "It failed too.", failure)
    with scheduler_on(tmp_path, Time()) as (_, store, _):
        state = store.get("other-job").state()
        assert (state.message, state.failure) == ("It failed too.", failure)


@pytest.mark.parametrize("jump", [-1e6, 0.0])
def test_a_bucket_refills_with_time_and_never_backwards(jump):
    clock = Time()
    bucket = Bucket(10.0, clock=clock)
    assert sum(bucket.take() for _ in range(100)) == 40
    clock.now += jump
    assert not bucket.take()
    clock.now += 0.5
    assert sum(bucket.take() for _ in range(100)) == 5
