"""The scene generator as people run it: in its own process with Blender, on the smallest scene that says something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ex4d.eval import Variant, evaluate_variants, load_scene, true_visibility

pytestmark = pytest.mark.blender
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_scenes.py"
SIZE, CAMERA_HEIGHT, TILT_DEG, FOV_DEG = 48, 1.5, 4.0, 54.22


@pytest.fixture(scope="module")
def figures(tmp_path_factory) -> Path:
    pytest.importorskip("bpy", reason="the 'blender' extra is not installed")
    out = tmp_path_factory.mktemp("scenes")
    options = [
        "--scenes",
        "figures",
        "--moves",
        "orbit_right_30",
        "--size",
        str(SIZE),
        "--frames",
        "2",
        "--samples",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(out), *options, "--seed", "3"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return out / "figures_3"


def test_depth_is_the_distance_along_the_axis(figures):
    """The floor's z-depth follows from the camera's height and tilt alone; ray length would be up to 13 % more."""
    depth = load_scene(figures).clip.depth[0]
    focal = SIZE / 2 / np.tan(np.radians(FOV_DEG) / 2)
    tilt = np.radians(TILT_DEG)
    y = (np.arange(SIZE) + 0.5 - SIZE / 2) / focal
    floor = CAMERA_HEIGHT / (np.sin(tilt) + y * np.cos(tilt))
    bottom = slice(SIZE - 3, SIZE)
    assert depth[bottom, :8] == pytest.approx(np.repeat(floor[bottom, None], 8, axis=1), rel=1e-3)


def test_cameras_depth_and_visibility_fit_together(figures):
    scene = load_scene(figures)
    target = scene.targets[0]
    assert target.kind == "orbit"
    assert target.angle_deg == pytest.approx([0, 30], abs=0.2)
    assert np.allclose(target.depth[0], scene.clip.depth[0], rtol=1e-3)
    # A line of sight may graze the surface it starts from, at a few silhouette pixels.
    assert target.truth.visible[0].mean() > 0.995
    assert 0.3 < target.truth.visible[1].mean() < 0.95


def test_two_ways_to_true_visibility_agree(figures):
    """Lines of sight in Blender, and reprojected depth as used for recordings that bring no truth of their own."""
    scene = load_scene(figures)
    target = scene.targets[0]
    reprojected = true_visibility(scene.clip, target.trajectory, target.depth)
    assert np.array_equal(reprojected.unknowable, target.truth.unknowable)
    assert (reprojected.visible == target.truth.visible)[1].mean() > 0.95


def test_things_move_between_frames(figures):
    clip = load_scene(figures).clip
    moved = np.abs(clip.depth[1] - clip.depth[0]) > 0.05
    assert 0.005 < moved.mean() < 0.5


def test_guides_reproduce_the_source_view(figures):
    (score,) = evaluate_variants(load_scene(figures), [Variant("endless")])
    same, turned = score.frames
    assert same.precision > 0.99
    assert same.psnr > turned.psnr
    assert turned.false_visible_known < 0.1
