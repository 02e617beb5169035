"""The command line, run as a user runs it, on small clips and on the golden scenes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d.cli.app import main
from ex4d.clip import write_video


@dataclass(frozen=True)
class Outcome:
    """What a run left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line on standard error: the sentence an error ends with."""
        return self.err.strip().splitlines()[-1]


@pytest.fixture
def ex4d(capfd) -> Callable[..., Outcome]:
    """Run ``ex4d ARGUMENTS`` through the same entry as the console script, in this process."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def start(*arguments: object, **options) -> subprocess.Popen[str]:
    """Start ``ex4d ARGUMENTS`` as a process of its own."""
    command = [sys.executable, "-m", "ex4d.cli.app", *(str(a) for a in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@dataclass(frozen=True)
class Shot:
    """A clip on disk and what it holds."""

    video: Path
    depth: Path
    frames: np.ndarray
    depth_values: np.ndarray

    @property
    def source(self) -> tuple[object, ...]:
        """The options that name it."""
        return ("--input_video", self.video, "--depth", self.depth)


def write_pngs(folder: Path, frames: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / f"frame_{i + 1}.png"), frame[..., ::-1])
    return folder


@pytest.fixture(scope="session")
def shot(tmp_path_factory) -> Shot:
    """A near square in front of a far wall, 6 frames of 40x56, as MP4 and .npz."""
    folder = tmp_path_factory.mktemp("shot")
    t, h, w = 6, 40, 56
    frames = np.random.default_rng(0).integers(90, 160, (t, h, w, 3), dtype=np.uint8)
    depth = np.full((t, h, w), 6.0, np.float32)
    for i in range(t):
        frames[i, 14:28, 16 + i : 30 + i] = (220, 60, 40)
        depth[i, 14:28, 16 + i : 30 + i] = 2.5
    write_video(folder / "shot.mp4", frames, fps=24)
    np.savez(folder / "depth.npz", depth=depth)
    return Shot(folder / "shot.mp4", folder / "depth.npz", frames, depth)


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    default = Path(__file__).resolve().parents[1] / "golden"
    return Path(os.environ.get("EX4D_GOLDEN_DIR", default)) / "recon"


def golden_presets() -> list[str]:
    """The presets of the golden folder in use; none if there is no such folder (then the test is skipped)."""
    default = Path(__file__).resolve().parents[1] / "golden"
    config = Path(os.environ.get("EX4D_GOLDEN_DIR", default)) / "recon" / "config.json"
    return json.loads(config.read_text())["presets"] if config.is_file() else []
