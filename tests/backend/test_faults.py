from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from backend.conftest import long_job, poses, until
from backend.peers import ask_what_loads
from ex4d_backend.item_files import item_file, open_item
from ex4d_backend.store import JobStore
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.errors import ConnectionFailed, JobCancelled, JobFailed, RequestRefused
from ex4d_protocol.events import Connected, Disconnected, ItemReceived, JobChanged
from ex4d_protocol.job_book import CREDIT
from ex4d_protocol.requests import RenderGuides


def items_of(job):
    return lambda e: isinstance(e, ItemReceived) and e.job_id == job


@pytest.mark.slow
def test_a_job_that_keeps_ending_the_server_is_given_up(make_backend, connect, send_clip):
    server = make_backend(environment={"EX4D_BACKEND_MAX_ATTEMPTS": "2"}).start()
    client = connect(server)
    job = client.submit(long_job(send_clip(client)))
    for attempt in (1, 2):
        client.wait_for(lambda e, n=attempt: isinstance(e, JobChanged) and e.state.phase == "running"
                        and e.state.attempt == n, 120)  # fmt: skip
        server.kill()
        server.start()
    with pytest.raises(JobFailed, match="ended 2 times"):
        client.wait_job(job, 120)


def test_a_job_that_ended_the_server_while_it_was_fetched_fails_with_that_reason(make_backend, connect, send_clip):
    """What it had made until then comes all the same, as of any job that fails."""
    server = make_backend(environment={"EX4D_BACKEND_MAX_ATTEMPTS": "1"}).start()
    client = connect(server)
    job = client.submit(long_job(send_clip(client)))
    client.wait_for(lambda e: isinstance(e, ItemReceived) and e.frame > 5, 120)
    with server.held():
        server.kill()
    with closing(sqlite3.connect(server.data_dir / "jobs.sqlite")) as table:
        made = table.execute("SELECT MAX(idx) + 1 FROM items").fetchone()[0]
    server.start()
    with pytest.raises(JobFailed, match="ended 1 times while this job ran"):
        client.wait_job(job, 120)
    assert len(client.jobs[job].received) == made > 12


def test_a_killed_worker_fails_its_job_alone_and_is_replaced(make_backend, connect, send_clip):
    server = make_backend().start()
    client = connect(server)
    clip = send_clip(client)
    job, after = client.submit(long_job(clip)), client.submit(RenderGuides(clip=clip, trajectory=poses(3)))
    client.wait_for(items_of(job), 120)
    server.workers()[0].send_signal(signal.SIGKILL)
    with pytest.raises(JobFailed, match="killed from outside"):
        client.wait_job(job, 120)
    assert client.wait_job(after, 120).phase == "done"


def test_a_worker_that_hangs_is_killed_after_the_grace_time(make_backend, connect, send_clip):
    server = make_backend(environment={"EX4D_BACKEND_CANCEL_GRACE_S": "0.5"}).start()
    client = connect(server)
    clip = send_clip(client)
    job = client.submit(long_job(clip))
    client.wait_for(items_of(job), 120)
    server.workers()[0].suspend()
    client.cancel(job)
    with pytest.raises(JobCancelled, match="did not stop by itself"):
        client.wait_job(job, 120)
    assert client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(3))), 120).phase == "done"


def test_a_server_that_stops_answering_is_noticed(make_backend, connect):
    server = make_backend(environment={"EX4D_BACKEND_PING_INTERVAL_S": "0.2"}).start()
    client = connect(server)
    process = psutil.Process(server.process.pid)
    process.suspend()
    try:
        lost = client.wait_for(lambda e: isinstance(e, Disconnected), 120)
        assert "silent" in lost.reason
    finally:
        process.resume()
    client.wait_for(lambda e: isinstance(e, Connected) and e.reconnected, 120)
    assert isinstance(client.ask(m.GetHealth()), m.Health)


def test_no_backend_is_a_clear_error(unused_address):
    client = Client(unused_address)
    client.connect()
    try:
        client.wait_for(lambda e: isinstance(e, Disconnected), 60)
        with pytest.raises(ConnectionFailed, match=r"No backend at tcp://.*nothing answers") as caught:
            client.wait_connected(0.1)
        assert caught.value.remedy.values == {"command": "ex4d-backend"}
    finally:
        client.close()


def test_a_job_submitted_before_the_backend_runs_is_run_once_it_does(make_backend, unused_address, clip_files):
    from ex4d_protocol.requests import ClipSpec, Media

    client = Client(unused_address)
    client.connect()
    try:
        video, depth = (client.upload(path) for path in clip_files)
        job = client.submit(
            lambda: RenderGuides(
                clip=ClipSpec(
                    video=Media(kind="video", blobs=(video.ref,)),
                    depth=Media(kind="npz", blobs=(depth.ref,)),
                    focal_px=50.0,
                ),
                trajectory=poses(3),
            ),
            after=[video, depth],
        )
        client.wait_for(lambda e: isinstance(e, Disconnected), 60)
        make_backend(address=unused_address).start()
        assert client.wait_job(job, 120).items == 7
    finally:
        client.close()


