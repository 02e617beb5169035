"""Live mode against a real backend: what the camera sees, while it is being moved."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import time

import numpy as np
import pytest
from small_clip import write_source_files

PATIENT_MS = 10_000.0


@pytest.fixture
def ready(blender, address, small_clip, tmp_path):
    """A connected Blender with a shot and a camera move, live mode off."""
    return prepare(blender, address, small_clip, tmp_path)


def prepare(blender, address, small_clip, folder):
    video, depth = write_source_files(small_clip, folder / "in")
    operators = blender.ops.ex4d
    operators.connect(address=address)
    operators.import_clip(video_path=str(video), depth_path=str(depth), focal_px=small_clip.focal_px)
    operators.add_camera_move(preset="30")
    blender.context.scene.frame_set(3)
    return blender


@pytest.fixture
def live(ready):
    """Live mode switched on, with patience: how fast this machine is, is not what these tests are about."""
    from blender_addon.live import views as live
    from blender_addon.work import preferences

    preferences.get(ready.context).live_limit_ms = PATIENT_MS
    ready.context.window_manager.ex4d_live.enabled = True
    return live.current


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Fails the test if the add-on logged an exception."""
    yield
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR or r.exc_info], caplog.text


def spin(done, seconds: float = 110.0) -> None:
    """What Blender's timer does, until ``done``."""
    from blender_addon.live import views as live
    from blender_addon.work import timer

    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"it never came: {live.current.note or live.current.paused}"
        timer.tick()
        time.sleep(0.003)


def settle(live) -> None:
    """Until the camera's picture is there at full size and nothing is under way."""
    spin(lambda: live.note_is_error or live.paused or (live.is_sharp and not live.waiting))
    assert not live.note_is_error and not live.paused, live.note or live.paused


def move_camera(blender, x: float) -> None:
    cam = blender.context.scene.ex4d.shot.ex4d.camera
    cam.location.x = x
    blender.context.view_layer.update()


def guides_of(blender, index: int) -> np.ndarray:
    """The frame's guide as a job of the backend renders it, [H, W, 4]."""
    from blender_addon.scene import shot

    assert blender.ops.ex4d.render_guides() == {"FINISHED"}
    folder = shot.folder_of(blender.context.scene.ex4d.shot) / "guides"
    colour, mask = (read_png(blender, folder / sub / f"frame_{index + 1:04d}.png") for sub in ("colour", "mask"))
    return np.dstack([colour[..., :3], mask[..., 0]])


def read_png(blender, path) -> np.ndarray:
    image = blender.data.images.load(str(path), check_existing=False)
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    blender.data.images.remove(image)
    return np.round(values.reshape(height, width, 4)[::-1] * 255).astype(np.uint8)


def test_it_is_off_until_switched_on(ready):
    from blender_addon.live import overlay
    from blender_addon.live import views as live

    move_camera(ready, 0.2)
    for _ in range(20):
        assert not live.current.tick(ready.context)
    assert overlay.current.picture is None
    assert live.current.pictures.asked == 0


def test_the_picture_is_what_a_guides_job_renders(ready, live):
    from blender_addon.live import overlay

    settle(live)
    np.testing.assert_array_equal(overlay.current.picture, guides_of(ready, 2))
    assert overlay.current.frame == 3
    assert overlay.shown(overlay.current, ready.context.scene, ready.context.scene.ex4d.shot.ex4d.camera)


