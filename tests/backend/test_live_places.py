"""Live views tell holes that go on a floor or a wall, as soon as the clip's place is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.test_live import answer, answers, as_rgba, cameras, view
from ex4d.clip import load_clip
from ex4d.dwmesh import DWMesh
from ex4d.engines.plane_share import PlaneShares
from ex4d.guides import render_guides
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.events import RequestFailed
from ex4d_protocol.live import GOES_ON
from ex4d_protocol.requests import TrajectorySpec


def turned(*degrees: float) -> TrajectorySpec:
    """Cameras that look along the wall: by 80 degrees one sees it going on at one side, and nothing at the other."""
    move = cameras([0.2] * len(degrees)).unpack()
    poses = move.world_from_camera.copy()
    for pose, angle in zip(poses, np.radians(degrees), strict=True):
        pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    return TrajectorySpec.pack(replace(move, world_from_camera=poses))


MOVED = turned(0.0, 80.0)


def found(client: Client, request: m.LiveView) -> m.LivePicture:
    """The first answer after the place was found; those before have the guide alone."""
    while True:
        event = answer(client, request)
        if event.message.place != "finding":
            return event
        assert set(np.unique(event.picture[..., 3])) <= {0, 255}


def test_holes_that_go_on_a_plane_have_an_alpha_of_their_own(client, send_clip, clip_files):
    clip = load_clip(*clip_files, focal_px=50.0)
    guides = render_guides(DWMesh(clip), MOVED.unpack())
    planes = PlaneShares(clip, MOVED.unpack())
    expected = as_rgba(guides, 1)
    where = planes.where(1, guides.mask[1])
    assert where.any() and (~guides.mask[1] & ~where).any(), "the scene has both kinds of holes"
    expected[..., 3][where] = GOES_ON
    sent = send_clip(client)
    event = found(client, view(sent, turned(80.0), on_plane=True))
    assert event.message.place == "known"
    np.testing.assert_array_equal(event.picture, expected)
    plain = answer(client, view(sent, turned(80.0)))
    assert plain.message.place == "" and set(np.unique(plain.picture[..., 3])) <= {0, 255}


def test_coverage_has_the_share_that_goes_on_a_plane(client, send_clip, clip_files):
    guides = render_guides(DWMesh(load_clip(*clip_files, focal_px=50.0)), MOVED.unpack())
    planes = PlaneShares(load_clip(*clip_files, focal_px=50.0), MOVED.unpack())
    for i in range(2):
        planes.add(i, None, guides.mask[i])
    sent = send_clip(client)
    found(client, view(sent, turned(0.0), on_plane=True))
    asked = client.live(view(sent, MOVED, picture=False, on_plane=True))
    shares = {}
    for event in answers(client, asked)[asked]:
        assert event.message.place == "known"
        shares |= dict(zip(event.message.frames, event.message.on_plane, strict=True))
    assert [shares[i] for i in range(2)] == pytest.approx(list(planes.shares))


def test_changed_planes_count_and_a_change_of_none_is_an_error(client, send_clip):
    sent = send_clip(client)
    event = found(client, view(sent, turned(0.0), on_plane=True, planes="remove back wall"))
    assert event.message.place == "known" and set(np.unique(event.picture[..., 3])) <= {0, 255}
    while True:
        asked = client.live(view(sent, turned(0.0), on_plane=True, planes="remove floor"))
        [event] = answers(client, asked)[asked]
        if isinstance(event, RequestFailed):
            break
    assert "no such plane; it has back wall" in event.error.message
