"""Any Blender camera, sampled as the backend needs it."""

from __future__ import annotations

import numpy as np
import pytest


def test_samples_project_points_where_blender_does(blender, shot, moving_camera):
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    from blender_addon.scene import cameras as camera

    scene = blender.context.scene
    samples = camera.sample(blender.context, shot, moving_camera)
    points = np.random.default_rng(1).uniform((-1, -1, 4), (1, 1, 9), (20, 3))
    for index in (0, 2, 4):
        scene.frame_set(1 + index)
        fx, fy, cx, cy = samples.intrinsics[index]
        local = np.linalg.inv(samples.world_from_camera[index]) @ np.c_[points, np.ones(20)].T
        ours = np.stack([fx * local[0] / local[2] + cx, fy * local[1] / local[2] + cy], -1)
        for point, pixel in zip(points, ours, strict=True):
            u, v, _ = world_to_camera_view(scene, moving_camera, shot.matrix_world @ Vector(point))
            assert pixel == pytest.approx((u * samples.width, (1 - v) * samples.height), abs=0.01)


def test_sampling_restores_frame_and_subframe(blender, shot, moving_camera):
    from blender_addon.scene import cameras as camera

    blender.context.scene.frame_set(3, subframe=0.25)
    camera.sample(blender.context, shot, moving_camera)
    scene = blender.context.scene
    assert (scene.frame_current, scene.frame_subframe) == (3, 0.25)


def test_source_camera_samples_as_the_identity(blender, shot, small_clip):
    from blender_addon.scene import cameras as camera

    samples = camera.sample(blender.context, shot, shot.ex4d.source_camera)
    _, height, width = small_clip.size
    np.testing.assert_allclose(samples.world_from_camera, np.broadcast_to(np.eye(4), (5, 4, 4)), atol=1e-6)
    focal = small_clip.focal_px
    np.testing.assert_allclose(samples.intrinsics[0], (focal, focal, width / 2, height / 2), rtol=1e-5)
    np.testing.assert_array_equal(samples.source_time, range(5))


@pytest.mark.parametrize("intrinsics", [(150.0, 120.0, 60.0, 50.0), (100.0, 130.0, 70.0, 44.0)])
def test_matched_camera_gives_back_its_intrinsics(blender, shot, small_clip, intrinsics):
    from blender_addon.scene import cameras as camera
    from blender_addon.scene import shot as shots

    _, height, width = small_clip.size
    props = shot.ex4d
    props.pixel_aspect = intrinsics[0] / intrinsics[1]
    camera.match_lens(props.source_camera.data, intrinsics, width=width, height=height)
    shots.fit_scene(blender.context.scene, shot)
    samples = camera.sample(blender.context, shot, props.source_camera)
    np.testing.assert_allclose(samples.intrinsics[0], intrinsics, rtol=1e-4)


def test_keyed_source_time_is_sampled(blender, shot):
    from blender_addon.scene import cameras as camera

    props = shot.ex4d
    props.use_source_time = True
    for frame, value in ((1, 4.0), (5, 0.0)):
        props.source_time = value
        shot.keyframe_insert("ex4d.source_time", frame=frame)
    from blender_addon.scene import keyframes

    keyframes.set_interpolation(shot, "LINEAR")
    samples = camera.sample(blender.context, shot, props.source_camera)
    np.testing.assert_allclose(samples.source_time, (4, 3, 2, 1, 0), atol=1e-5)


def test_constraints_and_parents_are_sampled_as_they_look(blender, shot):
    from blender_addon.scene import cameras as camera

    target = blender.data.objects.new("Target", None)
    rig = blender.data.objects.new("Rig", None)
    mover = blender.data.objects.new("Free", blender.data.cameras.new("Free"))
    for obj in (target, rig, mover):
        blender.context.collection.objects.link(obj)
    mover.parent, mover.scale = rig, (3, 3, 3)
    rig.location, target.location = (4, -4, 2), (0, 6, 0)
    track = mover.constraints.new("TRACK_TO")
    track.target, track.track_axis, track.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
    samples = camera.sample(blender.context, shot, mover)
    forward = samples.world_from_camera[0][:3, 2]  # in OpenCV axes: Blender (x, y, z) is (x, -z, y)
    np.testing.assert_allclose(forward, np.array([-4, 2, 10]) / np.sqrt(120), atol=1e-5)


def test_orthographic_camera_is_refused(blender, shot):
    from blender_addon.scene import cameras as camera
    from blender_addon.work.errors import AddonError

    shot.ex4d.source_camera.data.type = "ORTHO"
    with pytest.raises(AddonError, match="is ortho; set its type to Perspective"):
        camera.sample(blender.context, shot, shot.ex4d.source_camera)


def test_nan_camera_is_refused_with_its_frame(blender, shot):
    from blender_addon.scene import cameras as camera
    from blender_addon.work.errors import AddonError

    cam = shot.ex4d.source_camera
    cam.delta_location.x = float("nan")
    with pytest.raises(AddonError, match=r"'clip Source Camera' at frame 1 holds NaN"):
        camera.sample(blender.context, shot, cam)
