"""Live views: a real server, its process for live views, and real clients."""

from __future__ import annotations

import os
import signal
import zipfile

import msgspec
import numpy as np
import psutil
import pytest

from backend.conftest import FRAMES, HEIGHT, WIDTH, Backend, ended, long_job, poses, until
from ex4d.clip import load_clip, video_writer, write_video
from ex4d.dwmesh import DWMesh
from ex4d.frames.archive import write_array_frames
from ex4d.guides import render_guides
from ex4d.types import Guides
from ex4d_backend.live_pictures import coarse_first, scaled
from ex4d_ground.cameras import Trajectory
from ex4d_ground.options import MeshOptions
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.events import LiveAnswer, RequestFailed
from ex4d_protocol.requests import BlobRef, ClipSpec, Media, MeshEdit, MeshSpec, TrajectorySpec


def cameras(shifts: list[float], *, width: int = WIDTH, height: int = HEIGHT, time: float = 0.0) -> TrajectorySpec:
    world_from_camera = np.repeat(np.eye(4)[None], len(shifts), axis=0)
    world_from_camera[:, 0, 3] = shifts
    k = np.repeat([[50.0, 50.0, width / 2, height / 2]], len(shifts), axis=0)
    return TrajectorySpec.pack(Trajectory(world_from_camera, k, np.full(len(shifts), time), width, height))


def view(clip, trajectory: TrajectorySpec, sequence: int = 1, **fields) -> m.LiveView:
    return m.LiveView(view="shot", sequence=sequence, clip=clip, trajectory=trajectory, **fields)


def answers(client: Client, *asked: int, timeout_s: float = 110.0) -> dict[int, list[LiveAnswer | RequestFailed]]:
    """Everything that comes for these requests until each has ended, without news of progress."""
    found: dict[int, list[LiveAnswer | RequestFailed]] = {request_id: [] for request_id in asked}
    open_ids = set(asked)

    def take(event) -> None:
        if isinstance(event, LiveAnswer | RequestFailed) and event.request_id in found:
            if not isinstance(getattr(event, "message", None), m.LiveProgress):
                found[event.request_id].append(event)
            if isinstance(event, RequestFailed) or event.ended:
                open_ids.discard(event.request_id)

    client.wait_for(lambda event: (take(event), not open_ids)[1], timeout_s)
    return found


def answer(client: Client, request: m.LiveView) -> LiveAnswer:
    [event] = answers(client, request_id := client.live(request))[request_id]
    assert isinstance(event, LiveAnswer), event
    return event


def refusal(client: Client, request: m.LiveView) -> m.ErrorReply:
    [event] = answers(client, request_id := client.live(request))[request_id]
    assert isinstance(event, RequestFailed), event
    return event.error


@pytest.fixture(scope="module")
def mesh(clip_files):
    return lambda **options: DWMesh(load_clip(*clip_files, focal_px=50.0), **options)


def as_rgba(guides: Guides, i: int = 0) -> np.ndarray:
    return np.dstack([guides.colour[i], guides.mask[i] * np.uint8(255)])


def live_processes(backend: Backend) -> list[psutil.Process]:
    def is_one(process: psutil.Process) -> bool:
        try:
            return "ex4d_backend.live_process" in process.cmdline()
        except psutil.Error:  # it has ended
            return False

    return [process for process in psutil.Process(backend.process.pid).children() if is_one(process)]


