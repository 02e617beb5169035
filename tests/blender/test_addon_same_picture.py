"""Blender and the backend's rasterizer show the same picture of the same mesh through the same camera."""

from __future__ import annotations

import numpy as np
import pytest
from small_clip import png_bytes

from ex4d_ground.files import frame_name

pytest.importorskip("ex4d.guides", reason="compares with the library's guides, which this environment lacks")


def test_guide_and_blenders_render_agree(blender, shot, small_clip, moving_camera, render):
    """For roll, off-centre shift, non-square sensor fit and pixels, and animated focal length."""
    from blender_addon.scene import cameras as camera
    from blender_addon.work import files
    from ex4d.dwmesh import DWMesh
    from ex4d.guides import render_guides
    from ex4d.types import Clip
    from ex4d_ground.cameras import Intrinsics, Trajectory

    _, height, width = small_clip.size
    focal = small_clip.focal_px
    clip = Clip(small_clip.frames, small_clip.depth, Intrinsics(focal, focal, width / 2, height / 2, width, height))
    mesh = DWMesh(clip)
    folder = files.shot_folder(blender.data.filepath, "clip")
    for t in range(5):  # the mesh's own visibility in place of the fixture's simple one
        visible = mesh.vertex_visible(t).reshape(height, width).astype(np.uint8) * 255
        files.write_whole(folder / files.VISIBLE_FOLDER / frame_name(t), png_bytes(visible))
    found = camera.sample(blender.context, shot, moving_camera)
    guides = render_guides(
        mesh, Trajectory(found.world_from_camera, found.intrinsics, found.source_time, found.width, found.height)
    )
    for index in range(5):
        blender.context.scene.frame_set(1 + index)
        picture = render()
        shown, guide = picture[..., 3] > 127, guides.mask[index]
        assert 0.2 < guide.mean() < 0.98, "the view must show both seen and unseen parts"
        iou = (shown & guide).sum() / (shown | guide).sum()
        assert iou >= 0.99, f"frame {index}: IoU {iou:.4f}"
        both = shown & guide
        error = np.abs(picture[..., :3].astype(int) - guides.colour[index])[both].mean()
        assert error <= 2.0, f"frame {index}: colour error {error:.2f} of 255"
