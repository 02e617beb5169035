"""Live mode against a real backend: what the camera sees, while it is being moved."""

from __future__ import annotations

import time

import numpy as np
import pytest
from live_parts import guide_shown, guides_at, guides_of, move_camera, settle, spin

pytestmark = pytest.mark.usefixtures("quiet")


def test_it_is_off_until_switched_on(filmed):
    from blender_addon.live import overlay
    from blender_addon.live import views as live

    before = live.current.pictures.asked  # of tests before this one
    move_camera(filmed, 0.2)
    for _ in range(20):
        assert not live.current.tick(filmed.context)
    assert overlay.current.picture is None
    assert live.current.pictures.asked == before


def test_the_picture_is_what_a_guides_job_renders(filmed, live):
    from blender_addon.live import overlay

    settle(live)
    np.testing.assert_array_equal(guide_shown(), guides_of(filmed, 2))
    assert overlay.current.frame == 3
    assert overlay.shown(overlay.current, filmed.context.scene, filmed.context.scene.ex4d.shot.ex4d.camera)


def test_each_change_of_the_camera_is_shown(filmed, live):
    from blender_addon.live import overlay

    settle(live)
    cam = filmed.context.scene.ex4d.shot.ex4d.camera
    changes = (
        lambda: move_camera(filmed, 0.4),
        lambda: setattr(cam.data, "lens", 20.0),
        lambda: setattr(cam.data, "shift_x", 0.2),
        lambda: setattr(filmed.context.scene.render, "resolution_x", 100),
        lambda: filmed.context.scene.frame_set(5),
    )
    for change in changes:
        before = overlay.current.picture
        change()
        filmed.context.view_layer.update()
        spin(lambda before=before: overlay.current.picture is not before and live.is_sharp)
        same_size = overlay.current.picture.shape == before.shape
        assert not (same_size and np.array_equal(overlay.current.picture, before))
    assert overlay.current.picture.shape == (96, 100, 4)


def test_nothing_is_asked_while_nothing_changes(filmed, live):
    settle(live)
    asked = live.pictures.asked
    filmed.context.scene.ex4d.shot.ex4d.mesh.name = "Another name"
    filmed.context.view_layer.update()
    end = time.monotonic() + 1.0
    spin(lambda: time.monotonic() > end)
    assert live.pictures.asked == asked


def test_the_newest_camera_wins_and_one_request_is_under_way(filmed, live, monkeypatch):
    from blender_addon.live import views
    from blender_addon.work import timer
    from ex4d_protocol.events import LiveAnswer

    settle(live)
    client = live._connection.client
    open_now, most, pictures = set(), [0], []
    send, handle = client.live, live._take_answer

    def counted(view):
        request_id = send(view)
        if view.picture:
            open_now.add(request_id)
            most[0] = max(most[0], len(open_now))
        return request_id

    def answered(lane, event: LiveAnswer):
        if event.ended:
            open_now.discard(event.request_id)
        if event.picture is not None:
            pictures.append(event.picture.shape)
        handle(lane, event)

    client.live, live._take_answer = counted, answered
    rest_s = views.REST_S
    monkeypatch.setattr(views, "REST_S", 3600.0)  # it moves, however slow this machine is, ...
    try:
        asked = live.pictures.asked
        for k in range(20):
            move_camera(filmed, 0.02 * k)
            if k % 4 == 3:
                timer.tick()
        assert live.pictures.asked - asked < 20
        spin(lambda: pictures)
        monkeypatch.setattr(views, "REST_S", rest_s)  # ... until here
        spin(lambda: live.is_sharp and not live.waiting)
    finally:
        client.live, live._take_answer = send, handle
    assert most[0] == 1
    assert pictures[-1] == (96, 128, 4)
    assert (48, 64, 4) in pictures  # smaller while it moved
    np.testing.assert_array_equal(guide_shown(), guides_at(filmed, 0.38))


def test_an_answer_to_an_older_request_is_dropped(filmed, live):
    from blender_addon.live import overlay
    from ex4d_protocol.events import LiveAnswer

    settle(live)
    before = overlay.current.picture
    old = live.pictures.sent
    from ex4d_protocol.live import LivePicture

    message = LivePicture(view=old.view, sequence=old.sequence, frame=0, width=2, height=2, coverage=0.0)
    live._take(LiveAnswer(123456, message, True, np.zeros((2, 2, 4), np.uint8)))
    assert overlay.current.picture is before


def test_it_answers_while_a_take_is_being_made(filmed, live):
    from blender_addon.live import overlay
    from blender_addon.takes import generate

    settle(live)
    task = generate.start(filmed.context, engine="preview", seed=1, settings={})
    before = overlay.current.picture
    move_camera(filmed, 0.3)
    spin(lambda: overlay.current.picture is not before)
    spin(lambda: task.finished)


def test_holes_that_go_on_a_plane_are_told_once_the_place_is_found(filmed, live):
    from blender_addon.guides import coverage
    from blender_addon.live import overlay

    settle(live)
    spin(lambda: live.place.told == "known" and live.is_sharp and not live.waiting)
    shown = (overlay.current.picture[..., 3] == overlay.GOES_ON).mean()
    guides_of(filmed, 2)
    shares = coverage.current_on_plane(filmed.context.scene.ex4d.shot)
    assert shares[2] > 0 and shown == pytest.approx(shares[2], abs=0.02)
    coverage.store(filmed.context.scene.ex4d.shot, np.zeros(len(shares)))
    filmed.context.window_manager.ex4d_live.auto_coverage = True
    spin(lambda: coverage.current_on_plane(filmed.context.scene.ex4d.shot).size > 0)
    assert coverage.current_on_plane(filmed.context.scene.ex4d.shot) == pytest.approx(shares, abs=0.03)
