"""Training as people start it: in processes of their own, killed, and several at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from ex4d.train.loop import train
from ex4d.train.record import LOG, read_log
from ex4d.train.state import checkpoints, newest

ROOT = Path(__file__).parents[2]


def start(config: Path, **more: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "protocol")),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        **more,
    }
    command = [sys.executable, "-m", "ex4d", "train", "run", str(config)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    return out


def curve(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder / LOG) if "loss" in line]


@pytest.fixture
def as_folder(weights, tmp_path) -> str:
    """The tiny weights as a weights folder that a configuration can name."""
    root = tmp_path / "weights"
    root.mkdir()
    (root / "Wan2.1-I2V-14B-480P").symlink_to(weights.base)
    return str(root)


@pytest.mark.slow
def test_killed_twice_it_still_makes_the_same_curve(tiny_config, write_config, as_folder, tmp_path) -> None:
    tables = {"model": {"weights": as_folder}, "train": {"steps": 40}, "output": {"checkpoint_every": 1, "keep": 2}}
    out = finished(start(write_config(tiny_config("whole", **tables), "whole.toml")))
    assert "40 steps" in out
    config, folder = write_config(tiny_config("killed", **tables), "killed.toml"), tmp_path / "killed"
    for least in (3, 12):
        process = start(config)
        while (newest(folder) or Path("step_0")).name < f"step_{least:06d}":
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert len(checkpoints(folder)) >= 1
    finished(start(config))
    assert len(curve(folder)) == 40
    assert curve(folder) == curve(tmp_path / "whole")


def held_out(folder: Path) -> list[float]:
    return [line["held_out"] for line in read_log(folder / LOG) if "held_out" in line]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("kind", ["ddp", pytest.param("fsdp2", marks=pytest.mark.slow)])
def test_two_processes_are_one_with_the_same_global_batch(
    kind, tiny_config, write_config, as_folder, weights, tmp_path
) -> None:
    tables = {"model": {"weights": as_folder}, "train": {"steps": 3}, "output": {"held_out_every": 3}}
    one = tiny_config("one", data={"batch": 2}, **tables)
    train(one, weights=weights)
    two = tiny_config("two", data={"batch": 1}, parallel={"kind": kind}, **tables)
    config = write_config(replace(two), "two.toml")
    port = str(free_port())
    processes = [
        start(config, RANK=str(r), LOCAL_RANK=str(r), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        for r in range(2)
    ]
    outputs = [finished(process) for process in processes]
    assert "3 steps" in outputs[0] and "3 steps" not in outputs[1]
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), rel=1e-4)
    held = [
        [line["held_out"] for line in read_log(tmp_path / name / LOG) if "held_out" in line] for name in ("one", "two")
    ]
    assert held[1] == pytest.approx(held[0], rel=1e-4)
    from safetensors.torch import load_file

    files = [load_file(tmp_path / name / "step_000003" / "ex4d.safetensors") for name in ("one", "two")]
    assert all((files[0][k] - files[1][k]).norm() <= 1e-3 * files[0][k].norm() + 1e-7 for k in files[0])
