"""Tests that fail once and pass in a new process are named as unsteady; what fails twice or in numbers fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "run_tests.py"

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


def tried(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    command = [sys.executable, str(SCRIPT), "--kept", "kept", "-q", "-c", "/dev/null", "--rootdir=."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


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