@pytest.mark.parametrize("mode", ["endless", "solid"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_picture_is_the_guide_of_that_frame(client, send_clip, mesh, mode, scale):
    moved = cameras([0.3], time=2.0)
    request = view(
        send_clip(client), moved, 7, scale=scale, mesh=MeshSpec(options=MeshOptions(mode=mode, border_depth=50.0))
    )
    event = answer(client, request)
    expected = render_guides(mesh(options=MeshOptions(mode=mode, border_depth=50.0)), scaled(moved.unpack(), scale))
    np.testing.assert_array_equal(event.picture, as_rgba(expected))
    assert event.message.coverage == pytest.approx(float(expected.coverage[0]))
    assert (event.message.sequence, event.message.frame, event.message.view) == (7, 0, "shot")
    assert not event.picture.flags.writeable


def test_an_edited_frame_is_seen_and_the_others_are_not_changed(client, send_clip, mesh):
    clip = send_clip(client)
    vertices = mesh().vertices(1)
    vertices[WIDTH * 5 : WIDTH * 20, 2] *= 0.8
    blob = client.wait_uploaded(client.upload(vertices.astype("<f4").tobytes())).ref
    edited = MeshSpec(edits=(MeshEdit(frame=1, positions=blob),))
    for time in (0.0, 1.0):
        moved = cameras([0.3], time=time)
        seen = answer(client, view(clip, moved, mesh=edited)).picture
        expected = render_guides(mesh(vertex_overrides={1: vertices}), moved.unpack())
        np.testing.assert_array_equal(seen, as_rgba(expected))
        plain = answer(client, view(clip, moved)).picture
        assert np.array_equal(plain, seen) == (time == 0.0)


def test_coverage_comes_in_parts_and_is_that_of_the_guides(client, send_clip, mesh):
    moved = poses(200, step=0.004)
    request_id = client.live(view(send_clip(client), moved, picture=False))
    events = answers(client, request_id)[request_id]
    assert all(isinstance(e.message, m.LiveCoverage) for e in events)
    assert [e.ended for e in events] == [False] * (len(events) - 1) + [True]
    frames = [frame for e in events for frame in e.message.frames]
    assert sorted(frames) == list(range(200))
    shares = dict(zip(frames, (share for e in events for share in e.message.coverage), strict=True))
    expected = render_guides(mesh(), moved.unpack()).coverage
    np.testing.assert_allclose([shares[i] for i in range(200)], expected, atol=1e-12)


def test_a_large_picture_comes_whole(client, send_clip, mesh):
    moved = cameras([0.2], width=1500, height=1300)
    picture = answer(client, view(send_clip(client), moved)).picture
    assert picture.nbytes > 4 << 20
    np.testing.assert_array_equal(picture, as_rgba(render_guides(mesh(), moved.unpack())))


def test_the_newest_of_many_wins_and_the_others_are_told_so(backend, client, send_clip, mesh):
    clip = send_clip(client)
    answer(client, view(clip, cameras([0.0])))  # the clip is in memory from here on
    shifts = [0.02 * k for k in range(20)]
    large = {"width": 1200, "height": 1000}
    [process] = live_processes(backend)
    process.suspend()  # the first is being drawn while the others come
    try:
        asked = [client.live(view(clip, cameras([shift], **large), k)) for k, shift in enumerate(shifts)]
        client.ask(m.GetHealth())  # the server has all of them
    finally:
        process.resume()
    found = answers(client, *asked)
    kinds = [type(found[request_id][-1].message).__name__ for request_id in asked]
    assert all(len(events) == 1 for events in found.values())
    assert kinds[-1] == "LivePicture"
    assert kinds.count("LiveSuperseded") >= 17  # all but the first one or two, which were being drawn, and the last
    assert [found[request_id][0].message.sequence for request_id in asked] == list(range(20))
    last = render_guides(mesh(), cameras([shifts[-1]], **large).unpack())
    np.testing.assert_array_equal(found[asked[-1]][0].picture, as_rgba(last))


def test_pictures_do_not_wait_for_coverage_and_newer_coverage_stops_older(client, send_clip):
    clip = send_clip(client)
    long_coverage = client.live(view(clip, poses(9000, step=1e-5), 1, picture=False))
    picture = client.live(view(clip, cameras([0.1]), 2))
    assert isinstance(answers(client, picture)[picture][0].message, m.LivePicture)
    newer = client.live(view(clip, poses(3), 3, picture=False))
    found = answers(client, long_coverage, newer)
    assert isinstance(found[long_coverage][-1].message, m.LiveSuperseded)
    assert sum(len(e.message.frames) for e in found[long_coverage][:-1]) < 9000
    assert found[newer][-1].message.done


def test_views_and_clients_do_not_take_each_others_place(backend, connect, send_clip):
    one, two = connect(backend), connect(backend)
    clip = send_clip(one)
    assert send_clip(two) == clip
    asked = [one.live(msgspec.structs.replace(view(clip, cameras([0.1])), view=name)) for name in ("a", "b")]
    other = two.live(msgspec.structs.replace(view(clip, cameras([0.2])), view="a"))
    assert all(isinstance(e[0].message, m.LivePicture) for e in answers(one, *asked).values())
    assert isinstance(answers(two, other)[other][0].message, m.LivePicture)


def test_it_answers_while_a_long_job_runs(client, send_clip):
    clip = send_clip(client)
    answer(client, view(clip, cameras([0.0])))  # the process is there and has the clip
    job = client.submit(long_job(clip), fetch=False)
    until(lambda: client.poll() is not None and client.jobs[job].state and client.jobs[job].state.phase == "running")
    for k in range(5):
        answer(client, view(clip, cameras([0.01 * k]), k))
        assert client.jobs[job].state.phase == "running"
    client.cancel(job)


def test_what_cannot_be_drawn_is_refused_with_a_sentence(client, send_clip):
    clip = send_clip(client)
    assert "has 5 frames" in refusal(client, view(clip, cameras([0.1], time=FRAMES + 3))).message
    assert refusal(client, view(clip, cameras([0.1], width=4000, height=4000))).code == "too_large"
    gone = msgspec.structs.replace(clip.video.blobs[0], sha256="0" * 64)
    lost = msgspec.structs.replace(clip, video=msgspec.structs.replace(clip.video, blobs=(gone,)))
    assert refusal(client, view(lost, cameras([0.1]))).code == "blob_missing"
    broken = msgspec.structs.replace(cameras([0.1]), world_from_camera=np.zeros((1, 4, 4)).tobytes())
    assert "rigid" in refusal(client, view(clip, broken)).message
    flags = client.wait_uploaded(client.upload(b"\0\0\0")).ref
    wrong = MeshSpec(edits=(MeshEdit(frame=0, face_flags=flags),))
    assert "keep the faces" in refusal(client, view(clip, cameras([0.1]), mesh=wrong)).message
    assert answer(client, view(clip, cameras([0.1]))).message.coverage > 0.5  # and it still works


def test_a_killed_process_fails_what_was_asked_and_comes_back(make_backend, connect, send_clip):
    backend = make_backend().start()
    client = connect(backend)
    clip = send_clip(client)
    answer(client, view(clip, cameras([0.1])))
    [process] = live_processes(backend)
    asked = client.live(view(clip, poses(9000, step=1e-5), picture=False))
    os.kill(process.pid, signal.SIGKILL)
    error = answers(client, asked)[asked][-1].error
    assert error.code == "internal"
    assert "was killed from outside" in error.message
    until(lambda: not isinstance(answers_or_refusal(client, clip), RequestFailed))
    assert [p.pid for p in live_processes(backend)] not in ([], [process.pid])
    assert backend.stop() == 0
    assert not psutil.pid_exists(process.pid)


def answers_or_refusal(client: Client, clip) -> LiveAnswer | RequestFailed:
    return answers(client, request_id := client.live(view(clip, cameras([0.1]))))[request_id][-1]


def test_it_starts_on_demand_and_ends_when_nobody_asks_or_the_server_is_killed(make_backend, connect, tmp_path):
    environment = {"EX4D_BACKEND_LIVE_IDLE_S": "1", "EX4D_BACKEND_LIVE_BYTES": str(1 << 20)}
    backend = make_backend(environment=environment).start()
    client = connect(backend)
    assert client.capabilities.limits.live_pixels > 0
    assert live_processes(backend) == []
    write_video(tmp_path / "large.mkv", np.zeros((7, 100, 80, 3), np.uint8), fps=12, lossless=True)
    np.savez(tmp_path / "large.npz", depth=np.ones((7, 100, 80), np.float32))
    paths = tmp_path / "large.mkv", tmp_path / "large.npz"
    video, depth = (client.wait_uploaded(client.upload(path), 120).ref for path in paths)
    large = ClipSpec(video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(depth,)))
    assert "use fewer frames or a smaller picture" in refusal(client, view(large, cameras([0.1]))).message
    until(lambda: not live_processes(backend))
    asked = client.live(view(large, cameras([0.1])))
    started: list[psutil.Process] = []
    until(lambda: started.extend(live_processes(backend)) or started)
    backend.kill()
    until(lambda: ended(started[0]))
    assert isinstance(answers(client, asked)[asked][-1], RequestFailed)  # the connection is gone


def test_it_can_be_turned_off(make_backend, connect, clip_files):
    client = connect(make_backend(environment={"EX4D_BACKEND_LIVE": "false"}).start())
    assert client.capabilities.limits.live_pixels == 0
    some = Media(kind="video", blobs=(BlobRef(sha256="0" * 64, size=1),))
    assert "turned off" in refusal(client, view(ClipSpec(video=some, depth=some), cameras([0.1]))).message


def test_the_clip_of_longest_ago_leaves_when_memory_is_full(tmp_path):
    from ex4d.bands import Bands
    from ex4d_backend.live_process import LiveRenderer

    class Held:
        size_bytes = 60

        def close(self):
            closed.append(self)

    closed = []
    with Bands(1) as bands:
        worker = LiveRenderer(None, blobs=tmp_path, scratch=tmp_path, bands=bands, memory_bytes=130, clip_pixels=1)
        for name in (b"a", b"b", b"c"):
            worker._scenes[name] = Held()
            worker._make_room(1)
        assert list(worker._scenes) == [b"b", b"c"]
        Held.size_bytes = 1000
        worker._make_room(1)
        assert list(worker._scenes) == [b"c"] and len(closed) == 2


@pytest.mark.parametrize("count", [1, 2, 16, 49, 200])
def test_coarse_first_names_every_frame_once(count):
    order = coarse_first(count)
    assert sorted(order) == list(range(count))
    assert order[: -(-count // 16)] == list(range(0, count, 16))


def test_a_long_clip_is_drawn_from_disk_in_little_memory(make_backend, connect, tmp_path):
    count = 130  # of 1280x720: 840 MB as arrays, and more than the memory that live views may take would once allow
    backend = make_backend(environment={"EX4D_BACKEND_LIVE_BYTES": str(1 << 30), "EX4D_SCRATCH": str(tmp_path)}).start()
    client = connect(backend)
    with video_writer(tmp_path / "long.mp4", fps=12) as write:
        for t in range(count):
            write(np.full((720, 1280, 3), t, np.uint8))
    with zipfile.ZipFile(tmp_path / "long.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        depth = np.ones((720, 1280), np.float32)
        frames = (depth for _ in range(count))
        write_array_frames(archive, "depth", frames, shape=(count, 720, 1280), dtype=np.float32)
    video, depth = (client.wait_uploaded(client.upload(tmp_path / name), 120).ref for name in ("long.mp4", "long.npz"))
    clip = ClipSpec(video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(depth,)))
    picture = answer(client, view(clip, cameras([0.0], time=count - 1.0)))
    assert picture.message.coverage > 0.5
    [process] = live_processes(backend)
    assert process.memory_info().rss < 700 << 20
