"""A live view can show what the preview will: its picture is the take's frame, as soon as what that needs is found."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from backend.conftest import FRAMES, HEIGHT, WIDTH, until
from backend.test_jobs import picture, run
from backend.test_live import answer, answers, as_rgba, live_processes, refusal, view
from backend.test_live_places import turned
from backend.test_source_camera_jobs import camera, filmed
from ex4d.clip import load_clip, write_video
from ex4d.dwmesh import DWMesh
from ex4d.fill import world_of
from ex4d.guides import render_guides
from ex4d_backend.live_places import Places
from ex4d_ground.errors import OutputError
from ex4d_ground.options import MeshOptions
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.events import LiveAnswer
from ex4d_protocol.requests import ClipSpec, Generate, Media, MeshEdit, MeshSpec, ObjectSpec, TrajectorySpec

ALONE = {"temporal": 0.0}
"""A take's settings without what comes of the frame before."""


def move(*degrees: float) -> TrajectorySpec:
    """Each camera at another frame of the clip, in pictures four times as large: the holes are wide and narrow."""
    still = turned(*degrees).unpack()
    times = np.arange(len(degrees)) % FRAMES
    large = replace(still, intrinsics=4 * still.intrinsics, width=4 * WIDTH, height=4 * HEIGHT)
    return TrajectorySpec.pack(replace(large, source_time=times.astype(np.float64)))


MOVED = move(0.0, 20.0, 40.0)


def shown(client: Client, request: m.LiveView) -> LiveAnswer:
    """The first answer that is a preview; those before are guides, and say so."""
    plain = msgspec.structs.replace(request, preview=None)
    while True:
        event = answer(client, request)
        if event.message.preview == "shown":
            return event
        assert event.message.preview == "finding"
        guide = answer(client, plain)
        assert guide.message.preview == ""
        if guide.message.place == event.message.place:  # else floor and walls were found between the two
            np.testing.assert_array_equal(event.picture, guide.picture)


def one(spec: TrajectorySpec, i: int) -> TrajectorySpec:
    whole, part = spec.unpack(), slice(i, i + 1)
    arrays = {name: getattr(whole, name)[part] for name in ("world_from_camera", "intrinsics", "source_time")}
    return TrajectorySpec.pack(replace(whole, **arrays))


def assert_same_as_take(client: Client, clip: ClipSpec, settings: dict[str, Any], **fields: Any) -> list[LiveAnswer]:
    """Compare the live picture of each frame of a move with the take's frame; alpha stays the guide's mask."""
    take = Generate(clip=clip, trajectory=MOVED, engine="preview", settings={**settings, **ALONE}, **fields)
    items = run(client, take)
    live = {name: value for name, value in settings.items() if name != "planes"}
    told = {"planes": settings.get("planes", ""), "preview": live}
    events = [shown(client, view(clip, one(MOVED, i), **told, **fields)) for i in range(len(MOVED.unpack()))]
    for i, event in enumerate(events):
        np.testing.assert_array_equal(event.picture[..., :3], picture(items["frame", i]))
        assert event.message.coverage == pytest.approx(items["coverage", -1].array()[i])
        assert np.mean(event.picture[..., 3] == 255) == pytest.approx(event.message.coverage)
    assert min(event.message.coverage for event in events) < 0.8, "there are holes to fill"
    return events


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "solid"}, {"mode": "solid", "other_frames": True}],
    ids=["endless", "solid", "other frames"],
)
def test_a_picture_is_the_frame_of_the_preview_take(client, send_clip, options):
    mesh = MeshSpec(options=MeshOptions(**options))
    for event in assert_same_as_take(client, send_clip(client), {}, mesh=mesh):
        assert event.message.place == "known"


@pytest.mark.parametrize(
    "settings",
    [
        {"planes": "remove back wall"},
        {"planes": "smooth back wall", "mark_holes": 0.5},
        {"fill": "background", "softness": 1.0},
        {"fill": "nearest", "known_first": False},
        {"known_first": False},
    ],
    ids=lambda settings: ", ".join(settings),
)
def test_settings_and_planes_count_as_they_do_for_the_take(client, send_clip, settings):
    assert_same_as_take(client, send_clip(client), settings)


def test_edits_objects_and_holdouts_are_seen_as_in_the_take(client, send_clip, clip_files):
    vertices = DWMesh(load_clip(*clip_files, focal_px=50.0)).vertices(1)
    vertices[WIDTH * 5 : WIDTH * 20, 2] *= 0.8

    def put(values: np.ndarray):
        return client.wait_uploaded(client.upload(values.tobytes())).ref

    corners = np.array([(-1, -1, 3), (0.5, -1, 3), (-1, 1, 3)], np.float32)
    fixed = {"faces": put(np.array([(0, 1, 2)], np.int32))}
    card = ObjectSpec(vertices=put(corners), colors=put(np.full((3, 3), 90, np.uint8)), **fixed)
    holdout = ObjectSpec(vertices=put(corners + np.float32([1.5, 0, 0])), **fixed)
    mesh = MeshSpec(edits=(MeshEdit(frame=1, positions=put(vertices.astype("<f4"))),))
    clip = send_clip(client)
    with_all = assert_same_as_take(client, clip, {}, mesh=mesh, objects=(card, holdout))
    bare = [shown(client, view(clip, one(MOVED, i), preview={})) for i in range(2)]
    assert all(not np.array_equal(a.picture, b.picture) for a, b in zip(with_all, bare, strict=False))


