"""A server that a fault ends is there again on the same port, and nothing is lost; what ends otherwise stays ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from zmtp_reset import PINGS_UNREAD, reset_while_unread

from backend.conftest import Backend, long_job, poses, until
from ex4d_backend.guardian import ENDS_IN_A_ROW, UNEXPECTED, is_fault, is_own_fault, is_wanted
from ex4d_protocol.errors import JobFailed
from ex4d_protocol.events import Connected, JobChanged, UploadProgress
from ex4d_protocol.requests import RenderGuides

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills by signal")
GUARDED = {"EX4D_BACKEND_GUARDIAN": "on"}


def server_of(backend: Backend) -> psutil.Process:
    """The server process; waits while there is none."""
    assert backend.process is not None
    guardian, found = psutil.Process(backend.process.pid), []
    until(lambda: found.extend(p for p in guardian.children() if not is_gone(p)) or found)
    return found[0]


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def workers_of(backend: Backend) -> list[psutil.Process]:
    return [p for p in server_of(backend).children() if "ex4d_backend.worker" in p.cmdline()]


def abort(backend: Backend) -> None:
    """Have the server's libzmq end its process, as a peer that is let in can."""
    server, end = server_of(backend), time.monotonic() + 240
    while not is_gone(server):
        assert time.monotonic() < end, "this libzmq is not to be ended so"
        with suppress(OSError):
            reset_while_unread(backend.address, PINGS_UNREAD)


def test_an_abort_of_the_server_costs_nobody_anything(make_backend, connect, send_clip):
    """With jobs done, running and waiting and an upload under way; no number of such ends makes a job fail."""
    patient = {"EX4D_BACKEND_MAX_ATTEMPTS": "1", "EX4D_BACKEND_WORKER_SILENT_S": "900"}
    server = make_backend(environment={**GUARDED, **patient}).start()
    client, ended = connect(server), server_of(server)
    clip = send_clip(client)
    done = client.submit(RenderGuides(clip=clip, trajectory=poses(3)), fetch=False)
    client.wait_job(done, 120)
    workers_of(server)[0].suspend()  # so that the next job runs still when the server ends
    running, queued = client.submit(long_job(clip, 300)), client.submit(RenderGuides(clip=clip, trajectory=poses(4)))
    client.wait_for(lambda e: isinstance(e, JobChanged) and e.job_id == running and e.state.phase == "running", 120)
    upload = client.upload(os.urandom(1 << 20) * 20)
    client.wait_for(lambda e: isinstance(e, UploadProgress) and e.stage == "send" and e.done, 120)
    abort(server)
    assert client.wait_for(lambda e: isinstance(e, Connected), 120).reconnected
    assert client.wait_uploaded(upload, 120).ref.size == upload.size
    assert client.wait_job(running, 240).attempt == 2 and client.wait_job(queued, 120).attempt == 1
    client.fetch(done)
    assert client.wait_job(done, 120).attempt == 1
    assert [len(client.jobs[job].received) for job in (done, running, queued)] == [7, 601, 9]
    lines = [line for line in server.output().splitlines() if " ex4d_backend.guardian " in line]
    assert lines and all("crashed (a library ended it)" in line and "started again in" in line for line in lines)
    assert server_of(server).pid != ended.pid and server.stop() == 0


def test_a_kill_of_the_server_alone_counts_against_its_running_job(make_backend, connect, send_clip):
    server = make_backend(environment={**GUARDED, "EX4D_BACKEND_MAX_ATTEMPTS": "1"}).start()
    client = connect(server)
    job = client.submit(long_job(send_clip(client)), fetch=False)
    client.wait_for(lambda e: isinstance(e, JobChanged) and e.job_id == job and e.state.phase == "running", 120)
    server_of(server).kill()
    with pytest.raises(JobFailed, match="ended 1 times while this job ran"):
        client.wait_job(job, 240)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_stop_stops_both_and_lets_the_running_job_end(make_backend, connect, send_clip, number):
    server = make_backend(environment={**GUARDED, "EX4D_BACKEND_DRAIN_S": "240"}).start()
    client = connect(server)
    job = client.submit(long_job(send_clip(client), 300), fetch=False)
    client.wait_for(lambda e: getattr(e, "state", None) is not None and e.state.phase == "running", 120)
    inner = server_of(server)
    server.process.send_signal(number)
    assert server.process.wait(280) == 0 and is_gone(inner)
    assert "started again" not in server.output()
    server.environment = {}
    server.start()
    client.fetch(job)
    assert client.wait_job(job, 120).attempt == 1