@pytest.fixture
def cube(ready):
    """A cube that moves before everything else, as known geometry."""
    data = ready.data.meshes.new("Cube")
    corners = [(x, y, z) for x in (-0.3, 0.3) for y in (-0.3, 0.3) for z in (-0.3, 0.3)]
    data.from_pydata(corners, [], [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    made = ready.data.objects.new("Cube", data)
    ready.context.scene.collection.objects.link(made)
    made.parent = ready.context.scene.ex4d.shot
    for frame, x in ((1, -0.3), (5, 0.4)):
        made.location = (x, 0.2, 2.5)
        made.keyframe_insert("location", frame=frame)
    made.ex4d.role = "GUIDE"
    return made


def test_other_objects_are_in_the_picture_as_in_the_guides(ready, cube, live):
    from blender_addon.live import overlay

    settle(live)
    seen = overlay.current.picture
    np.testing.assert_array_equal(seen, guides_of(ready, 2))
    ready.context.scene.frame_set(5)
    ready.context.view_layer.update()
    spin(lambda: overlay.current.frame == 5 and live.is_sharp)
    np.testing.assert_array_equal(overlay.current.picture, guides_of(ready, 4))
    for change in (lambda: setattr(cube.ex4d, "role", "HOLDOUT"), lambda: setattr(cube, "scale", (2, 2, 2))):
        before = overlay.current.picture
        change()
        ready.context.view_layer.update()
        wanted = guides_of(ready, 4)
        assert not np.array_equal(wanted, before)
        spin(lambda wanted=wanted: np.array_equal(overlay.current.picture, wanted))
    assert tuple(cube.scale) == (2, 2, 2) and len(ready.data.scenes) == 1


def test_coverage_that_follows_by_itself_counts_other_objects(ready, cube):
    from blender_addon.guides import coverage
    from blender_addon.live import views as live

    shot = ready.context.scene.ex4d.shot
    ready.ops.ex4d.render_guides()
    wanted = coverage.current(shot).copy()
    shot.ex4d.coverage_json = "[]"
    ready.context.window_manager.ex4d_live.auto_coverage = True
    spin(lambda: len(coverage.current(shot)) == 5 and not live.current.computes_coverage)
    np.testing.assert_allclose(coverage.current(shot), wanted, atol=0.01)


def test_each_change_of_the_camera_is_shown(ready, live):
    from blender_addon.live import overlay

    settle(live)
    cam = ready.context.scene.ex4d.shot.ex4d.camera
    changes = (
        lambda: move_camera(ready, 0.4),
        lambda: setattr(cam.data, "lens", 20.0),
        lambda: setattr(cam.data, "shift_x", 0.2),
        lambda: setattr(ready.context.scene.render, "resolution_x", 100),
        lambda: ready.context.scene.frame_set(5),
    )
    for change in changes:
        before = overlay.current.picture
        change()
        ready.context.view_layer.update()
        spin(lambda before=before: overlay.current.picture is not before and live.is_sharp)
        same_size = overlay.current.picture.shape == before.shape
        assert not (same_size and np.array_equal(overlay.current.picture, before))
    assert overlay.current.picture.shape == (96, 100, 4)


def test_nothing_is_asked_while_nothing_changes(ready, live):
    settle(live)
    asked = live.pictures.asked
    ready.context.scene.ex4d.shot.ex4d.mesh.name = "Another name"
    ready.context.view_layer.update()
    end = time.monotonic() + 1.0
    spin(lambda: time.monotonic() > end)
    assert live.pictures.asked == asked


def test_the_newest_camera_wins_and_one_request_is_under_way(ready, live):
    from blender_addon.live import overlay
    from blender_addon.work import timer
    from ex4d_protocol.events import LiveAnswer

    settle(live)
    client = live._connection.client
    open_now, most, pictures = set(), [0], []
    send, handle = client.live, live._take_answer

    def counted(view):
        request_id = send(view)
        if view.picture:
            open_now.add(request_id)
            most[0] = max(most[0], len(open_now))
        return request_id

    def answered(lane, event: LiveAnswer):
        if event.ended:
            open_now.discard(event.request_id)
        if event.picture is not None:
            pictures.append(event.picture.shape)
        handle(lane, event)

    client.live, live._take_answer = counted, answered
    try:
        asked = live.pictures.asked
        for k in range(20):
            move_camera(ready, 0.02 * k)
            if k % 4 == 3:
                timer.tick()
        assert live.pictures.asked - asked < 20
        spin(lambda: live.is_sharp and not live.waiting)
    finally:
        client.live, live._take_answer = send, handle
    assert most[0] == 1
    assert pictures[-1] == (96, 128, 4)
    assert (48, 64, 4) in pictures  # smaller while it moved
    np.testing.assert_array_equal(overlay.current.picture, guides_at(ready, 0.38))


def guides_at(blender, x: float) -> np.ndarray:
    """The guide of the present frame from a camera that is keyed there."""
    cam = blender.context.scene.ex4d.shot.ex4d.camera
    cam.location.x = x
    cam.keyframe_insert("location", frame=3)
    return guides_of(blender, 2)


@pytest.mark.parametrize("hidden", ["switched off", "excluded"])
def test_a_hidden_camera_is_shown_where_it_is_at_each_frame(ready, live, hidden):
    from blender_addon.live import overlay

    scene = ready.context.scene
    cam = scene.ex4d.shot.ex4d.camera
    for frame, x in ((1, 0.0), (5, 0.8)):
        cam.location.x = x
        cam.keyframe_insert("location", frame=frame)
    wanted = {index: guides_of(ready, index) for index in (1, 3)}
    if hidden == "switched off":
        cam.hide_viewport = True
    else:
        rigs = ready.data.collections.new("Rigs")
        scene.collection.children.link(rigs)
        for other in cam.users_collection:
            other.objects.unlink(cam)
        rigs.objects.link(cam)
        ready.context.view_layer.layer_collection.children["Rigs"].exclude = True
    for index in (1, 3):
        scene.frame_set(index + 1)
        settle(live)
        np.testing.assert_array_equal(overlay.current.picture, wanted[index])
    assert np.any(wanted[1] != wanted[3])
    asked, looked = live.pictures.asked, live.now
    for _ in range(5):
        ready.context.view_layer.update()
        spin(lambda: not live.waiting)
    assert (live.pictures.asked, live.now, scene.frame_current) == (asked, looked, 4)
    assert len(ready.data.scenes) == 1


def test_an_answer_to_an_older_request_is_dropped(ready, live):
    from blender_addon.live import overlay
    from ex4d_protocol.events import LiveAnswer

    settle(live)
    before = overlay.current.picture
    old = live.pictures.sent
    from ex4d_protocol.live import LivePicture

    message = LivePicture(view=old.view, sequence=old.sequence, frame=0, width=2, height=2, coverage=0.0)
    live._take(LiveAnswer(123456, message, True, np.zeros((2, 2, 4), np.uint8)))
    assert overlay.current.picture is before


def test_coverage_follows_the_keyframes_by_itself(ready, live):
    from blender_addon.guides import coverage

    target = ready.context.scene.ex4d.shot
    spin(lambda: target.ex4d.coverage_json != "[]")
    first = coverage.of(target)
    assert first.size == 5 and first[0] > 0.9
    guides_of(ready, 0)
    np.testing.assert_allclose(first, coverage.of(target), atol=0.01)
    cam = target.ex4d.camera
    cam.location.x += 1.0
    cam.keyframe_insert("location", frame=3)
    ready.context.view_layer.update()
    before = target.ex4d.coverage_json
    spin(lambda: target.ex4d.coverage_json != before)
    changed = coverage.of(target)
    assert abs(changed[2] - first[2]) > 0.05
    asked = live.coverages.asked
    end = time.monotonic() + 2.0
    spin(lambda: time.monotonic() > end)
    assert live.coverages.asked == asked  # neither storing it nor following the move starts it again


def test_following_the_move_leaves_the_scene_alone(ready):
    from blender_addon.live import camera as live_camera
    from blender_addon.scene import cameras as camera

    scene = ready.context.scene
    target = scene.ex4d.shot
    cam = target.ex4d.camera
    aim = ready.data.objects.new("aim", None)
    scene.collection.objects.link(aim)
    aim.location = (0, 5, 0)
    aim.keyframe_insert("location", frame=1)
    aim.location = (1, 5, 1)
    aim.keyframe_insert("location", frame=5)
    constraint = cam.constraints.new("DAMPED_TRACK")
    constraint.target, constraint.track_axis = aim, "TRACK_NEGATIVE_Z"
    cam.data.keyframe_insert("lens", frame=1)
    cam.data.lens = 80
    cam.data.keyframe_insert("lens", frame=5)
    expected = camera.sample(ready.context, target, cam)
    cam.location.y, cam.data.lens, target.ex4d.source_time = 0.77, 33.0, 2.5  # changed, not keyed
    ready.context.view_layer.update()
    names, frame = {s.name for s in ready.data.scenes}, scene.frame_current
    steps = live_camera.follow(scene.name)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value.unpack()
            break
    np.testing.assert_allclose(found.world_from_camera, expected.world_from_camera, atol=1e-6)
    np.testing.assert_allclose(found.intrinsics, expected.intrinsics, rtol=1e-6)
    np.testing.assert_array_equal(found.source_time, expected.source_time)
    assert {s.name for s in ready.data.scenes} == names and scene.frame_current == frame
    assert (cam.location.y, cam.data.lens) == pytest.approx((0.77, 33.0))
    assert target.ex4d.source_time == pytest.approx(2.5)


def test_a_finished_edit_is_in_the_next_picture(ready, live):
    from blender_addon.live import overlay
    from blender_addon.scene import mesh as scene_mesh

    settle(live)
    before = overlay.current.picture
    body = ready.context.scene.ex4d.shot.ex4d.mesh
    assert ready.ops.ex4d.edit_frame(enter_edit_mode=False) == {"FINISHED"}
    points = scene_mesh.positions(body.data)
    near = points[:, 2] < 5
    points[near] *= 1.5
    scene_mesh.set_positions(body.data, points)
    assert ready.ops.ex4d.finish_edit() == {"FINISHED"}
    ready.context.view_layer.update()
    spin(lambda: overlay.current.picture is not before and live.is_sharp and not live.waiting)
    assert not np.array_equal(overlay.current.picture, before)
    np.testing.assert_array_equal(overlay.current.picture, guides_of(ready, 2))


def test_it_answers_while_a_take_is_being_made(ready, live):
    from blender_addon.live import overlay
    from blender_addon.takes import generate

    settle(live)
    task = generate.start(ready.context, engine="preview", seed=1, settings={})
    before = overlay.current.picture
    move_camera(ready, 0.3)
    spin(lambda: overlay.current.picture is not before)
    spin(lambda: task.finished)


@pytest.mark.parametrize("what", ["shot", "camera", "scene"])
def test_deleting_what_is_shown_is_harmless(ready, live, what):
    from blender_addon.live import overlay

    settle(live)
    scene = ready.context.scene
    target = scene.ex4d.shot
    cam = target.ex4d.camera
    move_camera(ready, 0.25)
    if what == "scene":
        ready.data.scenes.new("Other")
        ready.data.scenes.remove(scene)
    else:
        ready.data.objects.remove(target if what == "shot" else cam)
    spin(lambda: bool(live.note))
    assert live.note in ("Import a clip first.", "Add a camera move, or choose a shot camera.")
    assert overlay.current.picture is None


def test_a_new_file_and_undo_start_afresh(ready, live):
    from blender_addon.live import overlay

    settle(live)
    ready.ops.ed.undo_push(message="before")
    move_camera(ready, 0.5)
    ready.ops.ed.undo_push(message="moved")
    settle(live)
    ready.ops.ed.undo()
    spin(lambda: live.is_sharp and not live.waiting)
    ready.ops.wm.read_factory_settings(use_empty=True)
    assert overlay.current.picture is None


def test_switching_off_or_disabling_the_addon_stops_it(ready, live):
    from blender_addon.live import handlers as live_handlers
    from blender_addon.live import overlay

    settle(live)
    move_camera(ready, 0.3)
    ready.context.window_manager.ex4d_live.enabled = False
    assert overlay.current.picture is None and not live.active and not live.waiting
    move_camera(ready, 0.4)
    assert not live.pictures.is_open
    ready.context.window_manager.ex4d_live.enabled = True
    settle(live)
    ready.ops.preferences.addon_disable(module="blender_addon")
    assert not live.active and overlay.current.picture is None
    named = [(name, listener) for name, listener in live_handlers.listeners.pairs if isinstance(name, str)]
    assert named and not any(listener in getattr(ready.app.handlers, name) for name, listener in named)
    assert not hasattr(ready.types.WindowManager, "ex4d_live")
    ready.ops.preferences.addon_enable(module="blender_addon")


def test_a_slow_link_pauses_it_and_says_so(ready, live):
    from blender_addon.live import overlay

    settle(live)
    live.limit_ms = 0.01
    for k in range(40):
        move_camera(ready, 0.01 * k)
        spin(lambda: live.paused or not live.pictures.is_open)
        if live.paused:
            break
    assert live.paused.startswith("Paused: pictures take")
    assert "0 ms" in live.paused and overlay.current.picture is None
    asked = live.pictures.asked
    move_camera(ready, 0.9)
    assert live.pictures.asked == asked
    assert ready.ops.ex4d.live_resume() == {"FINISHED"}
    assert live.limit_ms == PATIENT_MS
    settle(live)


def test_it_goes_on_with_a_backend_that_was_killed_and_started_again(blender, backend_command, small_clip, tmp_path):
    from blender_addon.live import overlay
    from blender_addon.live import views as live
    from blender_addon.work import preferences
    from blender_addon.work.local_backend import LocalBackend

    def address_of(running: LocalBackend) -> str:
        steps = running.wait_address(60)
        while True:
            try:
                next(steps)
                time.sleep(0.02)
            except StopIteration as end:
                return end.value

    started = [LocalBackend(shlex.split(backend_command), base=tmp_path / "backend")]
    try:
        prepare(blender, address_of(started[0]), small_clip, tmp_path)
        preferences.get(blender.context).live_limit_ms = PATIENT_MS
        blender.context.window_manager.ex4d_live.enabled = True
        settle(live.current)
        os.kill(started[0].pid, signal.SIGKILL)
        spin(lambda: "silent" in live.current.note)
        assert live.current.enabled and not live.current.paused
        before = overlay.current.picture
        started.append(LocalBackend(shlex.split(backend_command), base=tmp_path / "other"))
        blender.ops.ex4d.connect(address=address_of(started[1]))
        spin(lambda: overlay.current.picture is not None and overlay.current.picture is not before)
        settle(live.current)
    finally:
        blender.ops.ex4d.disconnect()
        for each in started:
            each.stop()
