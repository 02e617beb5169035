"""The example scripts never delete or replace what they did not make."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import load_clip, write_video
from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d_ground.cameras import Trajectory
from ex4d_ground.options import MeshOptions

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture
def clip(tmp_path) -> tuple[Path, Path]:
    frames = np.random.default_rng(1).integers(90, 160, (4, 40, 48, 3), np.uint8)
    depth = np.full((4, 40, 48), 4000, np.uint16)
    depth[:, 10:20, 10:20] = 2000
    write_video(tmp_path / "clip.mp4", frames, fps=12)
    np.save(tmp_path / "depth.npy", depth)
    return tmp_path / "clip.mp4", tmp_path / "depth.npy"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def finished(out: Path) -> dict[str, bytes]:
    """A folder as an earlier run left it."""
    for name in ("demo.blend", "demo_ex4d/clip/mesh.pc2", "take_001/frame_0001.png", "take_001/take.json",
                 "take_001.mp4", "summary.json", "contact_sheet.png", "notes.txt"):  # fmt: skip
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tree(out)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("depth", "There is no depth at "),
        ("clip", "There is no video at "),
        ("settings", "--settings is no JSON"),
        ("scale", "--scale must be a positive number"),
    ],
)
def test_a_mistyped_command_costs_nothing_that_was_there(clip, tmp_path, wrong, sentence) -> None:
    video, depth = clip
    before = finished(tmp_path / "out")
    if wrong == "depth":
        depth = tmp_path / "depht.npy"
    if wrong == "clip":
        video = tmp_path / "clpi.mp4"
    more = {"settings": ("--settings", "{steps"), "scale": ("--scale", "0")}.get(wrong, ())
    done = run("headless.py", video, depth, "30", tmp_path / "out", *more)
    assert done.returncode == 2 and done.stderr.startswith(sentence) and len(done.stderr.splitlines()) == 1
    assert tree(tmp_path / "out") == before
    if wrong in ("depth", "clip"):
        done = run("demo.py", "--clip", video, "--depth", depth, "--output", tmp_path / "out")
        assert done.returncode == 2 and sentence in done.stderr and tree(tmp_path / "out") == before


def test_nothing_is_made_where_the_inputs_are_wrong(clip, tmp_path) -> None:
    assert run("headless.py", clip[0], tmp_path / "no.npz", "30", tmp_path / "new").returncode == 2
    assert not (tmp_path / "new").exists()


def test_from_the_source_camera_everything_of_the_example_is_seen() -> None:
    """What the demo shows at its first frame: its occluders are solid, and its camera begins at the source's."""
    clip = load_clip(EXAMPLES / "clip.mp4", EXAMPLES / "depth.npz", num_frames=2)
    mesh, k = DWMesh(clip, MeshOptions(mode="solid")), clip.intrinsics
    still = Trajectory(np.eye(4)[None], np.array([[k.fx, k.fy, k.cx, k.cy]]), np.zeros(1), k.width, k.height)
    assert render_guides(mesh, still, rasterizer="cpu").mask.all()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs the bpy wheel")
def test_a_second_demo_lies_beside_the_first(clip, tmp_path) -> None:
    video, depth = clip
    before = finished(tmp_path / "out")
    given = ("--clip", video, "--depth", depth, "--scale", "0.001", "--fill", "--output", tmp_path / "out")
    done = run("demo.py", *given)
    assert done.returncode == 0, done.stdout + done.stderr
    after = tree(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    summary = json.loads(after["summary_002.json"])
    assert Path(summary["blend"]) == tmp_path / "out" / "demo_002.blend" and Path(summary["take"]).name == "take_002"
    assert summary["coverage"][0] == 1.0, "at the source camera, solid occluders hide nothing"
    assert {"contact_sheet_002.png", "take_002.mp4", "take_002/take.json"} <= set(after)
