"""The source rig: what was filmed goes where the filming camera went, and the world stands still."""

from __future__ import annotations

import numpy as np
import pytest
from filmed_room import handheld, project, room

FLIP = np.diag([1.0, -1, -1, 1])


@pytest.fixture(scope="module")
def filmed():
    return room()


@pytest.fixture
def shot(blender, filmed):
    """The room as a shot, moved and scaled, without a filming camera."""
    from small_shot import build_shot

    made = build_shot(blender, filmed.clip)
    made.location, made.rotation_euler[2] = (1, 2, 3), 0.4
    made.ex4d.scene_scale = 2.0
    return made


@pytest.fixture
def camera_file(filmed, tmp_path):
    from ex4d_ground.camera_files import save_camera

    path = tmp_path / "filmed.npz"
    save_camera(path, filmed.camera.as_trajectory())
    return path


@pytest.fixture
def rigged(blender, shot, camera_file):
    assert blender.ops.ex4d.film_from_file(filepath=str(camera_file)) == {"FINISHED"}
    return shot


def evaluated(blender, obj, frame):
    blender.context.scene.frame_set(frame)
    return np.array(obj.evaluated_get(blender.context.evaluated_depsgraph_get()).matrix_world)


def sampled(blender, shot, camera):
    from blender_addon.scene import cameras

    return cameras.sample(blender.context, shot, camera)


def retime(shot, times):
    from blender_addon.scene import keyframes

    shot.ex4d.use_source_time = True
    for index, time in enumerate(times):
        shot.ex4d.source_time = time
        shot.keyframe_insert("ex4d.source_time", frame=1 + index)
    keyframes.set_interpolation(shot, "CONSTANT", paths=("ex4d.source_time",))


def test_mesh_and_source_camera_go_where_the_filming_camera_went(blender, rigged, filmed):
    world = np.array(rigged.matrix_world)
    for t in range(len(filmed.camera)):
        pose = filmed.camera.world_from_camera[t]
        np.testing.assert_allclose(evaluated(blender, rigged.ex4d.mesh, 1 + t), world @ pose, atol=1e-5)
        np.testing.assert_allclose(evaluated(blender, rigged.ex4d.source_camera, 1 + t), world @ pose @ FLIP, atol=1e-5)


def test_the_source_camera_samples_as_the_path_in_the_world(blender, rigged, filmed):
    move = sampled(blender, rigged, rigged.ex4d.source_camera)
    np.testing.assert_allclose(move.world_from_camera, filmed.camera.world_from_camera, atol=1e-5)


def test_fixed_points_of_the_room_stand_still(blender, rigged, filmed):
    """The floor's vertices lie on one plane of Blender's world at every frame."""
    from blender_addon.scene import mesh

    heights = []
    for frame in (1, 5, 12):
        matrix = evaluated(blender, rigged.ex4d.mesh, frame)
        points = mesh.evaluated_positions(rigged.ex4d.mesh, blender.context.evaluated_depsgraph_get())
        local = points @ filmed.camera.world_from_camera[frame - 1][:3, :3].T
        local += filmed.camera.world_from_camera[frame - 1][:3, 3]
        floor = np.abs(local[:, 1] - 1.2) < 1e-3
        assert floor.sum() > 1000
        heights.append((points[floor] @ matrix[:3, :3].T + matrix[:3, 3])[:, 2])
    expected = (np.array(rigged.matrix_world) @ (0, 1.2, 0, 1))[2]
    for each in heights:
        np.testing.assert_allclose(each, expected, atol=3e-3)  # what counts as floor, twice as large


def test_quaternions_have_no_jumps_of_their_sign(blender, shot, tmp_path):
    """A camera that turns once around: its quaternions go to the other sign, and on."""
    from blender_addon.scene import keyframes, rig
    from ex4d_ground.cameras import Intrinsics
    from ex4d_ground.poses import pose, rotation_y
    from ex4d_ground.source_camera import SourceCamera

    turns = rotation_y(np.linspace(0, 2 * np.pi, 12))
    around = SourceCamera.of(pose(turns, np.zeros((12, 3))), Intrinsics(150, 150, 80, 60, 160, 120))
    rig.put(shot, around, shot.users_collection[0])
    keys = np.stack(
        [
            [point.co[1] for point in curve.keyframe_points]
            for curve in keyframes.fcurves(shot.ex4d.rig)
            if curve.data_path == "rotation_quaternion"
        ]
    )
    assert keys.shape == (4, 12)
    assert (keys[:, 1:] * keys[:, :-1]).sum(axis=0).min() > 0.9
    half = evaluated(blender, shot.ex4d.rig, 6)[:3, :3] / 2
    between = (np.array(shot.matrix_world)[:3, :3] / 2) @ turns[5]
    np.testing.assert_allclose(half, between, atol=1e-5)


