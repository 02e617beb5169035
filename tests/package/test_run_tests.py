"""Tests that fail once and pass in a new process are named as unsteady; what fails twice or in numbers fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "run_tests.py"


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """The processes are pytest's own: loading what is installed beside it takes longer than their tests."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


ONCE = """
from pathlib import Path

def test_steady():
    pass

def test_fails_in_the_first_process_alone():
    mark = Path(__file__).with_name("been")
    if not mark.exists():
        mark.touch()
        raise AssertionError("the first time")
"""
ALWAYS = "def test_always():\n    assert False\n"
MANY = "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_many(n):\n    assert False\n"
GOOD = "def test_good():\n    assert True\n"
FIRST_TIME = """
from pathlib import Path

def first_time():
    mark = Path(__file__).with_name("been")
    been, _ = mark.exists(), mark.touch()
    return not been
"""
AT_THE_END = (
    FIRST_TIME
    + """
import pytest

@pytest.fixture(scope="module")
def place():
    yield
    assert not first_time()

def test_first(place):
    pass

def test_last(place):
    pass
"""
)
SKIPS_LATER = (
    FIRST_TIME
    + """
import pytest

def test_fails_and_is_skipped_then():
    if not first_time():
        pytest.skip("what it needs is gone")
    assert False
"""
)
CRASHES = "import os, signal\ndef test_crash():\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
WAITS = """
import time
from pathlib import Path
import pytest

@pytest.fixture
def place():
    yield
    Path(__file__).with_name("torn_down").touch()

def test_waits(place):
    Path(__file__).with_name("waits").touch()
    time.sleep(600)
"""


COMMAND = [sys.executable, str(SCRIPT), "--kept", "kept", "-q", "-c", "/dev/null", "--rootdir=."]


def written(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)


def tried(folder: Path, *options: str, **files: str) -> subprocess.CompletedProcess[str]:
    written(folder, **files)
    return subprocess.run([*COMMAND, *options], cwd=folder, capture_output=True, text=True, timeout=280)


def test_a_test_that_fails_once_is_run_again_and_named(tmp_path):
    done = tried(tmp_path, once=ONCE, good=GOOD)
    named = "test_once.py::test_fails_in_the_first_process_alone"
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"UNSTEADY: these failed and passed the second time; mend them: {named}" in done.stdout
    assert (tmp_path / "kept" / "unsteady.txt").read_text() == named + "\n"
    again = done.stdout.split("run once more")[1]
    assert "2 passed" in again, "the whole file runs again, and no other"
    done = tried(tmp_path)
    assert done.returncode == 0 and "UNSTEADY" not in done.stdout
    assert not (tmp_path / "kept" / "unsteady.txt").exists()


@pytest.mark.parametrize(("files", "again"), [({"always": ALWAYS, "good": GOOD}, True), ({"many": MANY}, False)])
def test_what_fails_twice_or_in_numbers_fails(tmp_path, files, again):
    done = tried(tmp_path, **files)
    assert done.returncode == 1 and ("run once more" in done.stdout) == again, done.stdout + done.stderr
    assert not (tmp_path / "kept" / "unsteady.txt").exists()


def test_a_run_that_cannot_be_made_is_not_made_again(tmp_path):
    done = tried(tmp_path, broken="import nothing_of_that_name\n")
    assert done.returncode == 2 and "run once more" not in done.stdout


def test_what_fails_in_teardown_is_run_again_like_any_other(tmp_path):
    done = tried(tmp_path, end=AT_THE_END, good=GOOD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "kept" / "unsteady.txt").read_text() == "test_end.py::test_last\n"


def test_what_is_skipped_the_second_time_has_not_passed(tmp_path):
    done = tried(tmp_path, later=SKIPS_LATER, good=GOOD)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED, and not run the second time: test_later.py::test_fails_and_is_skipped_then" in done.stdout
    assert not (tmp_path / "kept" / "unsteady.txt").exists()


def test_a_run_that_stopped_at_its_first_failure_is_not_made_whole_by_a_second(tmp_path):
    """The tests behind it have not run."""
    done = tried(tmp_path, "-x", once=ONCE, zero=ALWAYS)
    assert done.returncode == 1 and "run once more" not in done.stdout, done.stdout + done.stderr


def test_a_crash_is_told_and_not_run_again(tmp_path):
    done = tried(tmp_path, crash=CRASHES, once=ONCE)
    assert done.returncode not in (0, 1) and "run once more" not in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_who_stops_it_stops_pytest_and_fixtures_are_torn_down(tmp_path, how):
    written(tmp_path, waits=WAITS)
    run = subprocess.Popen(
        COMMAND, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True,
        # As a shell starts what is to run beside something else: a terminal's Ctrl-C would reach it in vain.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    end = time.monotonic() + 240
    while not (tmp_path / "waits").exists():
        assert time.monotonic() < end and run.poll() is None
        time.sleep(0.01)
    if how == "Ctrl-C":  # a terminal sends it to all
        os.killpg(run.pid, signal.SIGINT)
    else:
        run.terminate()
    said, _ = run.communicate(timeout=240)
    assert run.returncode == 2 and (tmp_path / "torn_down").exists(), said
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)


STOPS_EARLY = """
import sys, types
import process_end

sys.modules["bpy"] = types.ModuleType("bpy")

def pytest_configure(config):
    process_end.register(config, process_end)

def pytest_{when}(session):
    raise OSError("no space left on device")
"""


@pytest.mark.parametrize("when", ["sessionstart", "sessionfinish"])
def test_a_session_that_breaks_beside_its_tests_does_not_end_as_if_all_were_well(tmp_path, when):
    """Where Blender is in the process, it ends before the interpreter does, with the session's own exit code."""
    (tmp_path / "conftest.py").write_text(STOPS_EARLY.format(when=when))
    written(tmp_path, good=GOOD)
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1] / "tests")}
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir=.", "test_good.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode != 0 and "no space left" in done.stdout + done.stderr, done.stdout + done.stderr


RUNS_A_PROGRAM = """
import sys
import run_versions

with run_versions.stoppable():
    code = run_versions.wait([sys.executable, "-c", "import time; print('runs', flush=True); time.sleep(600)"])
    print("ended with", code, flush=True)
    print("then", run_versions.wait(["must", "not", "be", "started"]), flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_runs_in_other_blenders_end_with_who_started_them_in_the_background(number):
    """A shell has a program that it starts in the background ignore Ctrl-C."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
    run = subprocess.Popen(
        [sys.executable, "-c", RUNS_A_PROGRAM], env=environment, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert run.stdout is not None and run.stdout.readline() == "runs\n"
    run.send_signal(number)
    assert run.communicate(timeout=240)[0] == "ended with -9\nthen -9\n"


def test_errors_beside_those_of_failed_tests_are_seen_in_a_log(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from run_versions import beside_failures

    log = (
        "Traceback one\n..F\n=== FAILURES ===\nTraceback two\n== short test summary info ==\nSKIPPED\nTraceback three\n"
    )
    assert beside_failures(log).count("Traceback") == 2 and "two" not in beside_failures(log)
    assert beside_failures("all well\n") == "all well\n"
