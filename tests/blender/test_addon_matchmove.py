"""A camera that Blender's own tracker has solved drives a shot: any place, turn and size of its world."""

from __future__ import annotations

import numpy as np
import pytest
from filmed_room import FLOOR_Y, project, room
from small_shot import build_shot
from tracked_clip import solved_clip, tracked_camera


@pytest.fixture(scope="module")
def filmed():
    return room()


@pytest.fixture
def tracked(blender, filmed, tmp_path):
    """Blender's VFX template with the room as a shot and a solved camera, which stands somewhere else, four times as
    large."""
    from mathutils import Matrix

    blender.ops.wm.read_homefile(app_template="VFX")
    blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "vfx.blend"))
    blender.ops.preferences.addon_enable(module="blender_addon")  # a template has its own
    folder = tmp_path / "pictures"
    folder.mkdir()
    clip = solved_clip(blender, filmed, folder)
    shot = build_shot(blender, filmed.clip)
    camera = tracked_camera(blender, clip, blender.context.scene)
    camera.matrix_world = Matrix.LocRotScale((5, -3, 2), Matrix.Rotation(1.2, 3, "X").to_quaternion(), (4, 4, 4))
    return shot, camera


def as_seen(blender, camera, frame, point):
    """Pixels where Blender's camera sees a point of its world."""
    from bpy_extras.object_utils import world_to_camera_view

    scene = blender.context.scene
    scene.frame_set(frame)
    u, v, _ = world_to_camera_view(scene, camera, point)
    return np.array((u * scene.render.resolution_x, (1 - v) * scene.render.resolution_y))


def test_a_tracked_camera_drives_the_shot_in_the_depths_unit(blender, tracked, filmed):
    from blender_addon.scene import cameras, rig

    shot, camera = tracked
    assert blender.ops.ex4d.film_from_camera(camera=camera.name) == {"FINISHED"}
    found = rig.as_filmed(shot)
    assert found.origin == "tracked"
    np.testing.assert_allclose(found.world_from_camera, filmed.camera.world_from_camera, atol=2e-3)
    move = cameras.sample(blender.context, shot, shot.ex4d.source_camera)
    np.testing.assert_allclose(move.world_from_camera, found.world_from_camera, atol=1e-5)
    assert "tracked points" in shot.ex4d.filmed_note


def test_the_shot_stands_in_the_match_moves_world(blender, tracked, filmed):
    """Source camera and tracked camera are one in Blender's world, at every frame."""
    shot, camera = tracked
    blender.ops.ex4d.film_from_camera(camera=camera.name)
    scene = blender.context.scene
    for frame in (1, 6, 12):
        scene.frame_set(frame)
        graph = blender.context.evaluated_depsgraph_get()
        ours, theirs = (
            each.evaluated_get(graph).matrix_world.normalized() for each in (shot.ex4d.source_camera, camera)
        )
        np.testing.assert_allclose(np.array(ours), np.array(theirs), atol=2e-4)


def test_a_cube_on_the_floor_stays_within_a_pixel_of_the_truth(blender, tracked, filmed):
    """The artist puts a cube on the floor of the shot's first frame; where it is seen later is where the room's is."""
    from mathutils import Vector

    shot, camera = tracked
    blender.ops.ex4d.film_from_camera(camera=camera.name)
    corners = np.array([0.4, FLOOR_Y, 5.0]) + 0.4 * np.array(np.meshgrid([0, 1], [-1, 0], [0, 1])).reshape(3, -1).T
    truth = project(filmed.camera, corners)
    world = shot.matrix_world.copy()
    for t in range(len(filmed.camera)):
        for corner, wanted in zip(corners, truth[t], strict=True):
            point = world @ Vector(corner)
            for eye in (shot.ex4d.source_camera, camera):
                assert np.linalg.norm(as_seen(blender, eye, 1 + t, point) - wanted) < 1.0


