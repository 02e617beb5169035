"""Adding and replacing camera moves never takes what the artist made; a move comes back to the last bit."""

from __future__ import annotations

import numpy as np
import pytest


def keys(owner) -> list:
    from blender_addon.scene import keyframes

    return [(c.data_path, c.array_index, [tuple(p.co) for p in c.keyframe_points]) for c in keyframes.fcurves(owner)]


def told(capfd) -> str:
    return [line for line in capfd.readouterr().out.splitlines() if line.startswith("Info: Keyed")][-1]


@pytest.fixture
def own_camera(ready):
    """The artist's camera: keyed, on a rig, with its own lens and clipping; it is the shot's."""
    rig = ready.data.objects.new("Rig", None)
    cam = ready.data.objects.new("Mine", ready.data.cameras.new("Mine"))
    for obj in (rig, cam):
        ready.context.scene.collection.objects.link(obj)
    cam.parent, cam.data.lens, cam.data.sensor_fit, cam.data.clip_end = rig, 85, "VERTICAL", 77
    for frame in (1, 5):
        cam.location.x = frame / 10
        cam.keyframe_insert("location", frame=frame)
    ready.context.scene.ex4d.shot.ex4d.camera = cam
    return cam


def what_it_is(cam) -> tuple:
    lens = cam.data
    return (keys(cam), keys(lens), cam.parent, lens.lens, lens.sensor_fit, lens.clip_end, cam.rotation_mode)


@pytest.mark.parametrize("operator", ["add_camera_move", "replace_camera_move"])
def test_a_camera_of_the_artists_stays_as_it_was(ready, own_camera, operator, capfd):
    before = what_it_is(own_camera)
    assert getattr(ready.ops.ex4d, operator)(preset="30") == {"FINISHED"}
    made = ready.context.scene.ex4d.shot.ex4d.camera
    assert made not in (None, own_camera) and what_it_is(own_camera) == before
    assert ready.context.scene.camera == made == ready.context.view_layer.objects.active
    assert list(ready.context.selected_objects) == [made], "so its keys are seen"
    why = "stays as it was" if operator.startswith("add") else "was changed by hand or is your own, so it stays"
    said = told(capfd)
    assert f"on new camera '{made.name}', 5 frames; 'Mine' {why}" in said and said.endswith(".")


def test_retime_keys_stay(ready, capfd):
    shot = ready.context.scene.ex4d.shot
    shot.ex4d.use_source_time = True
    for frame, time in ((1, 4.0), (5, 0.0)):
        shot.ex4d.source_time = time
        shot.keyframe_insert("ex4d.source_time", frame=frame)
    before = keys(shot)
    for operator in (ready.ops.ex4d.add_camera_move, ready.ops.ex4d.replace_camera_move):
        operator(preset="zoom_in")
        assert shot.ex4d.use_source_time and keys(shot) == before
        assert "Retime stays as it was" in told(capfd)


def test_replacing_keys_only_what_a_move_made(ready, capfd):
    shot = ready.context.scene.ex4d.shot
    first = shot.ex4d.camera
    first.data.clip_end, old = 55, keys(first)
    ready.ops.ex4d.replace_camera_move(preset="60")
    assert shot.ex4d.camera == first and keys(first) != old and first.data.clip_end == 55
    assert told(capfd) == f"Info: Keyed '60' on camera '{first.name}', 5 frames."
    ready.ops.wm.save_mainfile()
    ready.ops.wm.open_mainfile(filepath=ready.data.filepath)
    shot = ready.context.scene.ex4d.shot
    first = shot.ex4d.camera
    ready.ops.ex4d.replace_camera_move(preset="30")
    assert shot.ex4d.camera == first, "it is known again in a file that was saved"


def nudge(blender, cam):
    from blender_addon.scene import keyframes

    next(iter(keyframes.fcurves(cam))).keyframe_points[2].co.y += 0.01


def ease(blender, cam):
    from blender_addon.scene import keyframes

    keyframes.set_interpolation(cam, "BEZIER")


def hang(blender, cam):
    cam.parent = None


def track(blender, cam):
    cam.constraints.new("TRACK_TO")


def zoom(blender, cam):
    cam.data.lens = 99


def share(blender, cam):
    other = cam.copy()
    blender.context.scene.collection.objects.link(other)


def key_once_more(blender, cam):
    cam.keyframe_insert("location", frame=40)


def turn(blender, cam):
    cam.rotation_mode = "QUATERNION"


@pytest.mark.parametrize("change", [nudge, ease, hang, track, zoom, share, key_once_more, turn])
def test_a_move_that_was_changed_by_hand_is_the_artists(ready, change):
    shot = ready.context.scene.ex4d.shot
    cam = shot.ex4d.camera
    change(ready, cam)
    before = what_it_is(cam)
    ready.ops.ex4d.replace_camera_move(preset="60")
    assert shot.ex4d.camera != cam and what_it_is(cam) == before


def test_the_move_is_sent_to_the_last_bit_until_it_is_changed(ready):
    from blender_addon.camera import move

    shot = ready.context.scene.ex4d.shot
    rng = np.random.default_rng(4)
    poses = np.tile(np.eye(4), (5, 1, 1))
    angles = rng.uniform(-0.4, 0.4, 5)
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angles)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(angles), -np.sin(angles)
    poses[:, :3, 3] = rng.normal(size=(5, 3))
    plain = move.sampled(ready.context, shot)
    lenses = plain.intrinsics * rng.uniform(0.9, 1.1, (5, 1))
    lenses[:, 1] = lenses[:, 0]
    given = move.Trajectory(poses, lenses, plain.source_time, plain.width, plain.height, "given")
    cam = move.apply(ready.context.scene, shot, given).camera
    shot.location, shot.rotation_euler, shot.scale = (3, -2, 9), (0.2, 1, -0.4), (2.5, 2.5, 2.5)
    ready.ops.wm.save_mainfile()
    ready.ops.wm.open_mainfile(filepath=ready.data.filepath)
    shot = ready.context.scene.ex4d.shot
    cam = shot.ex4d.camera
    again = move.sampled(ready.context, shot)
    for name in ("world_from_camera", "intrinsics", "source_time"):
        assert getattr(again, name).tobytes() == getattr(given, name).tobytes(), name
    nudge(ready, cam)
    changed = move.sampled(ready.context, shot)
    off = np.abs(changed.world_from_camera - given.world_from_camera).max(axis=(1, 2))
    assert (off > 1e-3).tolist() == [False, False, True, False, False], off


def test_takes_of_another_camera_do_not_stand_in_the_new_view(ready):
    ready.ops.ex4d.generate(engine="preview")
    (take,) = ready.context.scene.ex4d.takes
    assert not take.plane.hide_viewport
    ready.ops.ex4d.add_camera_move(preset="60")
    assert take.plane.hide_viewport and take.plane.hide_render
    ready.ops.ex4d.show_take(index=0)
    assert not take.plane.hide_viewport
