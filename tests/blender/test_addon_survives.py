"""What may happen while a take is under way: nothing is lost, and nothing but a sentence comes of it."""

from __future__ import annotations

import os
import shlex
import signal

import pytest
from small_clip import write_source_files
from under_way import begin, spin, started, take_files


def test_renaming_saving_and_undo_steps_do_not_disturb_it(ready, quiet, tmp_path):
    shot = ready.context.scene.ex4d.shot
    task = begin(ready)
    spin(lambda: started(task))
    shot.name, shot.ex4d.camera.name = "Renamed", "Other camera"
    ready.ops.wm.save_mainfile()
    ready.ops.ed.undo_push(message="something else")
    spin(lambda: task.finished)
    take = ready.context.scene.ex4d.takes[0]
    assert (take.name, take.num_frames) == ("take_001", 5)
    assert take.plane.parent.name == "Other camera"


def test_deleting_the_shot_leaves_a_sentence_and_the_files(ready, quiet, tmp_path):
    from blender_addon.work import session

    task = begin(ready)
    spin(lambda: started(task))
    ready.data.objects.remove(ready.context.scene.ex4d.shot)
    spin(lambda: task.finished)
    assert session.get().message == "The shot was deleted while this was running; its files are still on disk."
    assert "take.json" in take_files(tmp_path / "scene_ex4d" / "clip" / "take_001")


def test_deleting_the_scene_leaves_a_sentence(ready, quiet):
    from blender_addon.work import session

    task = begin(ready)
    spin(lambda: started(task))
    old = ready.context.scene
    ready.context.window_manager.windows[0].scene = ready.data.scenes.new("Other")
    ready.data.scenes.remove(old)
    spin(lambda: task.finished)
    assert session.get().message_is_error and session.get().message.endswith(".")


def test_switching_the_scene_puts_the_take_where_its_shot_is(ready, quiet):
    home = ready.context.scene
    task = begin(ready)
    spin(lambda: started(task))
    ready.context.window_manager.windows[0].scene = ready.data.scenes.new("Other")
    spin(lambda: task.finished)
    assert [take.name for take in home.ex4d.takes] == ["take_001"]
    assert len(ready.data.scenes["Other"].ex4d.takes) == 0


def test_a_new_file_lets_it_finish_and_the_old_file_finds_it(ready, quiet, tmp_path):
    from blender_addon.work import session

    task = begin(ready)
    spin(lambda: started(task))
    ready.ops.wm.read_homefile(use_empty=True, use_factory_startup=False, load_ui=False)
    spin(lambda: task.finished)
    assert "take_001 is finished; open scene.blend to see it" in session.get().message
    ready.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    takes = ready.context.scene.ex4d.takes
    assert [(take.name, take.engine, take.seed, take.num_frames) for take in takes] == [("take_001", "preview", 1, 5)]
    assert 0 < takes[0].coverage < 1
    ready.ops.wm.save_mainfile()
    ready.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert len(ready.context.scene.ex4d.takes) == 1, "it is found once"


def test_disabling_and_enabling_the_add_on_resumes_it(ready, quiet, address):
    from blender_addon.work import session

    task = begin(ready)
    spin(lambda: started(task))
    ready.ops.preferences.addon_disable(module="blender_addon")
    ready.ops.preferences.addon_enable(module="blender_addon")
    ready.ops.ex4d.connect(address=address)
    resumed = session.get().tasks
    assert [t.title for t in resumed] == ["Generate take_001"]
    resumed[0].watched_at = 0.0
    spin(lambda: not session.get().tasks)
    assert [take.name for take in ready.context.scene.ex4d.takes] == ["take_001"]
    assert not list(session.get().identity.open_takes()), "nothing is left to find again"


def test_cancelling_leaves_nothing_to_resume(ready, quiet, tmp_path):
    from blender_addon.work import session

    task = begin(ready)
    spin(lambda: started(task))
    ready.ops.ex4d.cancel()
    spin(lambda: task.finished)
    assert not (tmp_path / "scene_ex4d" / "clip" / "take_001").exists()
    assert not list(session.get().identity.open_takes())


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_backend_killed_and_restarted_finishes_the_take(blender, backend_command, small_clip, tmp_path, monkeypatch):
    from blender_addon.work import session

    monkeypatch.setenv("EX4D_BACKEND_COMMAND", backend_command)
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    video, depth = write_source_files(small_clip, tmp_path / "in")
    operators = blender.ops.ex4d
    operators.connect()
    operators.import_clip(video_path=str(video), depth_path=str(depth), focal_px=small_clip.focal_px)
    operators.add_camera_move(preset="30")
    task = begin(blender)
    spin(lambda: started(task))
    os.kill(session.get().backend.pid, signal.SIGKILL)
    spin(lambda: task.finished)
    assert "The local backend has ended (exit code -9)" in session.get().message
    assert "press Connect to start it again" in session.get().message
    operators.connect()
    session.get().tasks[0].watched_at = 0.0
    spin(lambda: not session.get().tasks)
    assert [take.name for take in blender.context.scene.ex4d.takes] == ["take_001"]


def test_two_blenders_are_two_clients_and_one_is_always_the_same(tmp_path):
    from blender_addon.work import identity

    first, second = identity.claim(tmp_path), identity.claim(tmp_path)
    assert first.client_id != second.client_id
    first.release()
    again = identity.claim(tmp_path)
    assert again.client_id == first.client_id
    again.release()
    second.release()


def test_a_worker_that_keeps_dying_is_told_with_its_cause(blender, backend_command, tmp_path, monkeypatch):
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EX4D_BACKEND_COMMAND", backend_command)
    customize = tmp_path / "broken" / "sitecustomize.py"  # Python runs it first; only the worker ends there
    customize.parent.mkdir()
    customize.write_text(
        "import os, sys\n"
        "if 'ex4d_backend.worker' in sys.orig_argv:\n"
        "    print('ImportError: libmissing.so is not there', file=sys.stderr, flush=True)\n"
        "    os._exit(1)\n"
    )
    paths = (str(customize.parent), os.environ.get("PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    blender.context.preferences.addons["blender_addon"].preferences.timeout_s = 240
    with pytest.raises(RuntimeError) as caught:
        blender.ops.ex4d.connect()
    sentence = str(caught.value)
    assert "The backend's worker keeps ending: " in sentence and "libmissing.so is not there" in sentence
    assert "worker-cpu.log" in sentence


def test_connecting_twice_at_once_leaves_no_backend_behind(blender, backend_command, tmp_path, monkeypatch, quiet):
    from blender_addon.work import local_backend, session

    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    current = session.get()
    abandoned = local_backend.LocalBackend(shlex.split(backend_command), base=tmp_path / "data")
    current.start("Connect", current.connect_local(abandoned, timeout_s=240))
    current.disconnect()
    assert abandoned.why_gone() is not None
