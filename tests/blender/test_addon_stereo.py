"""Stereo in the panel: the shot camera's own settings, what they come to, and takes with two eyes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ex4d_ground.stereo import BEFORE, Eyes, fitting_eyes
from ex4d_ground.takes import read_take_info


def eyes_of(blender, shot) -> Eyes:
    """The eyes of the next take, of which there are two."""
    from blender_addon.takes import eyes

    found = eyes.of_shot(blender.context, shot)
    assert found is not None
    return found


@pytest.fixture
def filmed_from(blender, moving_camera):
    """Scene, shot and its camera, in a shot that is scaled by two."""
    scene = blender.context.scene
    return scene, scene.ex4d.shot, moving_camera


def test_turning_stereo_on_fits_the_eyes_to_the_scene_once(blender, filmed_from):
    from blender_addon.takes import eyes

    scene, shot, camera = filmed_from
    assert eyes.of_shot(blender.context, shot) is None
    scene.ex4d.stereo = True
    near, far = eyes.depth_range(shot)
    assert near < far
    fitting = fitting_eyes(near, far, **eyes.lens(scene, camera))
    found = eyes_of(blender, shot)
    assert found.distance == pytest.approx(fitting.distance, rel=1e-5)
    assert found.convergence == pytest.approx(fitting.convergence, rel=1e-5)
    assert camera.data.stereo.interocular_distance == pytest.approx(2 * fitting.distance[0], rel=1e-5)
    assert not eyes.comfort(blender.context, shot, camera).warnings
    camera.data.stereo.interocular_distance *= 3
    assert eyes.comfort(blender.context, shot, camera).warnings
    scene.ex4d.stereo = False
    scene.ex4d.stereo = True
    assert camera.data.stereo.interocular_distance == pytest.approx(6 * fitting.distance[0], rel=1e-5)  # set by hand
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    assert blender.context.scene.ex4d.stereo
    again = blender.context.scene.ex4d.shot.ex4d.camera.data.stereo
    assert again.interocular_distance == pytest.approx(6 * fitting.distance[0], rel=1e-5)


def test_keys_make_eyes_for_each_frame_and_what_no_take_can_have_is_refused(blender, filmed_from):
    from blender_addon.takes import eyes
    from blender_addon.work.errors import AddonError

    scene, shot, camera = filmed_from
    scene.ex4d.stereo = True
    stereo = camera.data.stereo
    stereo.convergence_distance = 4.0
    camera.data.keyframe_insert("stereo.convergence_distance", frame=1)
    stereo.convergence_distance = 8.0
    last = shot.ex4d.num_frames
    camera.data.keyframe_insert("stereo.convergence_distance", frame=last)
    found = eyes_of(blender, shot)
    assert len(found.distance) == 1
    assert len(found.convergence) == last
    assert (found.convergence[0], found.convergence[-1]) == pytest.approx((2.0, 4.0))
    stereo.convergence_mode = "PARALLEL"
    assert eyes_of(blender, shot).convergence == ()
    stereo.convergence_mode = "TOE"
    with pytest.raises(AddonError, match="toes its eyes in"):
        eyes.of_shot(blender.context, shot)
    stereo.convergence_mode, stereo.pivot = "OFFAXIS", "CENTER"
    with pytest.raises(AddonError, match="not the left eye"):
        eyes.of_shot(blender.context, shot)
    assert blender.ops.ex4d.fit_eyes() == {"FINISHED"}
    assert (stereo.convergence_mode, stereo.pivot) == ("OFFAXIS", "LEFT")


def test_eyes_converge_on_the_cursor_and_the_screen_stands_there(blender, filmed_from):
    from blender_addon.takes import eyes, eyes_overlay

    scene, shot, camera = filmed_from
    scene.ex4d.stereo = True
    forward = -camera.matrix_world.to_3x3().normalized().col[2]
    scene.cursor.location = camera.matrix_world.translation + 5.5 * forward
    assert blender.ops.ex4d.converge_eyes(on="CURSOR") == {"FINISHED"}
    assert camera.data.stereo.convergence_distance == pytest.approx(5.5, rel=1e-4)
    screen, rims = eyes_overlay.planes(blender.context, shot, camera)
    assert screen is not None
    assert screen[:, 2] == pytest.approx(-5.5, rel=1e-4)
    found, lens = eyes.now(camera, shot), eyes.lens(scene, camera)
    nearest = -float(rims[0][0, 2]) / 2  # in the clip's unit
    assert found.parallax(nearest, **lens) == pytest.approx(-BEFORE, rel=1e-3)
    width = screen[:, 0].max() - screen[:, 0].min()
    pixels = scene.render.resolution_x * scene.render.resolution_percentage / 100
    assert lens["focal_px"] * width / 5.5 == pytest.approx(pixels, rel=1e-3)
    scene.cursor.location = camera.matrix_world.translation - forward
    with pytest.raises(RuntimeError, match="behind the camera"):
        blender.ops.ex4d.converge_eyes(on="CURSOR")


def test_a_stereo_take_comes_with_both_eyes_and_goes_out_as_an_anaglyph(ready, tmp_path):
    scene, out = ready.context.scene, tmp_path / "out"
    shot = scene.ex4d.shot
    scene.ex4d.stereo = True
    stereo = shot.ex4d.camera.data.stereo
    assert ready.ops.ex4d.generate(engine="preview") == {"FINISHED"}
    take = scene.ex4d.takes[0]
    assert take.stereo and not take.partial
    folder = Path(ready.path.abspath(take.folder))
    info = read_take_info(folder)
    expected = Eyes.of(stereo.interocular_distance, stereo.convergence_distance)
    assert info.eyes is not None
    assert info.eyes.distance == pytest.approx(expected.distance)
    assert info.eyes.convergence == pytest.approx(expected.convergence)
    names = sorted(path.name for path in (folder / "right").iterdir())
    assert names == sorted(path.name for path in folder.glob("frame_*.png"))
    left, right = (ready.data.images.load(str(each / names[0])) for each in (folder, folder / "right"))
    assert tuple(left.size) == tuple(right.size)
    assert not np.array_equal(left.pixels[:], right.pixels[:])
    for eyes, ending in (("anaglyph", "anaglyph"), ("side-by-side", "sbs")):
        ready.ops.ex4d.export_take(index=0, kind="mp4", eyes=eyes, directory=str(out))
        assert len(list(out.glob(f"*_take001_{ending}.mp4"))) == 1
    assert b"st3d" in next(out.glob("*_sbs.mp4")).read_bytes()
    stereo.interocular_distance, scene.ex4d.stereo = 3.0, False
    ready.ops.ex4d.restore_take(index=0, camera="SAME")
    assert scene.ex4d.stereo
    assert shot.ex4d.camera.data.stereo.interocular_distance == pytest.approx(expected.distance[0])
    ready.ops.ex4d.write_farm_job(directory=str(tmp_path / "farm"))
    written = json.loads(next((tmp_path / "farm").glob("*/shot.json")).read_text(encoding="utf-8"))["options"]
    assert float(written["stereo"]) == pytest.approx(expected.distance[0])
    assert written["convergence"] == pytest.approx(expected.convergence[0])
    (folder / "right" / names[0]).unlink()
    with pytest.raises(RuntimeError, match="are not in"):
        ready.ops.ex4d.export_take(index=0, kind="mp4", eyes="half", directory=str(out))


def test_a_take_with_one_eye_says_nothing_of_two(ready, tmp_path):
    ready.ops.ex4d.generate(engine="preview")
    take = ready.context.scene.ex4d.takes[0]
    assert not take.stereo
    ready.ops.ex4d.export_take(index=0, kind="mp4", eyes="anaglyph", directory=str(tmp_path))
    assert len(list(tmp_path.glob("*_take001.mp4"))) == 1
