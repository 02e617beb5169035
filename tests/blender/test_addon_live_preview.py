"""Live mode can show holes as the preview will fill them: the panel's choice, from the switch to the pixels."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from drawn_panels import cut_off, draw_all
from filmed_room import handheld
from live_parts import guides_of, move_camera, settle, spin
from picture_files import read_rgba

from ex4d_ground.camera_files import save_camera

pytestmark = pytest.mark.usefixtures("quiet")


def choose(blender, what: str) -> None:
    blender.context.window_manager.ex4d_live.holes = what


def take_frame(blender, index: int) -> np.ndarray:  # [H, W, 3]
    """The frame of a take of the whole move, made by the public operator with the scene's settings."""
    scene = blender.context.scene
    assert blender.ops.ex4d.generate(engine="preview") == {"FINISHED"}
    from blender_addon.takes import listing

    take = scene.ex4d.takes[scene.ex4d.active_take]
    return read_rgba(blender, listing.folder_of(take) / f"frame_{index + 1:04d}.png")[..., :3]


def words(blender) -> set[str]:
    """Everything that the panels say, of which no word is cut off; paragraphs are put together."""
    drawn = draw_all(blender.context)
    assert not [texts for panel in drawn.values() if (texts := cut_off(panel))]
    leaves = [leaf.text for panel in drawn.values() for leaf in panel.leaves]
    return set(leaves) | {" ".join(leaves)}


def says(blender, sentence: str) -> bool:
    return any(sentence in text for text in words(blender))


def test_the_choice_shows_the_frame_of_a_preview_take(filmed, live):
    from blender_addon.live import overlay

    settle(live)
    striped = overlay.current.picture
    assert says(filmed, "Stripes") and not overlay.current.is_filled
    filmed.context.scene.ex4d_engine_preview.temporal = 0.0
    choose(filmed, "PREVIEW")
    settle(live)
    assert overlay.current.is_filled and live.place.preview == "shown"
    np.testing.assert_array_equal(overlay.current.picture[..., 3], striped[..., 3])
    np.testing.assert_array_equal(overlay.current.picture[..., :3], take_frame(filmed, 2))
    assert says(filmed, "Holes are filled as in a take of the preview")
    choose(filmed, "STRIPED")
    settle(live)
    assert not overlay.current.is_filled
    np.testing.assert_array_equal(overlay.current.picture, striped)


def test_settings_planes_and_the_camera_are_followed(filmed, live):
    from blender_addon.live import overlay

    settle(live)
    choose(filmed, "PREVIEW")
    settle(live)
    settings = filmed.context.scene.ex4d_engine_preview
    settings.temporal = 0.0
    settle(live)
    guides_of(filmed, 2)  # which lists the planes
    [wall, *_] = filmed.context.scene.ex4d.shot.ex4d.planes

    def followed(change) -> None:
        before = overlay.current.picture
        change()
        filmed.context.view_layer.update()
        spin(lambda: not np.array_equal(overlay.current.picture, before) and overlay.current.is_filled)
        settle(live)
        index = filmed.context.scene.frame_current - 1
        np.testing.assert_array_equal(overlay.current.picture[..., :3], take_frame(filmed, index))

    followed(lambda: setattr(wall, "use", False))
    followed(lambda: setattr(settings, "fill", "nearest"))
    assert says(filmed, "Holes are filled as in a take of the preview")

    followed(lambda: filmed.context.scene.frame_set(5))


def test_until_what_fills_holes_is_found_the_panel_says_so_and_shows_stripes(filmed, live):
    """Another thickness is a mesh that nobody has looked at: its first picture is a guide."""
    from blender_addon.live import overlay

    settle(live)
    props = filmed.context.scene.ex4d.shot.ex4d
    props.occluders, props.thickness_by, props.thickness_share = "SOLID", "SHARE", 0.123
    choose(filmed, "PREVIEW")
    spin(lambda: live.place.preview == "finding")
    assert says(filmed, "Holes are striped until the backend has found what fills them.")
    assert not overlay.current.is_filled
    holes = overlay.current.picture[overlay.current.picture[..., 3] < 255]
    assert holes.size and not holes[:, :3].any()
    settle(live)
    assert overlay.current.is_filled and not says(filmed, "Holes are striped")


