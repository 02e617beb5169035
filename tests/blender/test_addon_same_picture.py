"""Blender and the backend's rasterizer show the same picture of the same mesh through the same camera."""

from __future__ import annotations

import numpy as np


def test_guide_and_blenders_render_agree(blender, shot, moving_camera, render, guides_of):
    """For roll, off-centre shift, non-square sensor fit and pixels, and animated focal length."""
    from blender_addon.scene import cameras

    move = cameras.sample(blender.context, shot, moving_camera)
    guides = guides_of(move)
    for index in range(5):
        blender.context.scene.frame_set(1 + index)
        picture = render()
        shown, guide = picture[..., 3] > 127, guides["mask"][index]
        assert 0.2 < guide.mean() < 0.98, "the view must show both seen and unseen parts"
        iou = (shown & guide).sum() / (shown | guide).sum()
        assert iou >= 0.99, f"frame {index}: IoU {iou:.4f}"
        both = shown & guide
        error = np.abs(picture[..., :3].astype(int) - guides["colour"][index])[both].mean()
        assert error <= 2.0, f"frame {index}: colour error {error:.2f} of 255"
