"""A take fills the shot camera's frame exactly, in its own frames and in no others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_panels import draw_all
from small_clip import png_bytes

from ex4d_ground.files import frame_name


@pytest.fixture
def take(blender, shot, moving_camera, tmp_path):
    """A take of coarse coloured squares whose colours say which frame it is."""
    from blender_addon.takes import listing as takes
    from blender_addon.work import files

    folder = files.shot_folder(blender.data.filepath, "clip") / "take_001"
    width, height = 150, 90
    rows, columns = np.mgrid[:height, :width]
    pictures = []
    for index in range(5):
        picture = np.stack(
            [columns // 30 * 40 + 10, rows // 30 * 70 + 20, np.full_like(rows, 40 * index + 30)], axis=-1
        ).astype(np.uint8)
        pictures.append(picture)
        files.write_whole(folder / frame_name(index), png_bytes(picture))
    document = {"engine": "preview", "seed": 3, "settings": {"a": 1}, "coverage": [0.5] * 5}
    files.write_whole(folder / "take.json", json.dumps(document).encode())
    plane = takes.add(blender.context.scene, shot, moving_camera, folder)
    return plane, np.array(pictures)


@pytest.mark.feature("colours")
def test_every_frame_fills_the_picture_exactly(blender, shot, take, render):
    _, pictures = take
    for index in (0, 2, 4):
        blender.context.scene.frame_set(1 + index)
        picture = render()
        assert (picture[..., 3] == 255).all(), "the plane leaves no gap at the frame's edge"
        off = np.abs(picture[..., :3].astype(int) - pictures[index])
        mean = 0.3 if blender.app.version >= (4, 3, 0) else 0.5  # 4.2 rounds otherwise
        assert off.max() <= 1 and off.mean() < mean


def test_plane_hides_outside_its_frames(blender, take):
    plane, _ = take
    for frame, hidden in ((0, True), (1, False), (5, False), (6, True)):
        blender.context.scene.frame_set(frame)
        assert (plane.hide_viewport, plane.hide_render) == (hidden, hidden), f"frame {frame}"


def test_take_is_listed_with_all_it_needs(blender, take):
    listed = blender.context.scene.ex4d.takes[0]
    assert (listed.name, listed.engine, listed.seed) == ("take_001", "preview", 3)
    assert json.loads(listed.settings_json) == {"a": 1}
    assert listed.folder == "//scene_ex4d/clip/take_001"
    assert listed.plane == take[0] and listed.filled == ""


def test_holes_that_were_filled_otherwise_than_asked_are_told(blender, online, take):
    from blender_addon.takes import listing

    scene = blender.context.scene
    listed = scene.ex4d.takes[0]
    path = listing.folder_of(listed) / "take.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "used": {"fill": "background"}}))
    listing.add(scene, scene.ex4d.shot, scene.ex4d.shot.ex4d.camera, path.parent)
    scene.ex4d.active_take = len(scene.ex4d.takes) - 1
    drawn = draw_all(blender.context)["List"].words
    assert scene.ex4d.takes[-1].filled == "background" and "holes are filled as with 'Background'" in drawn


def test_damaged_take_is_one_sentence(tmp_path):
    from blender_addon.takes import listing as takes
    from blender_addon.work.errors import AddonError

    (tmp_path / "take.json").write_text("{", encoding="utf-8")
    with pytest.raises(AddonError, match=r"cannot be read; generate it again\.$"):
        takes.read_info(tmp_path)
