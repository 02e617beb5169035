"""What is damaged in the data folder is set aside and named in the log; the server starts with the rest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import zmq
from msgspec.structs import replace

from backend.conftest import long_job, poses, until
from ex4d_backend.keys import KeyRing
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.errors import JobFailed, RequestRefused
from ex4d_protocol.events import ItemReceived
from ex4d_protocol.requests import RenderGuides

OWNER = "a" * 32


def _execute(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "jobs.sqlite")) as db:
        db.execute(statement)
        db.commit()


@pytest.fixture(scope="module")
def used(tmp_path_factory, clip_files) -> Path:
    """The data folder of a server that was killed: one finished job, two that wait."""
    from backend.conftest import Backend
    from ex4d_protocol.client import Client
    from ex4d_protocol.requests import ClipSpec, Media

    server = Backend(tmp_path_factory.mktemp("damage") / "data").start()
    client = Client(server.address, client_name="test", client_id=OWNER)
    client.connect()
    client.wait_connected(120)
    video, depth = (client.wait_uploaded(client.upload(path), 120).ref for path in clip_files)
    clip = ClipSpec(video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(depth,)), focal_px=50.0)
    client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(2))), 120)
    for _ in range(2):
        client.submit(long_job(clip, 3000), job_id=uuid.uuid4().hex, fetch=False)
    until(lambda: (client.poll(0.05), len(_listed(server.address)) == 3)[1])
    client.close()
    server.kill()
    return server.data_dir


DAMAGE = {
    "a failure that cannot be decoded": "UPDATE jobs SET failure = x'c1ff' WHERE seq = 2",
    "a request that cannot be decoded": "UPDATE jobs SET request = x'81a178' WHERE seq = 2",
    "a request of half a letter": "UPDATE jobs SET request = x'81a474797065a1ff' WHERE seq = 2",
    "a title that is no text": "UPDATE jobs SET title = CAST(x'ff00fe' AS TEXT) WHERE seq = 2",
    "an id that is no text": "UPDATE jobs SET job_id = x'ff00fe' WHERE seq = 2",
    "a phase that is none": "UPDATE jobs SET phase = 'lost' WHERE seq = 2",
    "an attempt that is text": "UPDATE jobs SET attempt = 'many' WHERE seq = 2",
}


def test_every_row_that_cannot_be_read_is_set_aside_and_the_rest_is_served(used: Path, make_backend, connect) -> None:
    """All kinds of damage in one table; each kind by itself is tried below."""
    backend = make_backend()
    shutil.copytree(used, backend.data_dir, ignore=shutil.ignore_patterns("lock"))
    with closing(sqlite3.connect(backend.data_dir / "jobs.sqlite")) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(jobs)") if row[1] not in ("seq", "job_id")]
        same = ", ".join(columns)
        for number, damage in enumerate(DAMAGE.values(), start=100):
            given = (number, f"broken-{number}")
            db.execute(f"INSERT INTO jobs (seq, job_id, {same}) SELECT ?, ?, {same} FROM jobs WHERE seq = 2", given)
            db.execute(damage.replace("seq = 2", f"seq = {number}"))
        db.commit()
    backend.start()
    connect(backend)
    listed = _listed(backend.address)
    assert len(listed) == 3 and sorted(listed.values())[0] == "done"
    kept = list((backend.data_dir / "set-aside").iterdir())
    assert len(kept) == len(DAMAGE)
    for each in kept:
        assert f"was set aside as {each.name}" in backend.output()
        assert bytes.fromhex(json.loads(each.read_text())["kind"]) == b"RenderGuides"
    assert "Traceback" not in backend.output()


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_row_that_cannot_be_read_is_set_aside_and_the_rest_is_served(
    used: Path, make_backend, connect, tmp_path, damage: str
) -> None:
    shutil.copytree(used, tmp_path / "data", ignore=shutil.ignore_patterns("lock"))
    _execute(tmp_path / "data", DAMAGE[damage])
    backend = make_backend().start()
    connect(backend)
    listed = _listed(backend.address)
    assert len(listed) == 2 and "done" in listed.values()
    [kept] = (tmp_path / "data" / "set-aside").iterdir()
    assert f"was set aside as {kept.name}" in backend.output()
    assert bytes.fromhex(json.loads(kept.read_text())["kind"]) == b"RenderGuides"
    assert "Traceback" not in backend.output()


def test_a_job_whose_row_was_set_aside_runs_anew_under_its_id(make_backend, connect, send_clip) -> None:
    """Its client sends it again; the items that it had are in the table and in its folder still."""
    server = make_backend().start()
    client = connect(server)
    job = client.submit(long_job(send_clip(client), 300))
    client.wait_for(lambda e: isinstance(e, ItemReceived) and e.frame > 5, 120)
    with server.held():
        server.kill()
    _execute(server.data_dir, "UPDATE jobs SET request = x'81a178'")
    server.start()
    client.wait_job(job, 120)
    assert len(client.jobs[job].received) == 601
    assert "was set aside" in server.output()


def _listed(address: str) -> dict[str, str]:
    """Phases of this client's jobs, as a peer of its id is told."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(address)
        answers = []
        hello = m.Hello(client_id=OWNER, client_name="raw", major=1, minor=1)
        for number, message in enumerate((hello, m.ListJobs()), start=1):
            socket.send_multipart(framing.encode(message, request_id=number))
            while True:
                assert socket.poll(60_000)
                answer = framing.decode(socket.recv_multipart(), framing.SERVER_DECODERS)
                if answer.header.reply_to == number:
                    answers.append(answer.message)
                    break
        return {job.job_id: job.phase for job in answers[1].jobs}


