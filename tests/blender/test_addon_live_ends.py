"""Live mode ends and goes on: what it shows is deleted, the file changes, the link is slow, the backend dies."""

from __future__ import annotations

import os
import shlex
import signal

import pytest
from live_parts import PATIENT_MS, move_camera, prepare, settle, spin
from own_backend import address_of

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("what", ["shot", "camera", "scene"])
def test_deleting_what_is_shown_is_harmless(filmed, live, what):
    from blender_addon.live import overlay

    settle(live)
    scene = filmed.context.scene
    target = scene.ex4d.shot
    cam = target.ex4d.camera
    move_camera(filmed, 0.25)
    if what == "scene":
        filmed.data.scenes.new("Other")
        filmed.data.scenes.remove(scene)
    else:
        filmed.data.objects.remove(target if what == "shot" else cam)
    spin(lambda: bool(live.note))
    assert live.note in ("Import a clip first.", "Add a camera move, or choose a shot camera.")
    assert overlay.current.picture is None


def test_a_new_file_and_undo_start_afresh(filmed, live):
    from blender_addon.live import overlay

    settle(live)
    filmed.ops.ed.undo_push(message="before")
    move_camera(filmed, 0.5)
    filmed.ops.ed.undo_push(message="moved")
    settle(live)
    filmed.ops.ed.undo()
    spin(lambda: live.is_sharp and not live.waiting)
    filmed.ops.wm.read_factory_settings(use_empty=True)
    assert overlay.current.picture is None


def test_switching_off_or_disabling_the_addon_stops_it(filmed, live):
    from blender_addon.live import handlers as live_handlers
    from blender_addon.live import overlay

    settle(live)
    move_camera(filmed, 0.3)
    filmed.context.window_manager.ex4d_live.enabled = False
    assert overlay.current.picture is None and not live.active and not live.waiting
    move_camera(filmed, 0.4)
    assert not live.pictures.is_open
    filmed.context.window_manager.ex4d_live.enabled = True
    settle(live)
    filmed.ops.preferences.addon_disable(module="blender_addon")
    assert not live.active and overlay.current.picture is None
    named = [(name, listener) for name, listener in live_handlers.listeners.pairs if isinstance(name, str)]
    assert named and not any(listener in getattr(filmed.app.handlers, name) for name, listener in named)
    assert not hasattr(filmed.types.WindowManager, "ex4d_live")
    filmed.ops.preferences.addon_enable(module="blender_addon")


def test_a_slow_link_pauses_it_and_says_so(filmed, live):
    from blender_addon.live import overlay

    settle(live)
    live.limit_ms = 0.01
    for k in range(40):
        move_camera(filmed, 0.01 * k)
        spin(lambda: live.paused or not live.pictures.is_open)
        if live.paused:
            break
    assert live.paused.startswith("Paused: pictures take")
    assert "0 ms" in live.paused and overlay.current.picture is None
    asked = live.pictures.asked
    move_camera(filmed, 0.9)
    assert live.pictures.asked == asked
    assert filmed.ops.ex4d.live_resume() == {"FINISHED"}
    assert live.limit_ms == PATIENT_MS
    settle(live)


def test_it_goes_on_with_a_backend_that_was_killed_and_started_again(blender, backend_command, small_clip, tmp_path):
    from blender_addon.live import overlay
    from blender_addon.live import views as live
    from blender_addon.work import preferences
    from blender_addon.work.local_backend import LocalBackend

    started = [LocalBackend(shlex.split(backend_command), base=tmp_path / "backend")]
    try:
        prepare(blender, address_of(started[0]), small_clip, tmp_path)
        preferences.get(blender.context).live_limit_ms = PATIENT_MS
        blender.context.window_manager.ex4d_live.enabled = True
        settle(live.current)
        os.kill(started[0].pid, signal.SIGKILL)
        spin(lambda: "silent" in live.current.note)
        assert live.current.enabled and not live.current.paused
        before = overlay.current.picture
        started.append(LocalBackend(shlex.split(backend_command), base=tmp_path / "other"))
        blender.ops.ex4d.connect(address=address_of(started[1]))
        spin(lambda: overlay.current.picture is not None and overlay.current.picture is not before)
        settle(live.current)
    finally:
        blender.ops.ex4d.disconnect()
        for each in started:
            each.stop()
