"""Live views of a shot with a filming camera: the guides' picture, which follows when that camera comes or goes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from filmed_room import handheld
from live_parts import guide_shown, guides_of, settle, spin

from ex4d_ground.camera_files import save_camera

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def camera_file(small_clip, tmp_path):
    frames, height, width = small_clip.size
    walked = handheld(frames, width=width, height=height, focal_px=small_clip.focal_px)
    save_camera(tmp_path / "filmed.npz", walked.scaled(4.0).as_trajectory())
    return tmp_path / "filmed.npz"


def test_the_picture_of_a_filmed_shot_is_what_a_guides_job_renders(filmed, live, camera_file):
    from blender_addon.live import overlay

    settle(live)
    still = overlay.current.picture
    assert filmed.ops.ex4d.film_from_file(filepath=str(camera_file)) == {"FINISHED"}
    filmed.context.view_layer.update()
    spin(lambda: overlay.current.picture is not still and live.is_sharp)
    settle(live)
    assert not np.array_equal(overlay.current.picture, still)
    np.testing.assert_array_equal(guide_shown(), guides_of(filmed, 2))
    filmed.ops.ex4d.film_from_nowhere()
    filmed.context.view_layer.update()
    spin(lambda: np.array_equal(overlay.current.picture, still))


def test_what_an_older_backend_would_draw_otherwise_is_told_and_no_picture_stays(filmed, live, camera_file):
    """Other frames of a filming camera that moved are in its world, which a backend of 1.2 does not know."""
    from blender_addon.live import overlay
    from blender_addon.work import session

    settle(live)
    assert overlay.current.picture is not None
    connection = session.get().require_link().client.connection
    connection.welcome = msgspec.structs.replace(connection.welcome, minor=2)
    shot = filmed.context.scene.ex4d.shot
    shot.ex4d.occluders, shot.ex4d.other_frames = "SOLID", True
    assert filmed.ops.ex4d.film_from_file(filepath=str(camera_file)) == {"FINISHED"}
    filmed.context.view_layer.update()
    spin(lambda: live.note_is_error)
    assert "would leave out how the filming camera moved" in live.note and live.note.endswith("update the backend.")
    assert overlay.current.picture is None
