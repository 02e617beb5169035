"""Clips with true depth: ray-cast ones, the example clip, and three small Blender renders of other scenes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d.clip import read_video
from ex4d.types import Intrinsics

from . import scenes

ROOT = Path(__file__).resolve().parents[2]
BLENDER_CLIPS = (("street", "dolly"), ("interior", "roll"), ("clutter", "orbit_right_30"))
SIZE, FRAMES = 160, 8
FAR = 60.0


@pytest.fixture(scope="session")
def golden() -> Path:
    root = Path(os.environ.get("EX4D_GOLDEN_DIR", ROOT / "tests" / "golden"))
    return root / "depthcrafter_tiny"


@pytest.fixture(scope="session")
def raycast_clips():
    """name -> (frames, depth, lens)."""
    return {scene.name: scenes.render(scene, frames=12) for scene in scenes.SCENES}


@pytest.fixture(scope="session")
def example_clip():
    """The first frames of the example clip at half size: (frames, depth, lens)."""
    folder = ROOT / "examples"
    camera = json.loads((folder / "camera.json").read_text())
    frames, _ = read_video(folder / "clip.mp4", num_frames=12)
    with np.load(folder / "depth.npz") as stored:
        depth = stored["depth"][:12].astype(np.float32)
    small = np.stack([cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in frames])
    return small, depth[:, ::2, ::2].copy(), Intrinsics.from_fov(small.shape[2], small.shape[1], camera["fov_deg"])


@pytest.fixture(scope="session")
def blender_clips():
    """Three scenes under a moving camera, rendered by Blender: name -> (frames, depth, lens)."""
    pytest.importorskip("bpy")
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from scenes import blend, catalogue, moves, render  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.pop(0)
    clips = {}
    for name, move in BLENDER_CLIPS:
        scene = catalogue.build(name, 3)
        quality = render.Quality(samples=2)
        render.setup(SIZE, SIZE, quality)
        camera = blend.camera("target")
        render.world_from_camera(scene.camera)  # brings the source camera's matrix up to date before it is copied
        frames, depths = [], []
        for t in range(FRAMES):
            u = t / (FRAMES - 1)
            scene.update(u)
            moves.place(camera, moves.MOVES[move], scene, 0.35 * u)  # about one degree or three per cent a frame
            frames.append(render.render_colour(camera, quality))
            depths.append(np.minimum(render.render_depth(camera), FAR))
        fx, fy, cx, cy = render.intrinsics(camera, SIZE, SIZE)
        lens = Intrinsics(fx, fy, cx, cy, SIZE, SIZE)
        clips[f"{name} {move}"] = np.stack(frames), np.stack(depths).astype(np.float32), lens
    return clips
