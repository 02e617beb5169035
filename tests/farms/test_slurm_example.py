"""The Slurm example, run by submitit's local executor: tasks are processes of their own, as on a cluster."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ex4d_ground.farms import FarmJob

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "slurm.py"
RUN_S = 240


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE), *map(str, arguments), "--cluster", "local"]
    return subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)


def test_every_shot_is_made_and_one_that_fails_is_named(shots: Path, command: Path) -> None:
    shutil.rmtree(shots / "020")
    (shots / "sh 030" / "plate.mp4").unlink()
    done = run(shots, "--command", command, "--option=--num_frames=2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of 2 shots are made" in done.stdout
    assert len(list((shots / "010" / "take_001").glob("*.png"))) == 2
    assert done.stderr.startswith("sh 030 failed; its output is in ")
    log = Path(done.stderr.strip().splitlines()[0].removeprefix("sh 030 failed; its output is in "))
    assert "There is no file or folder" in log.read_text()


def test_windows_are_a_chain_and_options_go_along(shots: Path, tmp_path: Path) -> None:
    shutil.rmtree(shots / "020")
    said = tmp_path / "said.txt"
    program = tmp_path / "says"
    program.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    program.chmod(0o755)
    done = run(shots, "--command", program, "--windows", 3, "--option=--seed=4", "--logs", tmp_path / "logs")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.removeprefix("run ") for line in said.read_text().splitlines()]
    for name in ("010", "sh 030"):
        own = [line.removeprefix(str(shots / name)) for line in lines if line.startswith(str(shots / name))]
        assert own == [" --windows 1 --seed=4", " --windows 2 --seed=4", " --seed=4"]
    stages = ["--windows 1" in line for line in lines], ["--windows 2" in line for line in lines]
    assert stages == ([True, True, False, False, False, False], [False, False, True, True, False, False])
    kept = sorted((tmp_path / "logs").glob("*_submitted.pkl"))
    assert len(kept) == 6


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLE.parent))
    found = importlib.import_module("slurm")
    sys.modules.pop("slurm")
    return found


def test_slurm_is_given_arrays_whose_tasks_wait_one_by_one(
    shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: ModuleType
) -> None:
    """Of Slurm only what answers to a submission is here: what it would be given is looked at."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text(f'#!/bin/sh\ncat "$1" >> {tmp_path}/asked\necho Submitted batch job 77\n')
    (programs / "srun").write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    given = [str(shots), "--windows", "2", "--partition", "gpu", "--gpus", "2", "--memory", "64", "--hours", "1.5"]
    job = FarmJob.of(shots, windows=2)
    tasks = example.submit(job, example.parser().parse_args([*given, "--at_once", "2"]), tmp_path / "logs")
    assert {shot: [part.job_id for part in parts] for shot, parts in tasks.items()} == {
        name: [f"77_{i}", f"77_{i}"] for i, name in enumerate(job.shots)
    }
    asked = [line.removeprefix("#SBATCH --") for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked.count("array=0-2%2") == 2 and asked.count("dependency=aftercorr:77") == 1
    for line in ("partition=gpu", "gpus-per-node=2", "mem=64GB", "time=90"):
        assert asked.count(line) == 2, asked


def test_a_task_that_the_cluster_stops_is_queued_again_as_it_was(example: ModuleType) -> None:
    again = example.RunShot(["ex4d", "run", "shots/010"]).checkpoint()
    assert again.function.command == ["ex4d", "run", "shots/010"]
    assert not again.args


def test_a_folder_without_shots_is_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {tmp_path} holds no shots")