def _logs_is_a_file(folder: Path) -> None:
    shutil.rmtree(folder / "logs")
    (folder / "logs").write_text("x")


def _secret_is_a_folder(folder: Path) -> None:
    (folder / "operator.secret").unlink(missing_ok=True)
    (folder / "operator.secret").mkdir()


def _pipe_at(name: str) -> Callable[[Path], None]:
    """In place of what a server keeps there: who opens it waits for good."""

    def lay(folder: Path) -> None:
        place = folder / name
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        os.mkfifo(place)

    return lay


def _link_to_nowhere(folder: Path) -> None:
    shutil.rmtree(folder / "jobs")
    (folder / "jobs").symlink_to("nowhere")


def _pipes(*names: str) -> list[tuple[Callable[[Path], None], str]]:
    return [(_pipe_at(name), name) for name in names if os.name == "posix"]


OTHERS = [(_logs_is_a_file, "logs"), (_secret_is_a_folder, "operator.secret"), (_link_to_nowhere, "jobs")]
TOGETHER = [
    [*OTHERS, *_pipes("blobs/owners", "jobs.sqlite", "scratch")],
    _pipes("jobs", "jobs.sqlite-wal", "jobs.sqlite-shm", "logs/worker-cpu.log"),
]
"""What may lie in places of the server's, in as few data folders as hold all of it ..."""
ALONE = [pytest.param([place], id=place[1], marks=pytest.mark.slow) for places in TOGETHER for place in places]
"""... and each by itself."""


@pytest.mark.parametrize("places", [*(pytest.param(each, id=f"{len(each)} places") for each in TOGETHER), *ALONE])
def test_what_lies_in_a_place_of_the_servers_is_set_aside(
    used: Path, make_backend, connect, tmp_path, places: list[tuple[Callable[[Path], None], str]]
) -> None:
    shutil.copytree(used, tmp_path / "data", ignore=shutil.ignore_patterns("lock"))
    for change, _ in places:
        change(tmp_path / "data")
    backend = make_backend().start()
    connect(backend)
    for _, name in places:
        assert os.path.lexists(tmp_path / "data" / f"{name}.aside-1")
        assert f"it was set aside as {Path(name).name}.aside-1" in backend.output()
    until(backend.workers)
    assert "Traceback" not in backend.output()


