"""kill -9 of the server in each state a job can be in; the next server takes everything up."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing

import pytest

from backend.conftest import ended, long_job, poses, until
from ex4d_ground.options import RasterOptions
from ex4d_protocol import messages as m
from ex4d_protocol.errors import JobCancelled, JobFailed
from ex4d_protocol.events import Disconnected, ItemReceived, JobChanged, UploadProgress
from ex4d_protocol.requests import RenderGuides


def phases_of(server) -> dict[str, str]:
    with closing(sqlite3.connect(server.data_dir / "jobs.sqlite")) as database:
        return dict(database.execute("SELECT job_id, phase FROM jobs"))


def no_result_is_half_written(server) -> None:
    """Every item in the books is on disk whole, with its checksum."""
    import msgspec

    from ex4d_backend.item_files import item_file

    with closing(sqlite3.connect(server.data_dir / "jobs.sqlite")) as database:
        rows = database.execute(
            "SELECT i.job_id, i.idx, i.description, j.attempt FROM items i JOIN jobs j ON j.job_id = i.job_id"
        ).fetchall()
    for job_id, index, description, attempt in rows:
        item = msgspec.msgpack.decode(description, type=m.Item)
        folder = server.data_dir / "jobs" / hashlib.sha256(job_id.encode()).hexdigest()[:32] / f"items-{attempt}"
        data = (folder / item_file(index)).read_bytes()
        assert len(data) == item.size and hashlib.sha256(data).hexdigest() == item.sha256


def test_a_kill_loses_no_job_in_any_state(make_backend, connect, send_clip):
    """Done and not acknowledged, failed, cancelled, running, queued, and an upload under way, all at the same kill."""
    server = make_backend().start()
    client = connect(server)
    clip = send_clip(client)
    done = client.submit(RenderGuides(clip=clip, trajectory=poses(3)), fetch=False)
    client.wait_job(done, 120)
    failed = client.submit(RenderGuides(clip=clip, trajectory=poses(3), raster=RasterOptions(rasterizer="no such")))
    cancelled = client.submit(long_job(clip, 299))
    running = client.submit(long_job(clip, 300))
    with pytest.raises(JobFailed):
        client.wait_job(failed, 120)
    client.cancel(cancelled)
    with pytest.raises(JobCancelled):
        client.wait_job(cancelled, 120)
    client.wait_for(lambda e: isinstance(e, ItemReceived) and e.job_id == running and e.frame > 5, 120)
    with server.held():
        queued = client.submit(RenderGuides(clip=clip, trajectory=poses(4)))
        until(lambda: client.poll(0.01) is not None and client.jobs[queued].state)
        upload = client.upload(os.urandom(1 << 20) * 40)
        client.wait_for(lambda e: isinstance(e, UploadProgress) and e.stage == "send" and e.done > 2 << 20, 120)
        workers = server.workers()
        server.kill()
    over = {done: "done", failed: "failed", cancelled: "cancelled"}
    assert phases_of(server) == {**over, running: "running", queued: "queued"}
    no_result_is_half_written(server)
    lost = client.wait_for(lambda e: isinstance(e, Disconnected), 120)
    assert server.address in lost.reason
    until(lambda: all(ended(worker) for worker in workers), 120)
    server.start()
    assert client.wait_job(running, 120).attempt == 2
    assert client.wait_job(queued, 120).attempt == 1
    assert client.wait_uploaded(upload, 120).sent_bytes < 2 * upload.size
    client.fetch(done)
    assert client.wait_job(done, 120).attempt == 1
    assert [len(client.jobs[job].received) for job in (done, running, queued)] == [7, 601, 9]
    assert phases_of(server) == {**over, running: "done", queued: "done"}
    no_result_is_half_written(server)


def test_an_accepted_cancel_survives_a_kill(make_backend, connect, send_clip):
    server = make_backend(environment={"EX4D_BACKEND_CANCEL_GRACE_S": "30"}).start()
    client = connect(server)
    job = client.submit(long_job(send_clip(client)), fetch=False)
    client.wait_for(lambda e: isinstance(e, JobChanged) and e.state.phase == "running", 120)
    server.workers()[0].suspend()  # so that it is still cancelling when the server dies
    assert not client.ask(m.CancelJob(job_id=job)).already_final
    worker = server.workers()[0]
    server.kill()
    until(lambda: ended(worker), 120)
    client.close()  # the client that asked is gone as well
    server.start()
    later = connect(server, client_id=client.client_id)
    later.follow(job)
    with pytest.raises(JobCancelled, match="restarted meanwhile"):
        later.wait_job(job, 120)
