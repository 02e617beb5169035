"""External depth programs end with the work they were started for, whatever ends that; so does what they started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from backend.conftest import until
from ex4d.depth import guard
from ex4d_protocol.requests import EstimateDepth

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")

TOOL = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import time; time.sleep(600)", sys.argv[-1]]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)  # it leaves the group
time.sleep(600)
"""


def alive(word: str) -> list[psutil.Process]:
    """Processes whose command names ``word``, but for those that only wait to be reaped."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if word in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture
def tool(tmp_path):
    """The program and a word that it and what it starts can be told by; nothing of it may be left."""
    path, word = tmp_path / "tool.py", f"marked-{os.urandom(6).hex()}"
    path.write_text(TOOL)
    yield [sys.executable, str(path), word]
    for process in alive(word):
        process.kill()


HOLDER = "import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE).wait()"


def whole(word: str) -> list[psutil.Process]:
    """The program alone, once both it started are there; none while one still is a copy of who starts it."""
    commands = {process: process.cmdline() for process in alive(word)}
    sleeping = [process for process, command in commands.items() if "time.sleep(600)" in " ".join(command[:3])]
    programs = [process for process, command in commands.items() if command[1:2] and command[1].endswith("tool.py")]
    return programs if len(sleeping) == 2 and len(programs) == 1 else []


@pytest.mark.parametrize("what", ["its input closes", "who wants it is killed", "the guard is killed"])
def test_a_program_and_all_it_started_end(tool, what):
    command = [sys.executable, "-I", "-S", guard.__file__, *tool]
    if "killed" in what:
        command = [sys.executable, "-c", HOLDER, *command]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as started:
        try:
            until(lambda: whole(tool[-1]))
            [program] = whole(tool[-1])
            if what == "the guard is killed":
                # The program itself ends with its guard; what it started has lost everybody who knew of it.
                next(p for p in alive(tool[-1]) if guard.__file__ in p.cmdline() and HOLDER not in p.cmdline()).kill()
                until(lambda: program not in alive(tool[-1]))
                return
            if what == "who wants it is killed":
                started.kill()
            else:
                started.stdin.close()
            until(lambda: not alive(tool[-1]))
        finally:
            started.kill()


def test_what_a_program_leaves_behind_ends_with_it_and_its_exit_is_told(tmp_path):
    word = f"marked-{os.urandom(6).hex()}"
    child = (
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{word}'], start_new_session=True)"
    )
    command = [sys.executable, "-c", f"import subprocess, sys; {child}; sys.exit(7)"]

    def run(command: list[str]) -> tuple[int, bytes]:
        guarded = [sys.executable, "-I", "-S", guard.__file__, *command]
        with subprocess.Popen(guarded, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            said = process.stdout.read()
            return process.wait(60), said

    assert run(command)[0] == 7
    until(lambda: not alive(word))
    died = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    assert run(died)[0] == -9
    code, said = run([str(tmp_path / "none")])
    assert code == guard.CANNOT_START and said.startswith(b"cannot be started (")


OTHER_ENDS = ("worker", "guard", "cancel", "stop like the add-on")


@pytest.mark.parametrize("what", ["server", *(pytest.param(end, marks=pytest.mark.slow) for end in OTHER_ENDS)])
def test_nothing_of_an_estimate_outlives_its_end(make_backend, connect, send_clip, tool, tmp_path, what):
    config = tmp_path / "depth.toml"
    words = ", ".join(f'"{word}"' for word in (*tool[:2], "{frames}", "{output}", tool[2]))
    config.write_text(f'[[estimator]]\nname = "waits"\ncommand = [{words}]\nmeaning = "metric"\nlicence = "t"\n')
    server = make_backend(environment={"EX4D_DEPTH_CONFIG": str(config)}).start()
    client = connect(server)
    job = client.submit(EstimateDepth(video=send_clip(client).video, estimator="waits"))

    def runs() -> bool:
        client.poll(0.05)
        state = client.jobs[job].state
        assert state is None or state.phase in ("queued", "running"), state
        return len(alive(tool[2])) >= 4

    until(runs, 180)
    if what == "server":
        server.kill()
    elif what == "worker":
        server.workers()[0].kill()
    elif what == "guard":
        next(p for p in alive(tool[2]) if guard.__file__ in p.cmdline()).kill()
    elif what == "cancel":
        client.cancel(job)
        until(lambda: client.poll(0.05) is not None and client.jobs[job].final, 60)
    else:
        server.process.terminate()
        time.sleep(0.5)
        server.process.kill()
        server.process.wait(60)
    until(lambda: not alive(tool[2]))


def test_the_guard_needs_no_package(tmp_path):
    """It runs before, after and without everything that the program's environment holds."""
    source = Path(guard.__file__).read_text(encoding="utf-8")
    assert "ex4d" not in source.replace("EX4D", "")