def test_a_kill_of_the_guardian_ends_the_server_and_its_workers(make_backend):
    server = make_backend(environment=GUARDED).start()
    inner = server_of(server)
    until(inner.children)
    ending = [inner, *inner.children(recursive=True)]
    server.kill()
    until(lambda: all(map(is_gone, ending)))


def test_a_guarded_server_leaves_with_the_program_that_started_it(make_backend):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent:
        server = make_backend(environment=GUARDED, arguments=["--exit-with-parent", str(parent.pid)]).start()
    assert server.process.wait(120) == 0


CRASHING = """
import os, sys
from ex4d_backend.guardian import Guarded, Guardian
from ex4d_ground.errors import Ex4dError
if Guarded().by_guardian:
    print("started", flush=True)
    {end}
try:
    sys.exit(Guardian(wait_s=0.001).run())
except Ex4dError as error:
    sys.exit(str(error))
"""


def crashing(tmp_path: Path, end: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "program.py"
    script.write_text(CRASHING.format(end=end))
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.parametrize(("end", "how"), [("os.abort()", "crashed (a library ended it)"), ("sys.exit(70)", "70")])
def test_a_server_that_crashes_again_and_again_ends_in_one_sentence(tmp_path, end, how):
    result = crashing(tmp_path, end)
    assert result.returncode == 1 and result.stdout.count("started") == ENDS_IN_A_ROW
    assert f"ended {ENDS_IN_A_ROW} times in a row" in result.stderr.splitlines()[-1] and how in result.stderr


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_what_ends_with_a_sentence_of_its_own_is_not_started_again(tmp_path, code):
    result = crashing(tmp_path, f"sys.exit({code})")
    assert result.returncode == code and result.stdout.count("started") == 1 and not result.stderr


def test_a_damaged_address_of_the_server_before_is_no_hindrance(make_backend):
    """The file is the guardian's own; whatever lies there, the server starts."""
    server = make_backend(environment=GUARDED).start()
    noted = server.data_dir / "guarded"
    assert noted.read_text().endswith(f" {server.address}\n")
    noted.unlink()
    os.mkfifo(noted)
    server_of(server).kill()
    until(lambda: "is started again" in server.output() and server.output().count(" listens on ") == 2)
    assert noted.is_file()
    assert server.stop() == 0


def test_faults_are_told_from_orders():
    assert all(map(is_fault, (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGKILL, UNEXPECTED)))
    assert not any(map(is_fault, (0, 1, 2, 3, -signal.SIGTERM, -signal.SIGINT)))
    assert all(map(is_own_fault, (-signal.SIGABRT, -signal.SIGSEGV, UNEXPECTED))) and not is_own_fault(-signal.SIGKILL)


@pytest.mark.parametrize(
    ("choice", "parent", "terminal", "wanted"),
    [
        ("auto", None, True, True),
        ("auto", 1234, False, True),
        ("auto", None, False, False),
        ("on", None, False, True),
        ("off", 1234, True, False),
    ],
)
def test_who_gets_a_guardian(monkeypatch, choice, parent, terminal, wanted):
    ours, theirs = os.openpty() if terminal else os.pipe()
    with open(ours, "rb", buffering=0) as one, open(theirs, "rb", buffering=0) as other:
        monkeypatch.setattr(sys, "stdin", other if terminal else one)
        assert is_wanted(choice, parent=parent) is wanted


def test_a_program_that_starts_it_gets_the_server_itself(make_backend):
    server = make_backend(environment={"EX4D_BACKEND_GUARDIAN": "auto"}).start()
    until(lambda: any("ex4d_backend.worker" in p.cmdline() for p in psutil.Process(server.process.pid).children()))
