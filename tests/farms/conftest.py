"""A small folder of shots, and the command as machines of a farm find it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import write_video
from ex4d_ground.shot_files import write_shot

NAMES = ("010", "020", "sh 030")


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Video and depth of three frames of 40x56."""
    folder = tmp_path_factory.mktemp("clip")
    frames = np.random.default_rng(0).integers(90, 160, (3, 40, 56, 3), dtype=np.uint8)
    write_video(folder / "plate.mp4", frames, fps=24)
    np.savez(folder / "depth.npz", depth=np.full((3, 40, 56), 6.0, np.float32))
    return folder


@pytest.fixture
def shots(clip_folder: Path, tmp_path: Path) -> Path:
    """A folder with three shots of the preview engine."""
    for seed, name in enumerate(NAMES):
        own = {"input_video": "plate.mp4", "depth": "depth.npz", "cam": "orbit_left", "amount": 5, "engine": "preview"}
        write_shot(tmp_path / "shots" / name, {**own, "seed": seed})
        for file in clip_folder.iterdir():
            shutil.copy(file, tmp_path / "shots" / name)
    return tmp_path / "shots"


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """A program that is ``ex4d`` of this checkout."""
    path = tmp_path / "ex4d-here"
    lines = ["#!/bin/sh", f'PYTHONPATH="{os.pathsep.join(filter(None, sys.path))}"', "export PYTHONPATH"]
    path.write_text("\n".join([*lines, f'exec "{sys.executable}" -m ex4d "$@"', ""]), encoding="utf-8")
    path.chmod(0o755)
    return path