def test_without_a_place_the_panel_says_why_and_how_holes_are_filled(filmed, live, small_clip, tmp_path):
    from blender_addon.live import overlay

    frames, height, width = small_clip.size
    walked = handheld(frames, width=width, height=height, focal_px=small_clip.focal_px)
    far = walked.world_from_camera.copy()
    far[:, 0, 3] += np.arange(frames)
    save_camera(tmp_path / "filmed.npz", replace(walked, world_from_camera=far).as_trajectory())
    assert filmed.ops.ex4d.film_from_file(filepath=str(tmp_path / "filmed.npz")) == {"FINISHED"}
    filmed.context.view_layer.update()
    choose(filmed, "PREVIEW")
    settle(live)
    assert live.place.told == "unknown" and overlay.current.is_filled
    assert says(filmed, "Holes are filled from what is beside them: floor and walls are not known")
    filmed.context.scene.ex4d_engine_preview.temporal = 0.0
    np.testing.assert_array_equal(overlay.current.picture[..., :3], take_frame(filmed, 2))


def test_a_backend_that_does_not_know_previews_is_told(filmed, live):
    """One of an older minor leaves the field out."""
    from blender_addon.live import overlay

    settle(live)
    client = live._connection.client
    send = client.live
    client.live = lambda view: send(msgspec.structs.replace(view, preview=None))
    try:
        choose(filmed, "PREVIEW")
        settle(live)
        assert says(filmed, "This backend is too old to show the preview here: holes are striped.")
        assert not overlay.current.is_filled
        asked = live.pictures.asked
        move_camera(filmed, 0.1)
        settle(live)
        assert live.pictures.asked - asked < 5
    finally:
        client.live = send


def asked_again(live, moments: int = 60) -> int:
    """How many pictures are asked for while nothing changes."""
    settle_or_fail(live)
    before, left = live.pictures.asked, iter(range(moments))
    spin(lambda: next(left, None) is None, seconds=30.0)
    return live.pictures.asked - before


def settle_or_fail(live) -> None:
    """As settle, or until the backend has refused."""
    spin(lambda: not live.waiting and (live.note_is_error or live.is_sharp), seconds=30.0)


def test_what_the_backend_refuses_is_asked_once(filmed, live, monkeypatch):
    """A number that is none, and a plane that there is not, which is noticed after the first picture."""
    from blender_addon.live import places

    monkeypatch.setattr(places, "AGAIN_S", 0.01)
    choose(filmed, "PREVIEW")
    settle(live)
    settings = filmed.context.scene.ex4d_engine_preview
    settings.softness = float("nan")
    spin(lambda: live.note_is_error)
    assert says(filmed, "softness must be a number, got nan.") and asked_again(live) < 3
    settings.softness = 0.4
    spin(lambda: not live.note_is_error, seconds=30.0)
    settle(live)
    planes = filmed.context.scene.ex4d.shot.ex4d.planes
    wrong = planes.add()
    wrong.name, wrong.normal, wrong.distance, wrong.use = "gone", (0.0, 0.0, 1.0), 99.0, False
    spin(lambda: live.note_is_error)
    assert says(filmed, "the place has no such plane") and asked_again(live) < 3
    assert not says(filmed, "Holes are striped until the backend has found what fills them.")
    planes.clear()
    settings.softness = 0.5
    spin(lambda: not live.note_is_error, seconds=30.0)
    settle(live)
    assert live.place.preview == "shown"


def test_the_picture_is_back_after_a_look_at_another_scene(filmed, live):
    from blender_addon.live import overlay

    choose(filmed, "PREVIEW")
    settle(live)
    window, here = filmed.context.window, filmed.context.scene
    picture = overlay.current.picture
    window.scene = filmed.data.scenes.new("Other")
    spin(lambda: overlay.current.picture is None)
    assert live.note == "Import a clip first."
    window.scene = here
    spin(lambda: overlay.current.picture is not None, seconds=30.0)
    settle(live)
    np.testing.assert_array_equal(overlay.current.picture, picture)
    assert live.note == "" and overlay.current.is_filled


def test_another_file_leaves_live_as_its_panel_says(filmed, live, tmp_path):
    """The switches are the window manager's, which another file may bring anew."""
    from blender_addon.live import overlay

    choose(filmed, "PREVIEW")
    settle(live)
    filmed.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    filmed.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    switches = filmed.context.window_manager.ex4d_live
    assert (live.enabled, live.holes.preview) == (switches.enabled, switches.holes == "PREVIEW")
    assert overlay.current.picture is None
    switches.enabled = True
    settle(live)
    assert overlay.current.is_filled == (switches.holes == "PREVIEW")