def test_a_stated_scale_and_place_are_the_artists(blender, tracked, filmed):
    from blender_addon.scene import rig

    shot, camera = tracked
    stood = shot.matrix_world.copy()
    blender.ops.ex4d.film_from_camera(camera=camera.name, scale=0.5, place=False)
    assert shot.matrix_world == stood
    twice = rig.as_filmed(shot).world_from_camera[:, :3, 3]
    scene = blender.context.scene
    places = []
    for frame in (1, 12):
        scene.frame_set(frame)
        places.append(camera.evaluated_get(blender.context.evaluated_depsgraph_get()).matrix_world.translation.copy())
    assert np.linalg.norm(twice[-1]) == pytest.approx(0.5 * (places[1] - places[0]).length, rel=1e-4)
    assert "Its scale 0.5 is as stated" in shot.ex4d.filmed_note


def test_a_solve_that_lacks_frames_is_told_with_the_first(blender, tracked):
    shot, camera = tracked
    camera.constraints[0].clip.frame_start = 4
    with pytest.raises(RuntimeError, match=r"no camera at 3 of the shot's 12 frames, first at scene frame 1"):
        blender.ops.ex4d.film_from_camera(camera=camera.name)
    assert shot.ex4d.rig is None


def test_a_clip_that_is_not_solved_is_told(blender, tracked, tmp_path):
    _, camera = tracked
    other = blender.data.movieclips.load(str(tmp_path / "pictures" / "0002.png"))
    camera.constraints[0].clip = other
    with pytest.raises(RuntimeError, match="is not solved; press Solve Camera Motion"):
        blender.ops.ex4d.film_from_camera(camera=camera.name)


def test_any_keyed_camera_drives_a_shot(blender, filmed, tmp_path):
    """No tracker: a camera with keys, below a rig of the artist's, hidden; its lengths are the scene's."""
    from blender_addon.scene import axes, keyframes, rig

    shot = build_shot(blender, filmed.clip)
    shot.ex4d.scene_scale = 2.0
    above = blender.data.objects.new("Crane", None)
    camera = blender.data.objects.new("Keyed", blender.data.cameras.new("Keyed"))
    for obj in (above, camera):
        blender.context.scene.collection.objects.link(obj)
    camera.parent, above.location = above, (7, 8, 9)
    camera.data.lens, camera.data.sensor_width = filmed.clip.focal_px * 36 / 160, 36
    twice = filmed.camera.scaled(2.0).world_from_camera
    keyframes.key_poses(camera, axes.blender_from_pose(twice), frame_start=1)
    camera.hide_viewport = True
    blender.ops.ex4d.film_from_camera(camera="Keyed")
    found = rig.as_filmed(shot)
    assert found.origin == "given" and camera.hide_viewport
    np.testing.assert_allclose(found.world_from_camera, filmed.camera.world_from_camera, atol=1e-5)


@pytest.mark.parametrize("layout", ["FBX", "ALEMBIC"])
@pytest.mark.feature("exports")
def test_a_camera_of_another_program_drives_a_shot(blender, filmed, tmp_path, layout):
    """What left as FBX or Alembic comes back by Blender's own importer, and films the shot as before."""
    from blender_addon.scene import rig
    from ex4d_ground.camera_files import save_camera

    shot = build_shot(blender, filmed.clip)
    save_camera(tmp_path / "filmed.npz", filmed.camera.as_trajectory())
    blender.ops.ex4d.film_from_file(filepath=str(tmp_path / "filmed.npz"))
    blender.ops.ex4d.follow_source()
    assert blender.ops.ex4d.export_camera(layout_name=layout, filepath=str(tmp_path / "move")) == {"FINISHED"}
    blender.ops.ex4d.film_from_nowhere()
    known = set(blender.data.objects)
    if layout == "FBX":
        blender.ops.import_scene.fbx(filepath=str(tmp_path / "move.fbx"), anim_offset=0.0)
    else:
        blender.ops.wm.alembic_import(filepath=str(tmp_path / "move.abc"), as_background_job=False)
    (found,) = [obj for obj in blender.data.objects if obj not in known and obj.type == "CAMERA"]
    assert blender.ops.ex4d.film_from_camera(camera=found.name, place=False) == {"FINISHED"}
    path = rig.as_filmed(shot)
    np.testing.assert_allclose(path.world_from_camera, filmed.camera.world_from_camera, atol=3e-3)
