"""Pythons and Blender versions: what is installed where, and what a run of the other versions says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from argparse import Namespace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import blender_versions  # noqa: E402
import run_versions  # noqa: E402

sys.path.pop(0)
OWN = "{}.{}".format(*sys.version_info[:2])
TESTS = ROOT / "tests" / "blender"


def test_each_python_gets_the_blender_that_the_tests_are_run_with():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(each) for each in project["optional-dependencies"]["blender"]]
    for python, blender in blender_versions.MAIN.items():
        fitting = [r for r in asked if r.marker is not None and r.marker.evaluate({"python_version": python})]
        assert len(fitting) == 1 and Version(blender) in fitting[0].specifier
        assert f"Programming Language :: Python :: {python}" in project["classifiers"]
        assert (blender, python) in blender_versions.VERSIONS


def test_constraints_give_each_python_the_numpy_that_its_blender_takes():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    numpy = [Requirement(line) for line in lines if line.startswith("numpy==")]
    for python, fits in (("3.11", "<2"), ("3.13", ">=2.2")):
        found = [r for r in numpy if r.marker is not None and r.marker.evaluate({"python_version": python})]
        assert len(found) == 1
        (pin,) = found[0].specifier
        assert Requirement(f"numpy{fits}").specifier.contains(pin.version)


def test_a_python_that_is_found_is_the_one_that_was_asked_for():
    found = blender_versions.find_python("3.99", OWN)
    assert found is not None
    code = "import sys; print(*sys.version_info[:2], sep='.')"
    assert subprocess.check_output([str(found), "-c", code], text=True).strip() == OWN
    assert blender_versions.find_python("3.99") is None


def bare(folder: Path) -> dict[str, str]:
    """An environment in which no Python is found."""
    return {**os.environ, "PATH": str(folder), "PYENV_ROOT": str(folder)}


def test_a_version_whose_python_is_missing_is_left_out_with_a_sentence(tmp_path):
    script = [sys.executable, str(ROOT / "scripts" / "run_versions.py")]
    done = subprocess.run(script, env=bare(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    others = [v for v in blender_versions.VERSIONS if v.blender != blender_versions.MAIN[OWN]]
    assert done.stdout.splitlines() == [
        f"Blender {v.blender} is left out: this machine has no Python {v.python} for it." for v in others
    ]


def test_an_environment_without_its_python_is_one_sentence(tmp_path):
    script = [sys.executable, str(ROOT / "scripts" / "blender_versions.py"), "install", "5.3.0", str(tmp_path / "made")]
    done = subprocess.run(script, env=bare(tmp_path), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "Blender 5.3.0 needs Python 3.13, which this machine lacks.\n")
    assert not (tmp_path / "made").exists()


def test_what_runs_in_the_other_versions_is_there():
    for name in (*run_versions.selected("resting"), *run_versions.selected("brief")):
        file, _, test = name.partition("::")
        text = (TESTS / file).read_text(encoding="utf-8")
        assert not test or re.search(rf"^def {test}\(", text, re.MULTILINE), name
    left_out = {path.name for path in TESTS.glob("test_*.py")} - {
        n.partition("::")[0] for n in run_versions.selected("resting")
    }
    assert left_out <= set(run_versions.SAME_CODE), "a new test runs in every version"


def test_the_usual_run_leaves_out_what_rests_on_no_blender_and_the_slow_run_leaves_out_nothing():
    def asked(place: str, **given: bool) -> run_versions.Amount:
        return run_versions.amount(Namespace(**{"all": False, "brief": False, "whole": False, **given}), place)

    assert asked("newest") == asked("") == asked("oldest", whole=True) == run_versions.RESTING
    assert asked("newest", brief=True) == asked("oldest", brief=True) == run_versions.RESTING
    assert asked("", brief=True) == run_versions.BRIEF
    assert "not any_blender" in run_versions.RESTING.marks and run_versions.RESTING.files == "resting"
    assert asked("newest", whole=True) == run_versions.WHOLE and run_versions.WHOLE.marks == "not slow"
    for place in ("oldest", "", "newest"):
        assert asked(place, all=True).marks == "" and asked(place, all=True).files == "whole"
    assert run_versions.selected("whole") == ["."]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "run_versions.py --all" in makefile.partition("test-slow:")[2].partition("\n\n")[0]


LOUD = """
import sys, traceback
import pytest
pytestmark = [pytest.mark.blender, pytest.mark.feature("edits")]

def loud():
    try:
        raise ValueError("a callback's error")
    except ValueError:
        traceback.print_exc()

def test_quiet():
    print("Info: nothing happened")

def test_loud():
    loud()

@pytest.mark.traceback
def test_loud_on_purpose():
    loud()

def test_skipped():
    pytest.skip("not here")
"""


def test_a_python_error_in_the_console_fails_the_test_and_outcomes_are_counted(tmp_path):
    pytest.importorskip("bpy", reason="the outcomes name Blender's version")
    (tmp_path / "test_loud.py").write_text(LOUD)
    results = tmp_path / "kept" / "results.json"
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "EX4D_BLENDER_RESULTS": str(results)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "console",
        "-p",
        "process_end",
        "-c",
        os.devnull,
        "test_loud.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "test_loud.py::test_loud printed a Python error:" in done.stdout
    assert "a callback's error" in done.stdout
    found = json.loads(results.read_text())
    assert found["features"] == {"edits": {"failed": 1, "passed": 2, "skipped": 1}}
