"""Live mode follows the scene: other objects, hidden cameras, keyframes and edits, and leaves it as it is."""

from __future__ import annotations

import time

import numpy as np
import pytest
from live_parts import guide_shown, guides_of, settle, spin

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def cube(filmed):
    """A cube that moves before everything else, as known geometry."""
    data = filmed.data.meshes.new("Cube")
    corners = [(x, y, z) for x in (-0.3, 0.3) for y in (-0.3, 0.3) for z in (-0.3, 0.3)]
    data.from_pydata(corners, [], [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    made = filmed.data.objects.new("Cube", data)
    filmed.context.scene.collection.objects.link(made)
    made.parent = filmed.context.scene.ex4d.shot
    for frame, x in ((1, -0.3), (5, 0.4)):
        made.location = (x, 0.2, 2.5)
        made.keyframe_insert("location", frame=frame)
    made.ex4d.role = "GUIDE"
    return made


def test_other_objects_are_in_the_picture_as_in_the_guides(filmed, cube, live):
    from blender_addon.live import overlay

    settle(live)
    seen = guide_shown()
    np.testing.assert_array_equal(seen, guides_of(filmed, 2))
    filmed.context.scene.frame_set(5)
    filmed.context.view_layer.update()
    spin(lambda: overlay.current.frame == 5 and live.is_sharp)
    np.testing.assert_array_equal(guide_shown(), guides_of(filmed, 4))
    for change in (lambda: setattr(cube.ex4d, "role", "HOLDOUT"), lambda: setattr(cube, "scale", (2, 2, 2))):
        before = guide_shown()
        change()
        filmed.context.view_layer.update()
        wanted = guides_of(filmed, 4)
        assert not np.array_equal(wanted, before)
        spin(lambda wanted=wanted: np.array_equal(guide_shown(), wanted))
    assert tuple(cube.scale) == (2, 2, 2) and len(filmed.data.scenes) == 1


def test_coverage_that_follows_by_itself_counts_other_objects(filmed, cube):
    from blender_addon.guides import coverage
    from blender_addon.live import views as live

    shot = filmed.context.scene.ex4d.shot
    filmed.ops.ex4d.render_guides()
    wanted = coverage.current(shot).copy()
    shot.ex4d.coverage_json = "[]"
    filmed.context.window_manager.ex4d_live.auto_coverage = True
    spin(lambda: len(coverage.current(shot)) == 5 and not live.current.computes_coverage)
    np.testing.assert_allclose(coverage.current(shot), wanted, atol=0.01)


@pytest.mark.parametrize("hidden", ["switched off", "excluded"])
def test_a_hidden_camera_is_shown_where_it_is_at_each_frame(filmed, live, hidden):

    scene = filmed.context.scene
    cam = scene.ex4d.shot.ex4d.camera
    for frame, x in ((1, 0.0), (5, 0.8)):
        cam.location.x = x
        cam.keyframe_insert("location", frame=frame)
    wanted = {index: guides_of(filmed, index) for index in (1, 3)}
    if hidden == "switched off":
        cam.hide_viewport = True
    else:
        rigs = filmed.data.collections.new("Rigs")
        scene.collection.children.link(rigs)
        for other in cam.users_collection:
            other.objects.unlink(cam)
        rigs.objects.link(cam)
        filmed.context.view_layer.layer_collection.children["Rigs"].exclude = True
    for index in (1, 3):
        scene.frame_set(index + 1)
        settle(live)
        np.testing.assert_array_equal(guide_shown(), wanted[index])
    assert np.any(wanted[1] != wanted[3])
    asked, looked = live.pictures.asked, live.now
    for _ in range(5):
        filmed.context.view_layer.update()
        spin(lambda: not live.waiting)
    assert (live.pictures.asked, live.now, scene.frame_current) == (asked, looked, 4)
    assert len(filmed.data.scenes) == 1


def test_coverage_follows_the_keyframes_by_itself(filmed, live):
    from blender_addon.guides import coverage

    target = filmed.context.scene.ex4d.shot
    spin(lambda: target.ex4d.coverage_json != "[]")
    first = coverage.of(target)
    assert first.size == 5 and first[0] > 0.9
    guides_of(filmed, 0)
    np.testing.assert_allclose(first, coverage.of(target), atol=0.01)
    cam = target.ex4d.camera
    cam.location.x += 1.0
    cam.keyframe_insert("location", frame=3)
    filmed.context.view_layer.update()
    before = target.ex4d.coverage_json
    spin(lambda: target.ex4d.coverage_json != before)
    changed = coverage.of(target)
    assert abs(changed[2] - first[2]) > 0.05
    asked = live.coverages.asked
    end = time.monotonic() + 2.0
    spin(lambda: time.monotonic() > end)
    assert live.coverages.asked == asked  # neither storing it nor following the move starts it again


def test_following_the_move_leaves_the_scene_alone(filmed):
    from blender_addon.live import camera as live_camera
    from blender_addon.scene import cameras as camera

    scene = filmed.context.scene
    target = scene.ex4d.shot
    cam = target.ex4d.camera
    aim = filmed.data.objects.new("aim", None)
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
    expected = camera.sample(filmed.context, target, cam)
    cam.location.y, cam.data.lens, target.ex4d.source_time = 0.77, 33.0, 2.5  # changed, not keyed
    filmed.context.view_layer.update()
    names, frame = {s.name for s in filmed.data.scenes}, scene.frame_current
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
    assert {s.name for s in filmed.data.scenes} == names and scene.frame_current == frame
    assert (cam.location.y, cam.data.lens) == pytest.approx((0.77, 33.0))
    assert target.ex4d.source_time == pytest.approx(2.5)


def test_a_finished_edit_is_in_the_next_picture(filmed, live):
    from blender_addon.live import overlay
    from blender_addon.scene import mesh as scene_mesh

    settle(live)
    before = overlay.current.picture
    body = filmed.context.scene.ex4d.shot.ex4d.mesh
    assert filmed.ops.ex4d.edit_frame(enter_edit_mode=False) == {"FINISHED"}
    points = scene_mesh.positions(body.data)
    near = points[:, 2] < 5
    points[near] *= 1.5
    scene_mesh.set_positions(body.data, points)
    assert filmed.ops.ex4d.finish_edit() == {"FINISHED"}
    filmed.context.view_layer.update()
    spin(lambda: overlay.current.picture is not before and live.is_sharp and not live.waiting)
    assert not np.array_equal(overlay.current.picture, before)
    np.testing.assert_array_equal(guide_shown(), guides_of(filmed, 2))
