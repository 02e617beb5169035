"""What tests of live mode share: a Blender that shows it, waiting for a picture, and what the picture should be."""

from __future__ import annotations

import time

import numpy as np
import pytest
from picture_files import read_rgba
from small_clip import write_source_files

PATIENT_MS = 10_000.0


@pytest.fixture
def filmed(blender, address, small_clip, tmp_path):
    """A connected Blender with a shot and a camera move, live mode off."""
    return prepare(blender, address, small_clip, tmp_path)


def prepare(blender, address, small_clip, folder):
    video, depth = write_source_files(small_clip, folder / "in")
    operators = blender.ops.ex4d
    operators.connect(address=address)
    operators.import_clip(video_path=str(video), depth_path=str(depth), focal_px=small_clip.focal_px)
    operators.add_camera_move(preset="30")
    blender.context.scene.frame_set(3)
    return blender


@pytest.fixture
def live(filmed, monkeypatch):
    """Live mode switched on, with patience: how fast this machine is, is not what these tests are about."""
    from blender_addon.live import views as live
    from blender_addon.work import preferences

    preferences.get(filmed.context).live_limit_ms = PATIENT_MS
    monkeypatch.setattr(live, "GIVE_UP_S", 100.0)
    filmed.context.window_manager.ex4d_live.enabled = True
    return live.current


def spin(done, seconds: float = 240.0) -> None:
    """What Blender's timer does, until ``done``."""
    from blender_addon.live import views as live
    from blender_addon.work import timer

    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"it never came: {live.current.note or live.current.paused}"
        timer.tick()
        time.sleep(0.003)


def settle(live) -> None:
    """Until the picture is there at full size, with what is to be known of its holes, and nothing is under way."""

    def done() -> bool:
        return live.is_sharp and not live.waiting and not live.place.is_finding

    spin(lambda: live.note_is_error or live.paused or done())
    assert not live.note_is_error and not live.paused, live.note or live.paused


def guide_shown() -> np.ndarray:  # [H, W, 4]
    """The overlay's picture as a guide: all its holes are alike."""
    from blender_addon.live import overlay

    picture = overlay.current.picture.copy()
    picture[..., 3][picture[..., 3] == overlay.GOES_ON] = 0
    return picture


def move_camera(blender, x: float) -> None:
    cam = blender.context.scene.ex4d.shot.ex4d.camera
    cam.location.x = x
    blender.context.view_layer.update()


def guides_of(blender, index: int) -> np.ndarray:
    """The frame's guide as a job of the backend renders it, [H, W, 4]."""
    from blender_addon.scene import shot

    assert blender.ops.ex4d.render_guides() == {"FINISHED"}
    folder = shot.folder_of(blender.context.scene.ex4d.shot) / "guides"
    colour, mask = (read_rgba(blender, folder / sub / f"frame_{index + 1:04d}.png") for sub in ("colour", "mask"))
    return np.dstack([colour[..., :3], mask[..., 0]])


def guides_at(blender, x: float) -> np.ndarray:
    """The guide of the present frame from a camera that is keyed there."""
    cam = blender.context.scene.ex4d.shot.ex4d.camera
    cam.location.x = x
    cam.keyframe_insert("location", frame=3)
    return guides_of(blender, 2)