@pytest.mark.skipif(os.name != "posix", reason="Windows removes no folder whose files are open")
def test_folders_that_somebody_removes_while_it_serves_are_made_again(make_backend, connect, send_clip) -> None:
    backend = make_backend().start()
    client = connect(backend)
    clip = send_clip(client)
    until(backend.workers)
    assert client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(2))), 120).phase == "done"
    for name in ("blobs", "jobs", "logs", "scratch"):
        shutil.rmtree(backend.data_dir / name)
    [worker] = backend.workers()
    worker.kill()
    until(lambda: backend.workers() and worker not in backend.workers())
    clip = replace(clip, focal_px=60.0)  # the new worker has read nothing yet
    with pytest.raises(JobFailed, match="send it again"):
        client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(2))), 240)
    assert client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(2))), 240).phase == "done"
    assert all((backend.data_dir / name).is_dir() for name in ("blobs", "jobs", "logs", "scratch"))


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
@pytest.mark.parametrize(
    "lay",
    [
        os.mkfifo,
        pytest.param(Path.touch, marks=pytest.mark.slow),
        pytest.param(lambda path: path.symlink_to("nowhere"), marks=pytest.mark.slow),
    ],
    ids=["a pipe", "a file", "a link to nowhere"],
)
def test_what_lies_where_uploads_of_one_kind_belong_is_set_aside(
    used: Path, make_backend, connect, send_clip, clip_files, tmp_path, lay: Callable[[Path], None]
) -> None:
    """Else no clip with that beginning of its digest could be used with this backend any more."""
    shutil.copytree(used, tmp_path / "data", ignore=shutil.ignore_patterns("lock"))
    place = tmp_path / "data" / "blobs" / hashlib.sha256(clip_files[0].read_bytes()).hexdigest()[:2]
    shutil.rmtree(place)
    lay(place)
    backend = make_backend().start()
    client = connect(backend, client_id=OWNER)
    for job, phase in _listed(backend.address).items():
        if phase != "done":  # they would run first
            client.ask(m.CancelJob(job_id=job))
    assert client.wait_job(client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(2))), 240).items == 5
    assert os.path.lexists(place.with_name(f"{place.name}.aside-1")) and place.is_dir()


@pytest.mark.skipif(os.name != "posix", reason="makes pipes")
def test_a_pipe_in_place_of_a_result_or_a_log_holds_up_nobody(used: Path, make_backend, connect, tmp_path) -> None:
    """The loop opens both; one job's result is then named as damaged, and the rest is served."""
    shutil.copytree(used, tmp_path / "data", ignore=shutil.ignore_patterns("lock"))
    for path in [*(tmp_path / "data" / "jobs").rglob("000001.bin"), *(tmp_path / "data" / "jobs").rglob("log.txt")]:
        path.unlink()
        os.mkfifo(path)
    backend = make_backend().start()
    client = connect(backend, client_id=OWNER)
    done = next(job for job, phase in _listed(backend.address).items() if phase == "done")
    assert client.ask(m.GetJobLog(job_id=done)).text == ""
    client.follow(done)
    with pytest.raises(RequestRefused, match="Item 1 of job"):
        client.wait_job(done, 120)
    assert isinstance(client.ask(m.GetHealth()), m.Health)


@pytest.mark.skipif(os.name != "posix", reason="permissions of files")
def test_other_users_of_the_machine_cannot_read_the_data_folder(make_backend) -> None:
    backend = make_backend()
    backend.data_dir.mkdir(mode=0o755)
    backend.start()
    assert stat.S_IMODE(backend.data_dir.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "oddity",
    [
        lambda allowed: (allowed / "folder").mkdir(),
        lambda allowed: (allowed / "binary").write_bytes(b"\xff" * 200),
        lambda allowed: (allowed / "empty").write_text(""),
        lambda allowed: (allowed / "huge").write_bytes(b"x" * (1 << 24)),
        lambda allowed: os.symlink(allowed / "nowhere", allowed / "dangling"),
    ],
    ids=["a folder", "no text", "empty", "huge", "a dangling link"],
)
def test_what_is_no_key_among_the_keys_counts_for_nothing(tmp_path, oddity) -> None:
    keys = KeyRing(tmp_path)
    keys.new("alice")
    public = (tmp_path / "keys" / "allowed" / "alice").read_text().strip()
    oddity(tmp_path / "keys" / "allowed")
    assert keys.owner(public) == "alice" and keys.names() == ["alice"]


def test_without_the_folder_of_keys_nobody_is_let_in_until_it_is_back(tmp_path) -> None:
    keys = KeyRing(tmp_path)
    keys.new("alice")
    allowed = tmp_path / "keys" / "allowed"
    public = (allowed / "alice").read_text().strip()
    assert keys.owner(public) == "alice"
    allowed.rename(tmp_path / "away")
    assert keys.owner(public) is None and keys.owner(public) is None
    (tmp_path / "away").rename(allowed)
    assert keys.owner(public) == "alice"