def test_sigterm_lets_the_running_job_end_and_keeps_the_queue(make_backend, connect, send_clip):
    server = make_backend(environment={"EX4D_BACKEND_DRAIN_S": "200"}).start()
    client = connect(server)
    clip = send_clip(client)
    job, queued = client.submit(long_job(clip, 300)), client.submit(RenderGuides(clip=clip, trajectory=poses(3)))
    client.wait_for(items_of(job), 120)
    with server.held():
        until(lambda: client.poll() is not None and client.jobs[queued].state is not None)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "draining: 1 queued and 1 running" in server.output())
    assert server.process.wait(120) == 0
    database = sqlite3.connect(server.data_dir / "jobs.sqlite")
    with contextlib.closing(database):
        phases = dict(database.execute("SELECT job_id, phase FROM jobs"))
    assert phases == {job: "done", queued: "queued"}
    server.start()
    assert client.wait_job(job, 120).attempt == 1
    assert client.wait_job(queued, 120).phase == "done"


def test_the_server_leaves_with_its_parent(make_backend):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent:
        server = make_backend(arguments=["--exit-with-parent", str(parent.pid)]).start()
        parent.communicate(b"\n")
        assert server.process.wait(120) == 0


def test_a_full_queue_refuses_more_and_keeps_what_it_has(make_backend, connect, send_clip):
    server = make_backend(environment={"EX4D_BACKEND_QUEUED_JOBS": "2"}).start()
    client = connect(server)
    clip = send_clip(client)
    running = client.submit(long_job(clip))
    client.wait_for(items_of(running), 120)
    with server.held():
        kept = [client.submit(RenderGuides(clip=clip, trajectory=poses(2 + i))) for i in range(2)]
        refused = client.submit(RenderGuides(clip=clip, trajectory=poses(9)))
        until(lambda: client.poll() is not None and client.jobs[refused].rejected)
    assert "queue is full" in client.jobs[refused].rejected
    client.cancel(running)
    for job in kept:
        assert client.wait_job(job, 120).phase == "done"


def test_a_client_that_does_not_read_does_not_grow_the_server(make_backend, connect, send_clip):
    server = make_backend().start()
    client = connect(server)
    ask_what_loads(client.ask)
    job = client.submit(long_job(send_clip(client), 800))
    client.wait_for(items_of(job), 120)
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    watcher = connect(server, client_id=client.client_id)
    until(lambda: watcher.ask(m.GetJob(job_id=job)).phase == "done", 120)  # while ``client`` reads nothing
    assert process.memory_info().rss - before < 64 << 20
    client.wait_job(job, 120)
    assert len(client.jobs[job].received) == 1601


def own_memory(server) -> int:
    """Bytes of the server process's own memory: without mapped files, which the system may drop at any time."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) << 10


ASKS_FOR_RESULTS = """
import sys, time
from ex4d_protocol.client import Client
client = Client(sys.argv[1], client_id="slow-reader")
client.connect()
client.wait_connected(120)
for job in sys.argv[2:]:
    client.follow(job)
asked = set()
while not asked >= set(sys.argv[2:]):
    client.poll()
    asked |= client._jobs._fetching