@pytest.mark.parametrize(("step", "place"), [(0.002, "known"), (1.0, "unknown")])
def test_a_filming_camera_that_moves_counts_and_one_that_moves_far_has_no_place(client, send_clip, step, place):
    clip = filmed(send_clip(client), camera(step))
    for event in assert_same_as_take(client, clip, {}):
        assert (event.message.place, event.message.why) == (place, "")


def test_a_thing_that_the_edge_cuts_goes_on_as_in_the_take(client, tmp_path):
    rng = np.random.default_rng(6)
    frames = np.repeat(rng.integers(0, 60, (1, HEIGHT, WIDTH, 3), np.uint8), FRAMES, axis=0)
    depth = np.full((FRAMES, HEIGHT, WIDTH), 4.0, np.float32)
    frames[:, 12:28, WIDTH - 14 :], depth[:, 12:28, WIDTH - 14 :] = (200, 30, 40), 2.0
    write_video(tmp_path / "clip.mkv", frames, fps=12, lossless=True)
    np.savez(tmp_path / "depth.npz", depth=depth)
    files = tmp_path / "clip.mkv", tmp_path / "depth.npz"
    world = world_of(load_clip(*files, focal_px=50.0))
    assert world is not None and len(world.things.numbers) == 1
    video, archive = (client.wait_uploaded(client.upload(path), 120).ref for path in files)
    media = Media(kind="video", blobs=(video,)), Media(kind="npz", blobs=(archive,))
    assert_same_as_take(client, ClipSpec(video=media[0], depth=media[1], focal_px=50.0), {})


def test_a_smaller_picture_is_that_of_a_take_of_its_size(client, send_clip):
    clip, half = send_clip(client), MOVED.unpack()
    small = replace(half, intrinsics=half.intrinsics / 2, width=2 * WIDTH, height=2 * HEIGHT)
    items = run(client, Generate(clip=clip, trajectory=TrajectorySpec.pack(small), engine="preview", settings=ALONE))
    event = shown(client, view(clip, one(MOVED, 1), preview={}, scale=0.5))
    np.testing.assert_array_equal(event.picture[..., :3], picture(items["frame", 1]))


def test_the_alpha_of_a_preview_still_tells_its_holes_apart(client, send_clip):
    clip = send_clip(client)
    event = shown(client, view(clip, one(MOVED, 2), preview={}, on_plane=True))
    guide = answer(client, view(clip, one(MOVED, 2), on_plane=True))
    np.testing.assert_array_equal(event.picture[..., 3], guide.picture[..., 3])
    assert set(np.unique(event.picture[..., 3])) == {128, 255}
    assert event.picture[event.picture[..., 3] < 255].any()


def test_the_first_picture_does_not_wait_and_says_that_it_is_a_guide(client, send_clip, clip_files):
    options = MeshOptions(border_depth=61.0)  # of a mesh that nobody has looked at
    clip = send_clip(client)
    answer(client, view(clip, one(MOVED, 1)))
    event = answer(client, view(clip, one(MOVED, 1), preview={}, mesh=MeshSpec(options=options)))
    assert event.message.preview == "finding"
    mesh = DWMesh(load_clip(*clip_files, focal_px=50.0), options)
    np.testing.assert_array_equal(event.picture, as_rgba(render_guides(mesh, one(MOVED, 1).unpack())))


def test_a_process_killed_while_it_finds_what_fills_holes_starts_again(make_backend, connect, send_clip):
    backend = make_backend().start()
    client = connect(backend)
    clip = send_clip(client)
    wanted = view(clip, one(MOVED, 1), preview={})
    assert answer(client, wanted).message.preview == "finding"
    [process] = live_processes(backend)
    os.kill(process.pid, signal.SIGKILL)

    def found() -> bool:
        [event] = answers(client, asked := client.live(wanted))[asked]
        assert isinstance(event, LiveAnswer) or event.error.code == "internal"
        return isinstance(event, LiveAnswer) and event.message.preview == "shown"

    until(found)
    assert [p.pid for p in live_processes(backend)] not in ([], [process.pid])
    assert backend.stop() == 0


def test_settings_that_the_engine_does_not_have_are_refused_with_a_sentence(client, send_clip):
    clip = send_clip(client)
    for settings, why in (({"nope": 1}, "nope"), ({"softness": 3.0}, "softness"), ({"fill": "magic"}, "fill")):
        error = refusal(client, view(clip, one(MOVED, 0), preview=settings))
        assert error.code == "bad_request" and why in error.message
    assert "planes" in refusal(client, view(clip, one(MOVED, 0), preview={}, planes="paint it")).message
    assert answer(client, view(clip, one(MOVED, 0), preview={"nope": 1}, picture=False)).message.done


def test_a_place_that_a_fault_keeps_from_being_found_says_which(clip_files):
    """A scratch disk that lost a clip's frames."""
    clip = load_clip(*clip_files, focal_px=50.0)

    class Lost(np.ndarray):
        def __getitem__(self, _: Any) -> Any:
            raise OutputError("The scratch file /tmp/somewhere/frames.bin is gone; free some disk.")

    object.__setattr__(clip, "frames", np.asarray(clip.frames).view(Lost))
    with ThreadPoolExecutor(1) as thread:
        places = Places(thread)
        places.look(b"", clip, "")
        thread.submit(int).result()  # it is through with that
        found = places.look(b"", clip, "")
    assert found.state == "unknown" and found.world is None
    assert found.why == "Floor and walls could not be found: The scratch file frames.bin is gone; free some disk."