TIMES = (0.0, 3.4, 3.5, 1.0, 11.0, 11.0, 7.0, 2.0, 0.0, 4.6, 9.0, 10.4)
NEAREST = (0, 3, 4, 1, 11, 11, 7, 2, 0, 5, 9, 10)


def test_the_rig_follows_the_source_frame_when_retimed(blender, rigged, filmed):
    retime(rigged, TIMES)
    world = np.array(rigged.matrix_world)
    for index, nearest in enumerate(NEAREST):
        wanted = world @ filmed.camera.world_from_camera[nearest]
        np.testing.assert_allclose(evaluated(blender, rigged.ex4d.mesh, 1 + index), wanted, atol=1e-5)
    rigged.ex4d.use_source_time = False
    wanted = world @ filmed.camera.world_from_camera[3]
    np.testing.assert_allclose(evaluated(blender, rigged.ex4d.mesh, 4), wanted, atol=1e-5)


def test_a_rig_that_comes_to_a_retimed_shot_follows_it(blender, shot, filmed, camera_file):
    retime(shot, TIMES)
    blender.ops.ex4d.film_from_file(filepath=str(camera_file))
    for index in (1, 4, 9):
        wanted = np.array(shot.matrix_world) @ filmed.camera.world_from_camera[NEAREST[index]]
        np.testing.assert_allclose(evaluated(blender, shot.ex4d.mesh, 1 + index), wanted, atol=1e-5)


def test_lock_to_world_stays_where_the_frame_was_filmed(blender, rigged, filmed):
    blender.context.scene.frame_set(8)
    assert blender.ops.ex4d.lock_to_world() == {"FINISHED"}
    made = rigged.ex4d.camera
    assert blender.context.scene.camera == made and made.parent == rigged
    move = sampled(blender, rigged, made)
    expected = np.broadcast_to(filmed.camera.world_from_camera[7], (12, 4, 4))
    np.testing.assert_allclose(move.world_from_camera, expected, atol=1e-5)
    np.testing.assert_allclose(move.intrinsics, filmed.camera.intrinsics, rtol=1e-5)


def test_a_locked_camera_of_a_retimed_shot_stands_at_the_frame_that_is_shown(blender, rigged, filmed):
    retime(rigged, TIMES)
    blender.context.scene.frame_set(7)
    blender.ops.ex4d.lock_to_world()
    move = sampled(blender, rigged, rigged.ex4d.camera)
    np.testing.assert_allclose(move.world_from_camera[0], filmed.camera.world_from_camera[7], atol=1e-5)
    np.testing.assert_allclose(move.source_time, TIMES)


def test_follow_the_source_rides_on_it(blender, rigged, filmed):
    blender.ops.ex4d.follow_source()
    made = rigged.ex4d.camera
    move = sampled(blender, rigged, made)
    np.testing.assert_allclose(move.world_from_camera, filmed.camera.world_from_camera, atol=1e-5)
    made.location.x += 0.5
    move = sampled(blender, rigged, made)
    beside = filmed.camera.world_from_camera @ np.array([0.5, 0, 0, 1])
    np.testing.assert_allclose(move.world_from_camera[:, :, 3], beside, atol=1e-5)
    retime(rigged, TIMES)
    move = sampled(blender, rigged, made)
    np.testing.assert_allclose(move.world_from_camera[:, :, 3], beside[list(NEAREST)], atol=1e-5)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_stabilise_keys_the_path_without_its_shake(blender, rigged, filmed, strength):
    from ex4d_ground.filmed_paths import stabilised

    assert blender.ops.ex4d.stabilise(strength=strength) == {"FINISHED"}
    move = sampled(blender, rigged, rigged.ex4d.camera)
    wanted = stabilised(filmed.camera, strength * 24, np.arange(12.0))
    np.testing.assert_allclose(move.world_from_camera, wanted.world_from_camera, atol=1e-5)
    shake = [np.abs(np.diff(path.world_from_camera[:, :3, 3], 2, axis=0)).mean() for path in (move, filmed.camera)]
    assert shake[0] < 0.5 * shake[1] if strength else shake[0] == pytest.approx(shake[1], rel=1e-3)


