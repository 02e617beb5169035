from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from ex4d_backend.blobs import BlobStore
from ex4d_backend.desk import JobDesk
from ex4d_backend.limits import Bucket
from ex4d_backend.settings import ServerSettings
from ex4d_backend.store import JobStore
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
def desk_on(folder, clock):
    """The server's books without sockets and workers."""
    settings = ServerSettings(data_dir=str(folder), results_ttl_hours=72, blobs_ttl_hours=168)
    calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
    store = JobStore(folder / "jobs.sqlite", monotonic=clock)
    blobs = BlobStore(
        folder / "blobs",
        blob_bytes=1 << 20,
        room_for=lambda size: "",
        post=calls.put,
        on_settled=lambda digest, size, error: None,
        clock=store.clock,
    )
    desk = JobDesk(settings, store, blobs, push=lambda job, state: None, room_for=lambda size: "")
    if not blobs.has(REF.sha256, REF.size):
        blobs.put(REF.sha256, REF.size, 0, memoryview(DATA), lambda have, error: None)
        while not blobs.has(REF.sha256, REF.size):
            calls.get(timeout=20)()
    try:
        yield desk, store, blobs
    finally:
        blobs.close()
        desk.close()


def submit(desk, job_id: str) -> None:
    desk.submit("owner", m.SubmitJob(job_id=job_id, request=BuildMesh(clip=CLIP)))


def test_a_jump_of_the_computers_clock_deletes_nothing(tmp_path, monkeypatch):
    with desk_on(tmp_path, Time()) as (desk, store, blobs):
        submit(desk, "finished-job")
        store.set_phase(store.get("finished-job"), "done")
        submit(desk, "waiting-job")
        for years in (-30, 30):
            monkeypatch.setattr(time, "time", lambda now=time.time() + years * 365 * 24 * HOUR: now)
            desk.sweep()
            monkeypatch.undo()
        assert [job.job_id for job in store.all()] == ["finished-job", "waiting-job"]
        assert blobs.has(REF.sha256, REF.size)


def test_results_expire_after_the_time_the_server_served(tmp_path):
    clock = Time()
    with desk_on(tmp_path, clock) as (desk, store, _):
        submit(desk, "finished-job")
        store.set_phase(store.get("finished-job"), "done")
        clock.now += 71 * HOUR
        desk.sweep()
        assert store.get("finished-job") is not None
    clock.now = 5.0  # the next run of the server, however much later; a monotonic clock starts anywhere
    with desk_on(tmp_path, clock) as (desk, store, blobs):
        clock.now += 0.5 * HOUR
        desk.sweep()
        assert store.get("finished-job") is not None
        clock.now += 1 * HOUR
        desk.sweep()
        assert store.get("finished-job") is None
        assert blobs.has(REF.sha256, REF.size)
        clock.now += 168 * HOUR
        desk.sweep()
        assert not blobs.has(REF.sha256, REF.size)


def test_uploads_of_a_waiting_job_never_expire(tmp_path):
    clock = Time()
    with desk_on(tmp_path, clock) as (desk, _, blobs):
        submit(desk, "waiting-job")
        clock.now += 10_000 * HOUR
        desk.sweep()
        assert blobs.has(REF.sha256, REF.size)


def test_a_file_time_of_another_clock_starts_to_count_when_it_is_seen(tmp_path):
    clock = Time()
    with desk_on(tmp_path, clock) as (desk, _, blobs):
        os.utime(blobs.path(REF.sha256), (4e9, 4e9))
        desk.sweep()
        clock.now += 169 * HOUR
        desk.sweep()
        assert not blobs.has(REF.sha256, REF.size)


def test_a_job_table_of_the_first_version_is_taken_over(tmp_path):
    import sqlite3

    with desk_on(tmp_path, Time()) as (desk, _, _):
        submit(desk, "waiting-job")
    database = sqlite3.connect(tmp_path / "jobs.sqlite")
    database.executescript("ALTER TABLE jobs DROP COLUMN cancelling; DROP TABLE meta; PRAGMA user_version=1;")
    database.close()
    with desk_on(tmp_path, Time()) as (_, store, _):
        assert store.get("waiting-job").phase == "queued"


@pytest.mark.parametrize("jump", [-1e6, 0.0])
def test_a_bucket_refills_with_time_and_never_backwards(jump):
    clock = Time()
    bucket = Bucket(10.0, clock=clock)
    assert sum(bucket.take() for _ in range(100)) == 40
    clock.now += jump
    assert not bucket.take()
    clock.now += 0.5
    assert sum(bucket.take() for _ in range(100)) == 5
