"""What a view shows of the clip: its colours by request only, and nothing of the shot drawn over the footage."""

from __future__ import annotations

import pytest


@pytest.fixture
def scene(blender):
    scene = blender.context.scene
    scene.view_settings.view_transform = "AgX"
    return scene


def test_standard_view_says_what_it_changed(blender, scene):
    from blender_addon.scene import colours

    scene.view_settings.exposure, scene.view_settings.gamma = 0.5, 1.2
    assert colours.make_exact(scene) == "The scene's view transform is Standard now; it was AgX."
    view = scene.view_settings
    assert (view.view_transform, view.look, view.exposure, view.gamma) == ("Standard", "None", 0.0, 1.0)


@pytest.mark.parametrize("change", [("exposure", 0.1), ("gamma", 1.1), ("use_curve_mapping", True)])
def test_whatever_changes_colours_can_be_undone_by_the_button(blender, scene, change):
    assert blender.ops.ex4d.standard_view.poll()
    blender.ops.ex4d.standard_view()
    assert not blender.ops.ex4d.standard_view.poll(), "there is nothing left to do"
    setattr(scene.view_settings, *change)
    assert blender.ops.ex4d.standard_view.poll()
    blender.ops.ex4d.standard_view()
    assert not blender.ops.ex4d.standard_view.poll()


def test_a_look_changes_colours_too(blender, scene):
    blender.ops.ex4d.standard_view()
    scene.view_settings.look = next(
        look for look in ("High Contrast", "Medium High Contrast") if _can(scene.view_settings, look)
    )
    assert blender.ops.ex4d.standard_view.poll()


def _can(view, look):
    try:
        view.look = look
    except TypeError:
        return False
    return True


def test_no_axes_stand_before_the_source_camera(blender, shot):
    assert shot.empty_display_size < shot.ex4d.source_camera.data.clip_start
    assert shot.visible_get(), "hidden objects are not evaluated"


def test_without_a_window_no_view_is_looked_for(blender, shot):
    from blender_addon.scene import orbit, viewing

    assert viewing.begun_from(blender.context) is None
    assert viewing.look_at_footage(None, blender.context.scene, shot) == ""
    orbit.start(None, shot)
    assert not orbit.under_way()


def test_a_view_that_was_closed_is_left_alone(blender, shot):
    from blender_addon.scene import orbit, viewing

    gone = viewing.Place(area=1)
    assert gone.find() is None
    assert viewing.look_at_footage(gone, blender.context.scene, shot) == ""
    orbit.start(gone, shot)
    assert not orbit.under_way()
