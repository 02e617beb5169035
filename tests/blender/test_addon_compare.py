"""Comparing takes by a wipe, restoring what made a take, and takes that are not whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from small_clip import png_bytes

from ex4d_ground.files import frame_name
from ex4d_ground.takes import PARTIAL_FILE, TAKE_FILE


def save_take(folder: Path, *, value: int, frames: Iterable[int] = range(5), size=(90, 150), document=None) -> None:
    """A take of flat grey pictures; with ``document`` None it is not whole."""
    from blender_addon.work import files

    for index in frames:
        picture = np.full((*size, 3), value + 10 * index, np.uint8)
        files.write_whole(folder / frame_name(index), png_bytes(picture))
    unfinished = {"engine": "preview", "num_frames": 5, "seed": 9}
    name, content = (TAKE_FILE, document) if document else (PARTIAL_FILE, unfinished)
    files.write_whole(folder / name, json.dumps(content).encode())


@pytest.fixture
def takes_folder(blender) -> Path:
    from blender_addon.work import files

    return files.shot_folder(blender.data.filepath, "clip")


@pytest.fixture
def two_takes(blender, shot, moving_camera, takes_folder):
    from blender_addon.takes import listing as takes

    for number in (1, 2):
        folder = takes_folder / f"take_00{number}"
        save_take(folder, value=60 * number, document={"engine": "preview", "seed": number})
        takes.add(blender.context.scene, shot, moving_camera, folder)
    return blender.context.scene.ex4d.takes


def column_values(picture: np.ndarray) -> np.ndarray:  # [W]
    """The middle row; every pixel of it must be covered."""
    row = picture[picture.shape[0] // 2]
    assert (row[:, 3] == 255).all(), "the planes leave no gap"
    return row[:, 0]


def test_wipe_shows_one_take_left_and_the_other_right_of_it(blender, two_takes, render):
    scene = blender.context.scene
    blender.ops.ex4d.compare_takes(index=0, other=1)
    for frame, wipe in ((1, 0.5), (3, 0.2), (5, 0.9), (2, 0.0), (2, 1.0)):
        scene.frame_set(frame)
        scene.ex4d.wipe = wipe
        values = column_values(render())
        edge = round(150 * wipe)
        grey = 10 * (frame - 1)
        assert (np.abs(values[: max(edge - 1, 0)].astype(int) - (60 + grey)) <= 1).all()
        assert (np.abs(values[edge + 1 :].astype(int) - (120 + grey)) <= 1).all()


def test_wipe_can_be_keyframed(blender, two_takes, render):
    from blender_addon.scene import keyframes

    scene = blender.context.scene
    blender.ops.ex4d.compare_takes(index=1, other=0)
    for frame, wipe in ((1, 0.0), (5, 1.0)):
        scene.ex4d.wipe = wipe
        scene.keyframe_insert("ex4d.wipe", frame=frame)
    keyframes.set_interpolation(scene, "LINEAR")
    scene.frame_set(2)
    values = column_values(render())
    assert abs(int((values > 100).sum()) - 150 // 4) <= 1, "a quarter of the way is a quarter of the width"


def test_a_take_is_compared_with_the_source(blender, two_takes, small_clip, render):
    blender.ops.ex4d.compare_takes(index=0, other=-1)
    scene = blender.context.scene
    assert (scene.ex4d.compare_left, scene.ex4d.compare_right) == ("take_001", "Source")
    scene.frame_set(3)
    scene.ex4d.wipe = 0.0
    picture = render()[..., :3].astype(int)
    rows, columns = (np.linspace(0, n, s, endpoint=False).astype(int) for n, s in ((96, 90), (128, 150)))
    assert np.abs(picture - small_clip.frames[2][rows][:, columns]).mean() < 12, "the footage fills the frame"
    target = scene.ex4d.shot
    target.ex4d.use_source_time, target.ex4d.source_time = True, 4.0
    blender.ops.ex4d.compare_takes(index=0, other=-1)
    scene.frame_set(1)
    picture = render()[..., :3].astype(int)
    assert np.abs(picture - small_clip.frames[4][rows][:, columns]).mean() < 12, "it follows the source time"


def test_ending_or_showing_a_take_takes_the_wipe_away(blender, two_takes):
    from blender_addon.takes import compare

    scene = blender.context.scene
    objects = len(scene.objects)
    shot_id = two_takes[0].shot_id
    blender.ops.ex4d.compare_takes(index=0, other=1)
    blender.ops.ex4d.compare_takes(index=1, other=0)
    assert len(compare.planes_of(scene, shot_id)) == 2
    assert [take.plane.hide_render for take in two_takes] == [True, True]
    blender.ops.ex4d.end_comparison()
    assert len(scene.objects) == objects and scene.ex4d.compare_shot == ""
    assert [take.plane.hide_render for take in two_takes] == [True, False], "the left take is shown alone"
    blender.ops.ex4d.compare_takes(index=0, other=-1)
    blender.ops.ex4d.show_take(index=0)
    assert len(scene.objects) == objects


def test_settings_and_move_come_back_onto_the_same_or_a_new_camera(blender, shot, moving_camera, takes_folder):
    from blender_addon.scene import cameras as camera
    from blender_addon.takes import listing as takes

    context, scene = blender.context, blender.context.scene
    shot.ex4d.use_source_time = True
    shot.ex4d.source_time = 2.0
    before = camera.sample(context, shot, moving_camera)
    recorded = {
        "name": before.name, "width": before.width, "height": before.height,
        "world_from_camera": before.world_from_camera.tolist(), "intrinsics": before.intrinsics.tolist(),
        "source_time": before.source_time.tolist(),
    }  # fmt: skip
    save_take(takes_folder / "take_001", value=9, document={"engine": "preview", "seed": 7, "camera": recorded})
    takes.add(scene, shot, moving_camera, takes_folder / "take_001")
    shot.ex4d.use_source_time = False
    moving_camera.animation_data_clear()
    moving_camera.location = (0, 0, 2)

    blender.ops.ex4d.restore_take(index=0)
    assert scene.ex4d.seed == 7
    assert shot.ex4d.camera == moving_camera and not shot.ex4d.use_source_time, "the camera is left alone"
    blender.ops.ex4d.restore_take(index=0, camera="NEW")
    fresh = shot.ex4d.camera
    assert fresh != moving_camera and scene.camera == fresh and tuple(moving_camera.location) == (0, 0, 2)
    for _ in range(2):
        after = camera.sample(context, shot, shot.ex4d.camera)
        np.testing.assert_allclose(after.world_from_camera, before.world_from_camera, atol=1e-5)
        np.testing.assert_allclose(after.intrinsics, before.intrinsics, rtol=1e-4)
        np.testing.assert_allclose(after.source_time, 2.0)
        shot.ex4d.camera = moving_camera
        blender.ops.ex4d.restore_take(index=0, camera="SAME")
        assert shot.ex4d.camera == moving_camera


def test_keys_of_the_artists_that_a_restored_move_replaces_stay_in_an_action(
    blender, shot, moving_camera, takes_folder, capfd
):
    from blender_addon.scene import cameras as camera
    from blender_addon.scene import keyframes
    from blender_addon.takes import listing as takes
    from ex4d_ground.takes import TakeCamera, describe

    info = describe("preview", camera.sample(blender.context, shot, shot.ex4d.source_camera))
    assert isinstance(info.camera, TakeCamera)
    save_take(takes_folder / "take_001", value=9, document=json.loads(info.encoded()))
    takes.add(blender.context.scene, shot, moving_camera, takes_folder / "take_001")
    mine = [tuple(point.co) for curve in keyframes.fcurves(moving_camera) for point in curve.keyframe_points]
    action = moving_camera.animation_data.action
    blender.ops.ex4d.restore_take(index=0, camera="SAME")
    assert action.use_fake_user and action not in (moving_camera.animation_data.action,)
    assert f"its earlier keys are kept in the action '{action.name}'" in capfd.readouterr().out
    moving_camera.animation_data.action = action
    again = [tuple(point.co) for curve in keyframes.fcurves(moving_camera) for point in curve.keyframe_points]
    assert again == mine


def test_a_take_without_a_recorded_move_says_so(blender, two_takes):
    with pytest.raises(RuntimeError, match="holds no camera move that can be read; restore the settings without"):
        blender.ops.ex4d.restore_take(index=0, camera="NEW")


def test_an_unfinished_take_is_found_and_shown_where_it_has_frames(blender, shot, moving_camera, takes_folder, render):
    save_take(takes_folder / "take_001", value=50, frames=(0, 1, 3))
    blender.ops.ex4d.find_takes()
    scene = blender.context.scene
    (take,) = scene.ex4d.takes
    assert (take.partial, take.arrived, take.num_frames, take.seed) == (True, 3, 5, 9)
    for frame, hidden in ((0, True), (1, False), (2, False), (3, True), (4, False), (5, True)):
        scene.frame_set(frame)
        assert (take.plane.hide_viewport, take.plane.hide_render) == (hidden, hidden), f"frame {frame}"
    scene.frame_set(4)
    assert abs(int(column_values(render())[0]) - 80) <= 1
    blender.ops.ex4d.take_to_sequencer(index=0)
    from blender_addon.work import compat

    (strip,) = compat.strips_of(scene.sequence_editor)
    assert [int(element.filename[6:10]) for element in strip.elements] == [1, 2, 2, 4, 4], "a gap repeats"


def test_an_empty_unfinished_folder_is_no_take(blender, shot, moving_camera, takes_folder):
    save_take(takes_folder / "take_001", value=50, frames=())
    assert blender.ops.ex4d.find_takes() == {"CANCELLED"}


@pytest.mark.parametrize(
    ("kind", "name", "codec"), [("mp4", "clip_take001.mp4", "h264"), ("prores", "clip_take001.mov", "prores")]
)
@pytest.mark.feature("exports")
def test_exported_videos_have_the_frames_the_size_and_the_rate(
    connected, two_takes, tmp_path, reference, kind, name, codec
):
    connected.ops.ex4d.export_take(index=0, kind=kind, directory=str(tmp_path))
    found = reference("video", tmp_path / name)
    assert found["codec"] == codec
    assert found["rate"] == pytest.approx(15)
    if kind == "prores":
        assert (found["profile"], found["pixels"]) == ("HQ", "yuv422p10le"), "no alpha"
    assert found["frames"].shape == (5, 90, 150, 3)
    for index, frame in enumerate(found["frames"]):
        assert np.abs(frame.astype(int) - (60 + 10 * index)).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "exr"])
@pytest.mark.feature("exports")
def test_exported_sequences_open_elsewhere(connected, two_takes, tmp_path, reference, kind):
    connected.ops.ex4d.export_take(index=0, kind=kind, directory=str(tmp_path))
    name = "take_001_PNG/frame_{:04d}.png" if kind == "PNG" else "clip_take001/clip_take001.{:04d}.exr"
    found = reference("pictures", *(tmp_path / name.format(i) for i in range(1, 6)))
    for index in range(5):
        image = found[f"picture_{index}"]
        assert image.shape == (90, 150, 3), "no alpha"
        grey = (60 + 10 * index) / 255
        expected = 60 + 10 * index if kind == "PNG" else ((grey + 0.055) / 1.055) ** 2.4
        assert image.mean() == pytest.approx(expected, abs=1e-3 if kind == "exr" else 0)


def test_what_cannot_be_compared_is_one_sentence_and_changes_nothing(blender, shot, two_takes, takes_folder):
    scene = blender.context.scene
    objects = len(scene.objects)
    with pytest.raises(RuntimeError, match="There is no take 6 to compare with; choose one in the list"):
        blender.ops.ex4d.compare_takes(index=0, other=5)
    for path in (takes_folder / "colour").iterdir():
        path.unlink()
    with pytest.raises(RuntimeError, match=r"The frames of the source are not in .* so they cannot be compared"):
        blender.ops.ex4d.compare_takes(index=0, other=-1)
    two_takes[1].shot_id = "1" * 32
    with pytest.raises(RuntimeError, match="are of different shots; compare takes of one shot"):
        blender.ops.ex4d.compare_takes(index=0, other=1)
    assert len(scene.objects) == objects and scene.ex4d.compare_shot == ""
