"""What is dragged in the 3D view: the wipe of a comparison, and the point that a move turns around."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize(("x", "wipe"), [(100, 0.0), (200, 0.25), (500, 1.0), (40, 0.0), (900, 1.0)])
def test_the_wipe_follows_the_mouse_within_the_frame(blender, x, wipe):
    from blender_addon.takes import wipe_gizmo

    assert wipe_gizmo.wipe_at(x, 100, 500) == wipe


def test_a_frame_without_width_has_a_wipe_too(blender):
    from blender_addon.takes import wipe_gizmo

    assert wipe_gizmo.wipe_at(100, 100, 100) == 0.0


def test_the_point_stands_where_the_move_turns(blender, shot):
    """On the source camera's axis, at the near depth plus the margin that every move adds."""
    from blender_addon.camera import centre_gizmo, move

    shot.location, shot.scale = (1, 2, 3), (2, 2, 2)
    blender.context.view_layer.update()
    point = shot.matrix_world.inverted() @ centre_gizmo.point_of(blender.context)
    np.testing.assert_allclose(point, (0, 0, shot.ex4d.near_depth + move.ORBIT_MARGIN), atol=1e-5)


def test_dragging_the_point_makes_the_depth_ones_own(blender, shot):
    from blender_addon.camera import centre_gizmo, move

    props = blender.context.scene.ex4d
    centre_gizmo.put_depth(blender.context, 5.0)
    assert props.centre == "OWN"
    assert move.centre_depth(blender.context, shot, "OWN") == pytest.approx(5.0 - move.ORBIT_MARGIN, abs=1e-6)
    assert centre_gizmo.depth_shown(blender.context) == pytest.approx(5.0, abs=1e-6)
    centre_gizmo.put_depth(blender.context, -1.0)
    assert move.centre_depth(blender.context, shot, "OWN") > 0, "never behind the camera"


def test_where_nothing_says_the_centre_the_point_is_at_the_camera(blender, shot):
    from blender_addon.camera import centre_gizmo

    scene = blender.context.scene
    scene.ex4d.centre, scene.cursor.location = "CURSOR", (0, -50, 0)  # behind the camera: a move would refuse it
    assert centre_gizmo.depth_shown(blender.context) == 0.0


def test_the_point_is_there_while_the_shot_or_its_camera_is_active(blender, shot):
    from blender_addon.camera.centre_gizmo import EX4D_GGT_centre

    context = blender.context
    context.view_layer.objects.active = shot.ex4d.source_camera
    assert EX4D_GGT_centre.poll(context)
    context.view_layer.objects.active = shot.ex4d.mesh
    assert not EX4D_GGT_centre.poll(context)
    context.scene.ex4d.shot = None
    assert not EX4D_GGT_centre.poll(context)


def test_what_is_compared_follows_the_wipe_at_once(blender, shot, small_clip):
    """A drag sets the wipe between frames; nothing else would have the planes evaluated again."""
    from blender_addon.scene import planes
    from blender_addon.scene import shot as shots

    scene = blender.context.scene
    camera = shots.new_camera("Compared", shot)
    plane = planes.add(scene, "Left", shot, camera, wiped=True)
    scene.ex4d.wipe = 0.5
    blender.context.view_layer.update()
    half = plane.evaluated_get(blender.context.evaluated_depsgraph_get()).scale.x
    scene.ex4d.wipe = 0.25
    blender.context.view_layer.update()
    quarter = plane.evaluated_get(blender.context.evaluated_depsgraph_get()).scale.x
    assert quarter == pytest.approx(half / 2, rel=1e-5)
