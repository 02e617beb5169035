"""Source time: mesh and footage show the frame the backend would show."""

from __future__ import annotations

import numpy as np
import pytest

TIMES = (0.0, 3.4, 3.5, 1.0, 4.0)
NEAREST = (0, 3, 4, 1, 4)


@pytest.fixture
def retimed(blender, shot):
    shot.ex4d.use_source_time = True
    for index, time in enumerate(TIMES):
        shot.ex4d.source_time = time
        shot.keyframe_insert("ex4d.source_time", frame=1 + index)
    from blender_addon.scene import keyframes

    keyframes.set_interpolation(shot, "CONSTANT")
    return shot


def positions(blender, shot):
    from blender_addon.scene import mesh

    return mesh.evaluated_positions(shot.ex4d.mesh, blender.context.evaluated_depsgraph_get())


def test_mesh_shows_the_nearest_source_frame(blender, retimed, small_clip):
    for index, nearest in enumerate(NEAREST):
        blender.context.scene.frame_set(1 + index)
        np.testing.assert_array_equal(positions(blender, retimed), small_clip.vertices(nearest))


@pytest.mark.feature("colours")
def test_footage_follows_the_mesh(blender, retimed, small_clip, render):
    for index in (1, 2, 3):
        blender.context.scene.frame_set(1 + index)
        picture = render()
        shown = picture[..., 3] > 127
        np.testing.assert_array_equal(shown, small_clip.visible[NEAREST[index]])
        error = np.abs(picture[..., :3].astype(int) - small_clip.frames[NEAREST[index]])[shown]
        assert error.max() <= 1


def test_turning_it_off_plays_the_timeline_again(blender, retimed, small_clip):
    retimed.ex4d.use_source_time = False
    blender.context.scene.frame_set(2)
    np.testing.assert_array_equal(positions(blender, retimed), small_clip.vertices(1))
    tree = retimed.ex4d.mesh.data.materials[0].node_tree
    assert not tree.animation_data or not tree.animation_data.drivers


def test_the_backend_gets_the_keyed_times(blender, retimed):
    from blender_addon.scene import cameras as camera

    sampled = camera.sample(blender.context, retimed, retimed.ex4d.source_camera)
    np.testing.assert_allclose(sampled.source_time, TIMES)
