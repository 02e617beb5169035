"""Conversions between EX-4D's camera space and Blender's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from blender_addon.scene import axes
from blender_addon.work.errors import AddonError


def test_500_px_at_512_is_a_35_mm_lens():
    lens = axes.lens_from_intrinsics((500, 500, 256, 256), width=512, height=512)
    assert lens.lens_mm == pytest.approx(35.15625)
    assert (lens.shift_x, lens.shift_y) == (0, 0)


def test_shot_turn_takes_opencv_to_blender():
    from mathutils import Euler

    turn = np.array(Euler(axes.SHOT_EULER).to_matrix())
    np.testing.assert_allclose(turn @ (1.0, 2.0, 3.0), (1.0, 3.0, -2.0), atol=1e-6)


def test_pose_survives_the_way_to_blender_and_back():
    rng = np.random.default_rng(3)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = q * np.sign(np.linalg.det(q)), rng.normal(size=3)
    shot = np.diag([2.0, 2.0, 2.0, 1.0])
    shot[:3, 3] = (5, -3, 1)
    camera = shot @ axes.blender_from_pose(pose) @ np.diag([0.5, 3.0, 2.0, 1.0])
    np.testing.assert_allclose(axes.pose_from_blender(camera, shot), pose, atol=1e-9)


def test_nan_pose_is_one_sentence_that_names_the_camera():
    bad = np.eye(4)
    bad[0, 3] = math.nan
    with pytest.raises(AddonError, match=r"Camera 'A' at frame 3 holds NaN.*\.$"):
        axes.pose_from_blender(bad, np.eye(4), what="Camera 'A' at frame 3")


@pytest.mark.parametrize("scale", [(-1, 1, 1), (0, 1, 1)])
def test_mirrored_and_flattened_cameras_are_refused(scale):
    with pytest.raises(AddonError, match="scale"):
        axes.pose_from_blender(np.diag([*scale, 1.0]).astype(float), np.eye(4))


def test_sheared_camera_is_refused():
    sheared = np.eye(4)
    sheared[0, 1] = 0.2
    with pytest.raises(AddonError, match="sheared"):
        axes.pose_from_blender(sheared, np.eye(4))


def test_uv_puts_a_vertex_on_its_texel_centre():
    uv = axes.grid_uv(4, 2)
    np.testing.assert_allclose(uv[0], (0.125, 0.75))
    np.testing.assert_allclose(uv[-1], (0.875, 0.25))
