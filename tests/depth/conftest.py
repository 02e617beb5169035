"""Clips with true depth: ray-cast ones, the example clip, and three of other Blender scenes."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d.clip import read_video
from ex4d_ground.cameras import Intrinsics

from . import rendered, scenes

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 14  # well beyond the temporal filter's window of 9, within which all frames share one fitted line


@pytest.fixture(scope="session", autouse=True)
def one_thread_for_tiny_models():
    """Handing tiny work to another thread costs more than the work; on a busy machine twenty times as much."""
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> Path:
    root = Path(os.environ.get("EX4D_GOLDEN_DIR", ROOT / "tests" / "golden"))
    return root / "depthcrafter_tiny"


@pytest.fixture(scope="session")
def raycast_clips():
    """name -> (frames, depth, lens)."""
    return {scene.name: scenes.render(scene, frames=FRAMES) for scene in scenes.SCENES}


@pytest.fixture(scope="session")
def blender_clips():
    """The example at half size, and three scenes under a moving camera: name -> (frames, depth, lens)."""
    folder = ROOT / "examples"
    camera = json.loads((folder / "camera.json").read_text())
    frames, _ = read_video(folder / "clip.mp4", num_frames=FRAMES)
    with np.load(folder / "depth.npz") as stored:
        depth = stored["depth"][:FRAMES].astype(np.float32)
    small = np.stack([cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in frames])
    lens = Intrinsics.from_fov(small.shape[2], small.shape[1], camera["fov_deg"])
    return {"example": (small, depth[:, ::2, ::2].copy(), lens)} | {n: rendered.load(n) for n in rendered.CLIPS}