def test_saved_and_opened_again_all_is_as_it_was(blender, rigged, filmed):
    from blender_addon.scene import rig

    blender.ops.ex4d.follow_source()
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    again = blender.context.scene.ex4d.shot
    found = rig.as_filmed(again)
    np.testing.assert_array_equal(found.world_from_camera, filmed.camera.world_from_camera)
    move = sampled(blender, again, again.ex4d.camera)
    np.testing.assert_allclose(move.world_from_camera, filmed.camera.world_from_camera, atol=1e-5)
    assert again.ex4d.mesh.parent == again.ex4d.rig


def test_removing_the_rig_leaves_the_shot_as_it_was_without_one(blender, shot, camera_file):
    from blender_addon.scene import rig

    before = state_of(blender, shot)
    blender.ops.ex4d.film_from_file(filepath=str(camera_file))
    assert state_of(blender, shot) != before
    assert blender.ops.ex4d.film_from_nowhere() == {"FINISHED"}
    assert state_of(blender, shot) == before
    assert rig.filmed_by(shot) is None and not shot.ex4d.filmed_note
    assert not [each for each in blender.data.objects if "Rig" in each.name]
    assert not [each for each in blender.data.actions if "Rig" in each.name]


def state_of(blender, shot) -> list:
    found = []
    for frame in (1, 6, 12):
        for obj in (shot.ex4d.mesh, shot.ex4d.source_camera):
            found.append(evaluated(blender, obj, frame).tolist())
        lens = shot.ex4d.source_camera.data
        found.append((lens.lens, lens.shift_x, lens.shift_y, shot.ex4d.mesh.modifiers[0].filepath))
    return found


def test_a_rig_that_was_moved_by_hand_is_refused_in_a_sentence(blender, rigged):
    from blender_addon.scene import keyframes, rig
    from blender_addon.work.errors import AddonError

    assert rig.as_filmed(rigged) is not None
    curve = next(c for c in keyframes.fcurves(rigged.ex4d.rig) if c.data_path == "location")
    curve.keyframe_points[4].co[1] += 0.1
    with pytest.raises(AddonError, match="'clip Source Rig' was moved by hand"):
        rig.as_filmed(rigged)
    with pytest.raises(RuntimeError, match="moved by hand"):
        blender.ops.ex4d.stabilise()
    assert blender.ops.ex4d.film_from_camera(camera="clip Source Camera") == {"FINISHED"}
    assert rig.as_filmed(rigged) is not None


def test_a_deleted_rig_is_told(blender, rigged):
    from blender_addon.scene import rig
    from blender_addon.work.errors import AddonError

    blender.data.objects.remove(rigged.ex4d.rig)
    with pytest.raises(AddonError, match="was deleted"):
        rig.as_filmed(rigged)


def test_a_file_of_another_length_or_shape_is_refused(blender, shot, tmp_path):
    from ex4d_ground.camera_files import save_camera

    for frames, width, said in ((5, 160, "has 5 cameras, the shot's clip has 12 frames"), (12, 240, "same shape")):
        path = tmp_path / f"{frames}_{width}.npz"
        save_camera(path, handheld(frames, width=width, height=120, focal_px=150).as_trajectory())
        with pytest.raises(RuntimeError, match=said):
            blender.ops.ex4d.film_from_file(filepath=str(path))
    assert shot.ex4d.rig is None and not shot.ex4d.filmed_by


def test_a_camera_that_stands_still_makes_no_rig(blender, shot, tmp_path):
    from ex4d_ground.camera_files import save_camera
    from ex4d_ground.cameras import Intrinsics
    from ex4d_ground.source_camera import SourceCamera

    still = SourceCamera.still(12, Intrinsics(150, 150, 80, 60, 160, 120))
    save_camera(tmp_path / "still.npz", still.as_trajectory())
    blender.ops.ex4d.film_from_file(filepath=str(tmp_path / "still.npz"))
    assert shot.ex4d.rig is None and not shot.ex4d.filmed_by
    assert "stands still" in shot.ex4d.filmed_note


