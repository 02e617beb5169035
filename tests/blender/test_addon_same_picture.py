"""Blender and the backend's rasterizer show the same picture of the same mesh through the same camera."""

from __future__ import annotations

import numpy as np
from small_clip import png_bytes

from ex4d_ground.files import frame_name


def test_guide_and_blenders_render_agree(blender, shot, small_clip, moving_camera, render, reference, tmp_path):
    """For roll, off-centre shift, non-square sensor fit and pixels, and animated focal length."""
    from blender_addon.scene import cameras
    from blender_addon.work import files

    move = cameras.sample(blender.context, shot, moving_camera)
    np.savez(
        tmp_path / "asked.npz", frames=small_clip.frames, depth=small_clip.depth, focal_px=small_clip.focal_px,
        world_from_camera=move.world_from_camera, intrinsics=move.intrinsics, source_time=move.source_time,
        width=move.width, height=move.height,
    )  # fmt: skip
    guides = reference("guides", tmp_path / "asked.npz")
    folder = files.shot_folder(blender.data.filepath, "clip")
    for t in range(5):  # the mesh's own visibility in place of the fixture's simple one
        visible = guides["visible"][t].astype(np.uint8) * 255
        files.write_whole(folder / files.VISIBLE_FOLDER / frame_name(t), png_bytes(visible))
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
