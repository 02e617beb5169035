"""Frames of a take are seen as they come, kept if wanted, and found again wherever the file is saved."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from small_clip import write_source_files
from under_way import begin, spin_to_two_frames


@pytest.fixture
def ready(blender, address, small_clip, tmp_path, monkeypatch):
    """A connected Blender with a shot and a camera move, saved; what arrives is looked at without delay."""
    from blender_addon.takes import arrivals

    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(arrivals, "LOOK_S", 0.0)
    video, depth = write_source_files(small_clip, tmp_path / "in")
    operators = blender.ops.ex4d
    operators.connect(address=address)
    operators.import_clip(video_path=str(video), depth_path=str(depth), focal_px=small_clip.focal_px)
    operators.add_camera_move(preset="30")
    blender.ops.wm.save_mainfile()
    return blender


def finish(blender) -> None:
    from blender_addon.work import session, timer

    end = time.monotonic() + 240
    while session.get().tasks or session.get().undelivered:
        assert time.monotonic() < end
        timer.tick()
        time.sleep(0.005)


def test_frames_are_shown_as_they_come_and_the_take_is_one(ready, two_frames):
    takes = ready.context.scene.ex4d.takes
    task = begin(ready, seed=3)
    spin_to_two_frames(task)
    assert task.arrival.update(ready.context)
    (take,) = takes
    assert take.partial and take.arrived == 2 and take.num_frames == 5
    assert not take.plane.hide_viewport, "frame 1 has arrived and is seen"
    ready.ops.ed.undo_push(message="something")
    two_frames.set()
    finish(ready)
    (take,) = takes
    assert (take.partial, take.arrived, take.num_frames) == (False, 5, 5)
    folder = Path(ready.path.abspath(take.folder))
    assert "partial.json" not in [p.name for p in folder.iterdir()]
    ready.context.scene.frame_set(5)
    assert not take.plane.hide_render


def test_stopping_can_keep_what_arrived_and_it_can_be_made_again(ready, two_frames):
    from blender_addon.work import session

    scene = ready.context.scene
    task = begin(ready, seed=3)
    spin_to_two_frames(task)
    assert ready.ops.ex4d.cancel(keep=True) == {"FINISHED"}
    finish(ready)
    assert "what has arrived is kept" in session.get().message and not session.get().message_is_error
    (take,) = scene.ex4d.takes
    assert take.partial and take.arrived >= 2
    assert not list(session.get().require_identity().open_takes()), "the job is cancelled, nothing is left to resume"
    move = json.loads((Path(ready.path.abspath(take.folder)) / "partial.json").read_text())["camera"]
    assert len(move["source_time"]) == 5, "its move can be restored"
    assert ready.ops.ex4d.restore_take(index=0, camera="NEW") == {"FINISHED"}
    ready.ops.ex4d.another_seed(index=0, same=True)
    assert [(t.name, t.partial, t.seed) for t in scene.ex4d.takes] == [("take_001", True, 3), ("take_002", False, 3)]
    ready.ops.ex4d.another_seed(index=1)
    again = scene.ex4d.takes[2]
    assert again.seed != 3 and (again.engine, again.settings_json) == ("preview", scene.ex4d.takes[1].settings_json)


def test_cancelling_without_keeping_leaves_no_take(ready, two_frames, tmp_path):
    task = begin(ready, seed=3)
    spin_to_two_frames(task)
    task.arrival.update(ready.context)
    ready.ops.ex4d.cancel()
    finish(ready)
    assert len(ready.context.scene.ex4d.takes) == 0
    assert not (tmp_path / "scene_ex4d" / "clip" / "take_001").exists()
    assert not [obj.name for obj in ready.data.objects if "take" in obj.name]


@pytest.mark.feature("reopen")
def test_after_a_crash_the_frames_are_listed_and_the_rest_is_fetched(ready, two_frames, address, tmp_path):
    """A crash: the file is opened anew, nothing was saved, and the journal still knows the job."""
    from blender_addon.work import session

    task = begin(ready, seed=3)
    spin_to_two_frames(task)
    ready.ops.preferences.addon_disable(module="blender_addon")
    ready.ops.preferences.addon_enable(module="blender_addon")
    ready.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    (take,) = ready.context.scene.ex4d.takes
    assert take.partial and 2 <= take.arrived < 5
    ready.ops.ex4d.connect(address=address)
    session.get().tasks[0].watched_at = 0.0
    finish(ready)
    (take,) = ready.context.scene.ex4d.takes
    assert (take.partial, take.arrived) == (False, 5)


@pytest.mark.feature("reopen")
def test_everything_is_found_after_saving_elsewhere(ready, tmp_path):
    scene = ready.context.scene
    ready.ops.ex4d.generate(engine="preview")
    away = tmp_path / "shots" / "day2"
    away.mkdir(parents=True)
    ready.ops.wm.save_as_mainfile(filepath=str(away / "copy.blend"), copy=True)
    assert scene.ex4d.takes[0].folder == "//scene_ex4d/clip/take_001", "a copy changes nothing here"
    ready.ops.wm.save_as_mainfile(filepath=str(away / "moved.blend"))
    for name in ("copy", "moved"):
        ready.ops.wm.open_mainfile(filepath=str(away / f"{name}.blend"))
        scene = ready.context.scene
        (take,) = scene.ex4d.takes
        assert take.folder == "//../../scene_ex4d/clip/take_001"
        props = scene.ex4d.shot.ex4d
        paths = [take.folder, props.folder, props.video_path, props.depth_path]
        paths += [image.filepath for image in ready.data.images if image.source == "SEQUENCE"]
        paths += [m.filepath for m in props.mesh.modifiers if m.type == "MESH_CACHE"]
        assert len(paths) == 8
        for path in paths:
            assert Path(ready.path.abspath(path)).exists(), path
        ready.ops.ex4d.take_to_sequencer(index=0)


@pytest.mark.feature("reopen")
def test_the_blend_and_its_folder_can_be_moved_together(ready, tmp_path):
    ready.ops.ex4d.generate(engine="preview")
    ready.ops.wm.save_mainfile()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("scene.blend", "scene_ex4d"):
        (tmp_path / name).rename(moved / name)
    ready.ops.wm.open_mainfile(filepath=str(moved / "scene.blend"))
    (take,) = ready.context.scene.ex4d.takes
    assert Path(ready.path.abspath(take.folder)) == moved / "scene_ex4d" / "clip" / "take_001"
    ready.ops.ex4d.take_to_background(index=0)