@pytest.mark.parametrize("name", ["colmap", "transforms.json"])
def test_files_of_other_programs_are_read(blender, shot, filmed, tmp_path, name):
    from ex4d_ground.camera_files import save_camera

    save_camera(tmp_path / name, filmed.camera.as_trajectory())
    blender.ops.ex4d.film_from_file(filepath=str(tmp_path / name), scale=2.0)
    move = sampled(blender, shot, shot.ex4d.source_camera)
    wanted = filmed.camera.scaled(2.0).world_from_camera
    np.testing.assert_allclose(move.world_from_camera, wanted, atol=1e-5)


def test_a_zoom_keys_the_lens_and_the_mesh_fills_the_picture_on_every_frame(blender, filmed, tmp_path):
    """The mesh's vertices stay on their pixels through the zooming source camera."""
    from small_shot import build_shot

    from blender_addon.scene import mesh
    from ex4d_ground.camera_files import save_camera

    zooming = room(zoom=1.5)
    shot = build_shot(blender, zooming.clip)
    save_camera(tmp_path / "zoom.npz", zooming.camera.as_trajectory())
    blender.ops.ex4d.film_from_file(filepath=str(tmp_path / "zoom.npz"))
    move = sampled(blender, shot, shot.ex4d.source_camera)
    np.testing.assert_allclose(move.intrinsics, zooming.camera.intrinsics, rtol=1e-5)
    rows, columns = np.mgrid[:120, :160] + 0.5
    for t in (0, 5, 11):
        blender.context.scene.frame_set(1 + t)
        points = mesh.evaluated_positions(shot.ex4d.mesh, blender.context.evaluated_depsgraph_get())
        fx, fy, cx, cy = zooming.camera.intrinsics[t]
        np.testing.assert_allclose(points[:, 0] / points[:, 2] * fx + cx, columns.ravel(), atol=1e-2)
        np.testing.assert_allclose(points[:, 1] / points[:, 2] * fy + cy, rows.ravel(), atol=1e-2)
    blender.ops.ex4d.follow_source()
    retime(shot, TIMES)
    move = sampled(blender, shot, shot.ex4d.camera)
    np.testing.assert_allclose(move.intrinsics, zooming.camera.intrinsics[list(NEAREST)], rtol=1e-4)
    shot.ex4d.use_source_time = False
    blender.ops.ex4d.film_from_nowhere()
    blender.context.scene.frame_set(12)
    points = mesh.evaluated_positions(shot.ex4d.mesh, blender.context.evaluated_depsgraph_get())
    np.testing.assert_array_equal(points, zooming.clip.vertices(11))


def test_fixed_points_are_seen_where_they_were_filmed(blender, rigged, filmed):
    """What is put into Blender's world on the floor is seen by the source camera where the filming one saw it."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    scene = blender.context.scene
    spot = np.array([0.3, 1.2, 5.0])
    truth = project(filmed.camera, spot[None])[:, 0]
    for t in range(12):
        scene.frame_set(1 + t)
        u, v, _ = world_to_camera_view(scene, rigged.ex4d.source_camera, rigged.matrix_world @ Vector(spot))
        assert (u * 160, (1 - v) * 120) == pytest.approx(tuple(truth[t]), abs=0.01)


def test_a_linked_shot_keeps_its_rig_and_is_told_where_to_change_it(blender, rigged, filmed, tmp_path):
    """A library override of it gets cameras of its own; how it was filmed is its file's."""
    rigged.users_collection[0].name = "Room"
    blender.ops.wm.save_mainfile()
    library = blender.data.filepath
    blender.ops.wm.read_homefile(use_empty=True)
    blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "uses.blend"))
    with blender.data.libraries.load(library, link=True) as (_, wanted):
        wanted.collections = ["Room"]
    scene = blender.context.scene
    linked = wanted.collections[0]
    scene.collection.children.link(linked)
    made = linked.override_hierarchy_create(scene, blender.context.view_layer, do_fully_editable=True)
    scene.collection.children.unlink(linked)
    shot = next(each for each in made.all_objects if each.ex4d.is_shot)
    scene.ex4d.shot = shot
    blender.context.scene.frame_set(6)
    assert blender.ops.ex4d.lock_to_world() == {"FINISHED"}
    move = sampled(blender, shot, shot.ex4d.camera)
    np.testing.assert_allclose(move.world_from_camera[0], filmed.camera.world_from_camera[5], atol=1e-5)
    with pytest.raises(RuntimeError, match="comes from another file"):
        blender.ops.ex4d.film_from_nowhere()
