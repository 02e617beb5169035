"""Child processes of a kind of the test's own, under the supervisor that starts workers and the live process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
import zmq

from backend.conftest import ended, until
from ex4d_backend.child_messages import Beat, Ready
from ex4d_backend.settings import ServerSettings
from ex4d_backend.supervisor import ChildProcess, Supervisor

CHILD = """
import subprocess, sys, time
from ex4d_backend.child import child_arguments, connect_to_server
from ex4d_backend.child_messages import Quit, Ready

parser = child_arguments("odd_child")
parser.add_argument("--token", default="")
parser.add_argument("--program", action="store_true")
parser.add_argument("--silent", action="store_true")
args = parser.parse_args()
server = connect_to_server(args)
print("it speaks", flush=True)
if args.program:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
server.send(Ready(token=args.token or server.token))
while args.silent:
    time.sleep(1)
while not any(isinstance(message, Quit) for message in server.hear(1.0)):
    pass
"""


class OddChild(ChildProcess):
    """Notes what it is told."""

    def __init__(self, supervisor: Supervisor, *arguments: str, environment: dict[str, str], silent_s: float = 20.0):
        super().__init__(
            supervisor, "odd one:1", "odd_child", arguments=arguments, environment=environment, silent_s=silent_s
        )
        self.beats, self.ends = 0, []

    def on_message(self, message, blobs) -> None:
        self.beats += isinstance(message, Beat)

    def on_end(self, reason: str) -> None:
        self.ends.append(reason)


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    (tmp_path / "odd_child.py").write_text(CHILD)
    return {"PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))}


@pytest.fixture
def supervise(tmp_path) -> Iterator:
    with zmq.Context() as context:
        made: list[Supervisor] = []

        def supervise(**settings) -> Supervisor:
            made.append(Supervisor(ServerSettings(data_dir=str(tmp_path / "data"), **settings), context))
            return made[-1]

        yield supervise
        for supervisor in made:
            supervisor.shut_down()


def wait(supervisor: Supervisor, condition, timeout_s: float = 120.0) -> None:
    def step() -> object:
        supervisor.poll()
        if supervisor.socket.poll(10):
            supervisor.handle()
        return condition()

    until(step, timeout_s)


def odd_processes() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):  # another test's, that has ended and waits to be reaped
            if "odd_child" in process.cmdline():
                found.append(process)
    return found


def test_a_child_is_heard_replaced_when_it_dies_and_asked_to_leave(supervise, environment, tmp_path):
    supervisor = supervise()
    child = OddChild(supervisor, environment=environment)
    assert not child.running
    wait(supervisor, lambda: child.ready and child.beats)
    [process] = odd_processes()
    assert (tmp_path / "data" / "logs" / "odd-one-1.log").read_text() == "it speaks\n"
    os.kill(process.pid, signal.SIGKILL)
    wait(supervisor, lambda: child.ends)
    assert "was killed from outside" in child.ends[0] and child.last_failure == child.ends[0]
    wait(supervisor, lambda: child.ready)
    assert child.last_failure == ""
    [process] = odd_processes()
    supervisor.shut_down()
    assert not process.is_running() and len(child.ends) == 1, "a child that leaves as it was asked has not failed"
    supervisor.children.clear()


def test_a_child_without_its_token_is_not_heard_and_killed_when_it_does_not_become_ready(supervise, environment):
    supervisor = supervise(worker_ready_s=2.0)
    child = OddChild(supervisor, "--token", "sørprise", environment=environment)
    wait(supervisor, lambda: child.ends)
    assert child.ends == ["did not become ready within 2 seconds"] and not child.beats


def test_a_silent_child_is_killed_and_so_is_what_it_started(supervise, environment):
    supervisor = supervise()
    child = OddChild(supervisor, "--silent", "--program", environment=environment, silent_s=1.0)
    wait(supervisor, lambda: child.ready)
    [process] = odd_processes()
    programs = process.children()
    wait(supervisor, lambda: child.ends)
    assert child.ends == ["was silent for 1 seconds"]
    assert programs
    until(lambda: all(ended(p) for p in [process, *programs]), 60)


def test_a_child_that_keeps_failing_is_started_ever_more_seldom(supervise, environment):
    supervisor = supervise()
    child = OddChild(supervisor, "--no-such-option", environment=environment)
    seen_alive = 0.0

    def third_end() -> bool:
        nonlocal seen_alive
        if len(child.ends) < 3:
            seen_alive = time.monotonic()
        return len(child.ends) == 3

    wait(supervisor, third_end)
    assert child.ends == ["left with exit code 2"] * 3
    assert child.start_at - seen_alive > 0.4
    child.works()
    wait(supervisor, lambda: len(child.ends) == 4)
    assert child.start_at - time.monotonic() < 0.3


def test_a_ready_message_of_a_stranger_changes_nothing(supervise, environment):
    supervisor = supervise()
    child = OddChild(supervisor, environment=environment)
    wait(supervisor, lambda: child.ready)
    identity = child.identity
    child.take(identity, Beat(), [])
    assert supervisor._sender(b"other", Ready(token=child.token)) is None
    assert supervisor._sender(b"other", Beat()) is None
    assert child.identity == identity