print("asked for all", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_results_nobody_reads_are_no_memory_of_the_server(make_backend, connect):
    """A client that asked for 640 MiB is stopped: what its credit allows waits for it as mapped files."""
    server = make_backend()
    server.data_dir.mkdir(parents=True)
    store = JobStore(server.data_dir / "jobs.sqlite")
    size, count = 4 << 20, 40
    jobs = [f"large-job-{k}" for k in range(4)]
    for name in jobs:
        job = store.add(name, owner="slow-reader", title="", kind="BuildMesh", priority=0, request=b"")
        items = server.data_dir / "jobs" / job.folder_name / "items-1"
        items.mkdir(parents=True)
        for i in range(count):
            with (items / item_file(i)).open("wb") as file:
                file.truncate(size)  # zeros that take no disk
            item = m.Item(job_id=name, index=i, name="vertices", frame=i, dtype="|u1", shape=(size,), size=size)
            store.add_item(job, item)
        store.set_phase(job, "done")
    store.close()
    server.start()
    ask_what_loads(connect(server).ask)
    before, process = own_memory(server), psutil.Process(server.process.pid)
    mapped = process.memory_info().shared
    command = [sys.executable, "-c", ASKS_FOR_RESULTS, server.address, *jobs]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout.readline() == "asked for all\n"  # of one job alone no more than its credit would come
        reader.send_signal(signal.SIGSTOP)
        later = connect(server, client_id="slow-reader")
        later.ask(m.GetHealth())
        until(lambda: process.memory_info().shared > mapped + CREDIT * size, 120)  # it waits for the reader
        assert own_memory(server) - before < 48 << 20
    finally:
        reader.kill()
        reader.communicate(timeout=120)
    later.follow(jobs[0])
    later.wait_job(jobs[0], 120)
    assert len(later.jobs[jobs[0]].received) == count


def dropped_from_memory(file: Path) -> bool:
    """Have the system forget a file's pages; whether it did (a tmpfs has nothing else)."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return open_item(str(file), file.stat().st_size, cached_only=True) is None


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="only Linux tells what is in memory")
def test_results_that_must_be_read_from_disk_arrive_and_the_loop_does_not_read_them(backend, client, send_clip):
    job = client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(30, step=0.003)), fetch=False)
    client.wait_job(job, 120)
    folder = backend.data_dir / "jobs" / hashlib.sha256(job.encode()).hexdigest()[:32] / "items-1"
    files = sorted(folder.glob("*.bin"))
    if not [file for file in files if dropped_from_memory(file)]:
        pytest.skip("this file system keeps every file in memory")
    client.fetch(job)
    client.wait_job(job, 120)
    assert len(client.jobs[job].received) == len(files) == 61
    assert all(open_item(str(f), f.stat().st_size, cached_only=True) is not None for f in files)


def test_one_poll_takes_no_more_than_its_time_allows(client, send_clip):
    """With no time at all one message is taken from each socket, whatever waits."""
    job = client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(20)), fetch=False)
    client.wait_job(job, 120)
    client.fetch(job)
    received, end = 0, time.monotonic() + 120
    while received < 41:
        assert time.monotonic() < end
        items = [e for e in client.poll(0.0) if isinstance(e, ItemReceived)]
        assert len(items) <= 1
        received += len(items)


def test_a_job_that_makes_no_progress_fails_alone(make_backend, connect, send_clip):
    """Its worker's heartbeats go on: they come from a thread of their own."""
    server = make_backend(environment={"EX4D_BACKEND_JOB_STALL_S": "1e-6"}).start()
    client = connect(server)
    with pytest.raises(JobFailed, match="made no progress"):
        client.wait_job(client.submit(long_job(send_clip(client))), 120)


def test_progress_never_goes_back_and_is_whole_only_at_the_end(backend, client, send_clip):
    shares: list[tuple[float, str]] = []
    # Some times as long as the server waits between two words on it.
    job = client.submit(long_job(send_clip(client), 400))

    def note(event) -> None:
        if isinstance(event, JobChanged):
            shares.append((event.state.share, event.state.phase))

    client.wait_job(job, 120, on_event=note)
    assert [s for s, _ in shares] == sorted(s for s, _ in shares)
    assert all((share == 1.0) == (phase == "done") for share, phase in shares)
    assert any(0.1 < share < 1.0 for share, _ in shares)


def test_a_damaged_result_is_asked_for_again_and_then_given_up(make_backend, connect, send_clip):
    server = make_backend().start()
    client = connect(server)
    job = client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(3)), fetch=False)
    client.wait_job(job, 120)
    file = sorted(server.data_dir.glob("jobs/*/items-1/*.bin"))[2]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    client.fetch(job)
    with pytest.raises(RequestRefused, match="wrong checksum, 3 times"):
        client.wait_job(job, 120)
    assert len(client.jobs[job].received) == 6, "the others have come"
    file.write_bytes(whole)
    later = connect(server, client_id=client.client_id)
    later.follow(job)
    later.wait_job(job, 120)
    assert len(later.jobs[job].received) == 7


DIES = """
import os, sys
if "ex4d_backend.worker" in sys.orig_argv and os.path.exists({broken!r}):
    print("ImportError: libmissing.so is not there", file=sys.stderr, flush=True)
    os._exit(3)
"""


def test_a_worker_that_dies_at_every_start_fails_the_waiting_jobs_with_its_last_words(
    make_backend, connect, send_clip, tmp_path
):
    """And only those: what is sent when it can start again is run."""
    broken, customize = tmp_path / "broken", tmp_path / "customize" / "sitecustomize.py"
    broken.touch()
    customize.parent.mkdir()
    customize.write_text(DIES.format(broken=str(broken)))  # Python runs it first; only the worker ends there
    paths = (str(customize.parent), os.environ.get("PYTHONPATH"))
    server = make_backend(environment={"PYTHONPATH": os.pathsep.join(path for path in paths if path)}).start()
    client = connect(server)
    clip = send_clip(client)
    for _ in range(2):  # one that waits from the beginning, and one that comes when all is lost
        job = client.submit(RenderGuides(clip=clip, trajectory=poses(3)))
        with pytest.raises(JobFailed, match=r"left with exit code 3 each of the \d+ times.*libmissing\.so") as caught:
            client.wait_job(job, 120)
        assert "worker-cpu.log" in str(caught.value) and str(tmp_path) not in str(caught.value)
    broken.unlink()
    assert client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(3))), 120).phase == "done"
