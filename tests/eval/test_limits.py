from __future__ import annotations

import math

import numpy as np
import pytest
from analytic import CARD, look, write_scene

from ex4d.dwmesh import DWMesh
from ex4d.eval import best_thickness, load_scene, save_view, scene_limits
from ex4d_ground.errors import SettingError
from ex4d_ground.options import MeshOptions

ANGLE = 30.0


@pytest.fixture
def orbit_scene(tmp_path):
    """Two frames; in the second the target has gone 30 degrees round the card, to either side."""
    source = look([(0, 0, 0)] * 2)
    targets = {}
    for name, yaw in (("right", -ANGLE), ("left", ANGLE)):
        a = math.radians(yaw)
        eye = (-CARD * math.sin(a), 0, CARD - CARD * math.cos(a))
        targets[name] = look([(0, 0, 0), eye], yaws_deg=[0, yaw])
    return load_scene(write_scene(tmp_path / "orbit", source, targets, kind="orbit"))


def test_the_best_thickness_of_a_card_is_next_to_none(orbit_scene):
    """A card has no depth: any wall behind it that can be seen hides what is true."""
    views = [(target, 1) for target in orbit_scene.targets]
    thickness = best_thickness(orbit_scene.clip, 1, views)
    at_edge = ~np.isnan(DWMesh(orbit_scene.clip, MeshOptions(mode="solid")).thickness(1))
    on_card = orbit_scene.clip.depth[1] < CARD + 1
    assert (at_edge & on_card).any()
    assert np.median(thickness[at_edge & on_card]) < 0.01 * CARD


def test_knowing_the_truth_is_never_worse_than_an_estimate(orbit_scene):
    rows = {r.limit: r for r in scene_limits(orbit_scene, orbit_scene)}
    assert rows["solid"].iou < rows["best thickness"].iou <= 1
    assert rows["nearest pixel"].iou > 0.97
    assert rows["right points"].psnr > rows["solid"].psnr - 0.5
    assert rows["second render"].psnr == 100.0, "the twin is the scene itself"


def test_limits_need_the_targets_depth(tmp_path):
    source, turned = look([(0, 0, 0)] * 2), look([(0, 0, 0)] * 2, yaws_deg=[0, ANGLE])
    folder = write_scene(tmp_path / "blind", source, {"turned": turned}, kind="orbit")
    truth = load_scene(folder).targets[0].truth
    save_view(folder / "turned", turned.frames, None, turned.trajectory, truth)
    (folder / "turned" / "depth.npz").unlink(missing_ok=True)
    with pytest.raises(SettingError, match="turned has no depth"):
        scene_limits(load_scene(folder))
