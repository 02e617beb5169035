"""The public operators against a real backend process: the whole way through, and every way it can fail."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from small_clip import png_bytes

from ex4d_ground.files import frame_name


def fails(operator, **arguments) -> str:
    """Run an operator that must refuse; returns the sentence it reports."""
    with pytest.raises(RuntimeError) as caught:
        operator(**arguments)
    sentence = str(caught.value).removeprefix("Error: ").strip()
    assert "\n" not in sentence and sentence.endswith("."), sentence
    return sentence


def test_the_whole_way_through(connected, sources, small_clip, tmp_path, render):
    from blender_addon.work import files, pc2

    operators = connected.ops.ex4d
    assert operators.import_clip(**sources) == {"FINISHED"}
    folder = tmp_path / "scene_ex4d" / "clip"
    frames, height, width = small_clip.size
    cache = pc2.read_pc2(folder / files.CACHE_FILE)
    for t in range(frames):
        np.testing.assert_allclose(cache[t], small_clip.vertices(t), rtol=1e-5, atol=1e-5)
    shot = connected.context.scene.ex4d.shot
    assert shot.ex4d.near_depth == pytest.approx(small_clip.depth[0][1:-1, 1:-1].min(), rel=1e-5)
    picture = render()
    shown = picture[..., 3] > 127
    assert shown[2:-2, 2:-2].mean() > 0.9
    assert np.abs(picture[..., :3].astype(int) - small_clip.frames[0])[shown].max() <= 1

    assert operators.add_camera_move(preset="30") == {"FINISHED"}
    camera = shot.ex4d.camera
    assert connected.context.scene.camera == camera
    connected.context.scene.frame_set(1)
    start = np.array(camera.matrix_world)
    connected.context.scene.frame_set(frames)
    assert np.abs(np.array(camera.matrix_world) - start).max() > 0.1

    assert operators.render_guides() == {"FINISHED"}
    coverage = json.loads((folder / "guides" / "coverage.json").read_text())
    assert len(coverage) == frames and 0 < min(coverage) < max(coverage) <= 1
    for index in (0, frames - 1):
        mask = connected.data.images.load(str(folder / "guides" / "mask" / frame_name(index)))
        mask.colorspace_settings.name = "Non-Color"
        values = np.array(mask.pixels[:]).reshape(height, width, 4)[::-1, :, 0] > 0.5
        assert values.mean() == pytest.approx(coverage[index], abs=1e-6)
        connected.context.scene.frame_set(1 + index)
        shown = render()[..., 3] > 127
        assert (shown & values).sum() / (shown | values).sum() >= 0.99

    assert operators.generate(engine="preview", seed=5) == {"FINISHED"}
    take = connected.context.scene.ex4d.takes[0]
    assert (take.name, take.engine, take.seed, take.num_frames) == ("take_001", "preview", 5, frames)
    assert take.folder == "//scene_ex4d/clip/take_001"
    assert take.coverage == pytest.approx(np.mean(coverage))
    names = sorted(p.name for p in (folder / "take_001").iterdir())
    assert names == [*(frame_name(i) for i in range(frames)), "take.json"]
    assert json.loads((folder / "take_001" / "take.json").read_text())["engine"] == "preview"
    connected.context.scene.frame_set(3)
    assert (render()[..., 3] == 255).all(), "the take's plane fills the frame"

    assert operators.generate(engine="preview", seed=5) == {"FINISHED"}
    for index in range(frames):
        first, second = (folder / f"take_00{n}" / frame_name(index) for n in (1, 2))
        assert first.read_bytes() == second.read_bytes(), "the same seed gives the same frames"


def test_local_backend_is_started_and_stopped(blender, backend_command, tmp_path, monkeypatch):
    from blender_addon.work import session

    monkeypatch.setenv("EX4D_BACKEND_COMMAND", backend_command)
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    assert blender.ops.ex4d.connect() == {"FINISHED"}
    started = session.get().backend
    assert started is not None and started.why_gone() is None
    blender.ops.ex4d.disconnect()
    assert started.why_gone() is not None
    assert not session.get().connected


def test_no_backend_at_the_address(blender):
    blender.context.preferences.addons["blender_addon"].preferences.timeout_s = 1
    sentence = fails(blender.ops.ex4d.connect, address="127.0.0.1:9")
    assert "No EX-4D backend answers at tcp://127.0.0.1:9" in sentence and "ex4d-backend" in sentence


def test_something_that_is_no_address(blender):
    assert "'a b' is not an address" in fails(blender.ops.ex4d.connect, address="a b")


def test_a_backend_command_that_does_not_exist(blender, monkeypatch, tmp_path):
    monkeypatch.setenv("EX4D_BACKEND_COMMAND", "no-such-program")
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path))
    assert "'no-such-program' could not be started" in fails(blender.ops.ex4d.connect)


def test_another_protocol_major_names_the_side_to_upgrade(blender):
    import zmq

    from ex4d_protocol import PROTOCOL_MAJOR, framing
    from ex4d_protocol.messages import Pong

    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def answer_once() -> None:
        if socket.poll(120_000):
            identity = socket.recv_multipart()[0]
            _, header, body = framing.encode(Pong())
            socket.send_multipart([identity, framing.MAGIC + bytes([PROTOCOL_MAJOR + 1]), header, body])

    server = threading.Thread(target=answer_once)
    server.start()
    try:
        sentence = fails(blender.ops.ex4d.connect, address=f"127.0.0.1:{port}")
    finally:
        server.join()
        context.destroy(linger=0)
    assert f"speaks protocol {PROTOCOL_MAJOR + 1}.x" in sentence
    assert "upgrade the Blender add-on" in sentence


def test_nothing_works_without_a_backend_and_none_is_started_where_that_is_off(shot, blender, sources):
    from blender_addon.work import preferences

    preferences.get(blender.context).auto_start = False
    for operator, arguments in (
        (blender.ops.ex4d.import_clip, sources),
        (blender.ops.ex4d.add_camera_move, {"preset": "30"}),
    ):
        assert "starting one is off" in fails(operator, **arguments)


def test_unsaved_blend_with_a_folder_is_fine(connected, sources, tmp_path):
    connected.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    chosen = tmp_path / "chosen"
    assert connected.ops.ex4d.import_clip(**sources, folder=str(chosen)) == {"FINISHED"}
    assert (chosen / "clip" / "mesh.pc2").exists()


def test_edit_mode_is_refused(connected, shot, sources):
    connected.context.view_layer.objects.active = shot.ex4d.mesh
    connected.ops.object.mode_set(mode="EDIT")
    sentence = fails(connected.ops.ex4d.import_clip, **sources)
    assert "Blender is in Edit Mesh Mode; switch to Object Mode" in sentence
    connected.ops.object.mode_set(mode="OBJECT")


@pytest.mark.feature("import")
def test_missing_files_are_named(connected, sources):
    assert "There is no video at /no/such.mp4" in fails(
        connected.ops.ex4d.import_clip, **{**sources, "video_path": "/no/such.mp4"}
    )
    assert "There is no depth at /no/depth.npz" in fails(
        connected.ops.ex4d.import_clip, **{**sources, "depth_path": "/no/depth.npz"}
    )


@pytest.mark.feature("import")
def test_bad_depth_is_the_backends_sentence_and_leaves_nothing(connected, sources, small_clip, tmp_path):
    depth = small_clip.depth.copy()
    depth[1, 10, 10:15] = np.nan
    np.savez(tmp_path / "bad.npz", depth=depth)
    sentence = fails(connected.ops.ex4d.import_clip, **{**sources, "depth_path": str(tmp_path / "bad.npz")})
    assert "5" in sentence
    assert list((tmp_path / "scene_ex4d").iterdir()) == []
    assert connected.context.scene.ex4d.shot is None


@pytest.mark.feature("import")
def test_more_frames_than_the_clip_has(connected, sources):
    assert "99" in fails(connected.ops.ex4d.import_clip, **sources, num_frames=99)


def test_two_focal_lengths_are_one_too_many(connected, sources):
    assert "not both" in fails(connected.ops.ex4d.import_clip, **sources, fov_deg=50)


def test_no_shot_and_no_camera(connected, sources):
    operators = connected.ops.ex4d
    assert "import a clip first" in fails(operators.generate)
    operators.import_clip(**sources)
    assert "has no camera; add a camera move" in fails(operators.generate)


def test_unknown_preset_engine_and_settings(connected, sources):
    operators = connected.ops.ex4d
    operators.import_clip(**sources)
    assert "nowhere" in fails(operators.add_camera_move, preset="nowhere")
    operators.add_camera_move(preset="30")
    assert "no engine 'none'; it has: preview" in fails(operators.generate, engine="none")
    assert "not JSON" in fails(operators.generate, settings="{")
    assert "bogus" in fails(operators.generate, settings='{"bogus": 1}')


def test_cancel_leaves_nothing(connected, sources, tmp_path):
    from blender_addon.jobs import clip as jobs
    from blender_addon.jobs.importing import import_clip
    from blender_addon.work import session

    current = session.get()
    source = jobs.ClipSource(Path(sources["video_path"]), Path(sources["depth_path"]), name="clip")
    folder = tmp_path / "scene_ex4d" / "clip"
    task = current.start("Import clip", import_clip(current.require_link(), source, folder))
    while task.progress.stage == "starting" and not task.finished:
        current.tick()
    assert connected.ops.ex4d.cancel() == {"FINISHED"}
    assert task.finished and "cancelled" in str(task.error)
    assert list((tmp_path / "scene_ex4d").iterdir()) == []
    assert connected.ops.ex4d.import_clip(**sources) == {"FINISHED"}, "the next import is not disturbed"


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_backend_killed_in_the_middle(blender, backend_command, sources, tmp_path, monkeypatch):
    from blender_addon.work import session

    monkeypatch.setenv("EX4D_BACKEND_COMMAND", backend_command)
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    blender.ops.ex4d.connect()
    current = session.get()
    tick, calls = current.tick, [0]

    def kill_then_tick(budget_s: float) -> bool:
        calls[0] += 1
        if calls[0] == 3:
            os.kill(current.backend.pid, signal.SIGKILL)
        return tick(budget_s)

    monkeypatch.setattr(current, "tick", kill_then_tick)
    sentence = fails(blender.ops.ex4d.import_clip, **sources)
    assert "The local backend has ended (exit code -9)" in sentence and "press Connect" in sentence
    assert list((tmp_path / "scene_ex4d").iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("EX4D_BACKEND_COMMAND", backend_command)
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    blender.ops.ex4d.connect()
    assert blender.ops.ex4d.import_clip(**sources) == {"FINISHED"}


def test_full_disk_keeps_what_was_there(connected, sources, monkeypatch, tmp_path):
    from blender_addon.work import files
    from blender_addon.work.errors import AddonError

    connected.ops.ex4d.import_clip(**sources)
    before = sorted(p.name for p in (tmp_path / "scene_ex4d" / "clip").rglob("*"))
    connected.ops.ex4d.add_camera_move(preset="30")

    def full(*_args: object, **_how: object) -> None:
        raise AddonError("Cannot write frame_0001.png: No space left on device; free some space.")

    monkeypatch.setattr(files, "write_whole", full)
    assert "No space left" in fails(connected.ops.ex4d.generate)
    assert sorted(p.name for p in (tmp_path / "scene_ex4d" / "clip").rglob("*")) == before
    assert len(connected.context.scene.ex4d.takes) == 0


def test_camera_that_sees_nothing_is_a_warning_that_names_frames(connected, sources, capfd):
    operators = connected.ops.ex4d
    operators.import_clip(**sources)
    operators.add_camera_move(preset="30")
    shot = connected.context.scene.ex4d.shot
    from blender_addon.scene import keyframes

    keyframes.clear(shot.ex4d.camera, keyframes.POSE_PATHS)
    shot.ex4d.camera.rotation_euler = (0, 0, 0)  # looks away from the scene
    assert operators.render_guides() == {"FINISHED"}
    assert "sees nothing of the source in frames 1, 2, 3, 4, 5" in capfd.readouterr().out


@pytest.mark.feature("import")
def test_frames_as_a_video_are_not_confused_with_other_folders(connected, tmp_path, sources):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no .png, .jpg" in fails(connected.ops.ex4d.import_clip, **{**sources, "video_path": str(empty)})
    (empty / "a.png").write_bytes(png_bytes(np.zeros((4, 4, 3), np.uint8)))
