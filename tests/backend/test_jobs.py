from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import cv2
import msgspec
import numpy as np
import pytest

from backend.conftest import FRAMES, HEIGHT, WIDTH, long_job, poses, until
from ex4d.clip import load_clip, write_video
from ex4d.dwmesh import DWMesh
from ex4d.engines.plane_share import PlaneShares
from ex4d.guides import render_guides
from ex4d.trajectory import near_depth_of, preset
from ex4d_backend.devices import answer_cost
from ex4d_backend.job_progress import share_of
from ex4d_backend.job_rows import Job
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.options import MeshOptions
from ex4d_ground.planes import PlaneInfo
from ex4d_ground.remedies import Failure, fewer_frames, fill_invalid
from ex4d_protocol import messages as m
from ex4d_protocol.errors import JobCancelled, JobFailed, RequestRefused
from ex4d_protocol.events import ItemReceived, JobChanged
from ex4d_protocol.requests import (
    BlobRef,
    BuildMesh,
    ClipSpec,
    Generate,
    Media,
    MeshEdit,
    MeshSpec,
    RenderGuides,
    TrajectorySpec,
)


def run(client, request, timeout_s=180) -> dict[tuple[str, int], ItemReceived]:
    """Run a job; its items by (name, frame)."""
    items: dict[tuple[str, int], ItemReceived] = {}

    def keep(event):
        if isinstance(event, ItemReceived):
            assert (event.name, event.frame) not in items
            items[event.name, event.frame] = event

    client.wait_job(client.submit(request), timeout_s, on_event=keep)
    return items


def picture(item: ItemReceived) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(item.data, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels


def test_build_mesh_sends_what_the_library_builds(client, send_clip, local_mesh):
    items = run(client, BuildMesh(clip=send_clip(client)))
    assert len(items) == 2 + 3 * FRAMES
    info = items["clip_info", -1].json()
    assert (info["width"], info["height"], info["num_frames"], info["fps"]) == (WIDTH, HEIGHT, FRAMES, 12.0)
    assert info["intrinsics"] == [50.0, 50.0, WIDTH / 2, HEIGHT / 2]
    assert info["near_depth"] == near_depth_of(local_mesh.clip)
    np.testing.assert_array_equal(items["faces", -1].array(), local_mesh.faces)
    for t in range(FRAMES):
        np.testing.assert_array_equal(items["vertices", t].array(), local_mesh.vertices(t))
        visible = local_mesh.vertex_visible(t).reshape(HEIGHT, WIDTH)
        np.testing.assert_array_equal(picture(items["visible", t]), visible * np.uint8(255))
        np.testing.assert_array_equal(picture(items["colour", t]), local_mesh.clip.frames[t])


def test_guides_are_the_librarys_to_the_bit(client, send_clip, local_mesh):
    spec = poses(7, step=0.1)
    items = run(client, RenderGuides(clip=send_clip(client), trajectory=spec))
    guides = render_guides(local_mesh, spec.unpack())
    for i in range(7):
        np.testing.assert_array_equal(picture(items["colour", i]), guides.colour[i])
        np.testing.assert_array_equal(picture(items["mask", i]), guides.mask[i] * np.uint8(255))
    np.testing.assert_array_equal(items["coverage", -1].array(), guides.coverage)
    assert not guides.mask.all()


def test_edits_reach_the_mesh(client, send_clip, local_mesh):
    moved = local_mesh.vertices(2) + np.float32(0.5)
    flags = np.zeros(len(local_mesh.faces), np.int8)
    flags[:] = 2
    positions = client.wait_uploaded(client.upload(moved.tobytes()), 120).ref
    hidden = client.wait_uploaded(client.upload(flags.tobytes()), 120).ref
    edit = MeshEdit(frame=2, positions=positions, face_flags=hidden)
    items = run(client, BuildMesh(clip=send_clip(client), mesh=MeshSpec(edits=(edit,))))
    np.testing.assert_array_equal(items["vertices", 2].array(), moved)
    assert not picture(items["visible", 2]).any()
    np.testing.assert_array_equal(items["vertices", 1].array(), local_mesh.vertices(1))


def test_painted_thickness_reaches_the_solid_mesh(client, send_clip, clip_files):
    painted = np.full((FRAMES, HEIGHT, WIDTH), np.nan, np.float32)
    painted[:, 10:30] = 0.02
    painted[4, 10:30] = 1.5
    everywhere = client.wait_uploaded(client.upload(painted[0].tobytes()), 120).ref
    frame_4 = client.wait_uploaded(client.upload(painted[4].tobytes()), 120).ref
    options = MeshOptions(mode="solid")
    spec = MeshSpec(options=options, thickness=everywhere, edits=(MeshEdit(frame=4, thickness=frame_4),))
    lens = Intrinsics.from_focal(WIDTH, HEIGHT, 50.0)
    turn = preset("orbit_left", num_frames=FRAMES, intrinsics=lens, near_depth=2.0, amount=60)
    camera = TrajectorySpec.pack(turn)
    clip = send_clip(client)
    items = run(client, RenderGuides(clip=clip, trajectory=camera, mesh=spec))
    solid = MeshOptions(mode="solid")
    mesh = DWMesh(load_clip(*clip_files, focal_px=50.0), solid, thickness_map=painted)
    guides = render_guides(mesh, turn)
    unpainted = render_guides(DWMesh(load_clip(*clip_files, focal_px=50.0), solid), turn)
    for i in range(FRAMES):
        np.testing.assert_array_equal(picture(items["colour", i]), guides.colour[i])
    assert all((guides.colour[i] != unpainted.colour[i]).any() for i in (3, 4))
    short = client.wait_uploaded(client.upload(bytes(8)), 120).ref
    with pytest.raises(JobFailed, match="painted thickness has 8 bytes"):
        run(client, RenderGuides(clip=clip, trajectory=camera, mesh=MeshSpec(options=options, thickness=short)))
    grid, bare = (run(client, BuildMesh(clip=clip, mesh=m)) for m in (spec, MeshSpec()))
    np.testing.assert_array_equal(grid["vertices", 4].array(), bare["vertices", 4].array())


def test_where_floor_and_walls_go_on_is_reckoned_if_it_is_asked_for(client, send_clip, clip_files):
    move = poses(3, step=0.1)
    items = run(client, RenderGuides(clip=send_clip(client), trajectory=move, on_plane=True))
    planes = PlaneShares(load_clip(*clip_files, focal_px=50.0), move.unpack())
    for i in range(3):
        planes.add(i, None, picture(items["mask", i]) > 0)
    np.testing.assert_array_equal(items["on_plane", -1].array(), planes.shares)
    [wall] = msgspec.json.decode(items["planes", -1].data, type=list[PlaneInfo])
    assert wall.name == "back wall" and wall.normal == pytest.approx((0, 0, 1), abs=1e-3)
    assert wall.distance == pytest.approx(4, rel=0.01)
    changed = {"on_plane": True, "planes": f"remove 0 0.05 1 {0.95 * wall.distance}"}
    without = run(client, RenderGuides(clip=send_clip(client), trajectory=move, **changed))
    assert not without["on_plane", -1].array().any() and without["planes", -1].data == b"[]"
    changed["planes"] = "remove floor"
    with pytest.raises(JobFailed, match=r"no such plane; it has back wall \(0 0 1 4\)"):
        run(client, RenderGuides(clip=send_clip(client), trajectory=move, **changed))
    assert ("on_plane", -1) not in run(client, RenderGuides(clip=send_clip(client), trajectory=move))


def test_generate_streams_the_preview_and_the_recipe(client, send_clip, backend):
    until(lambda: client.poll() is not None and client.capabilities.engines)
    request = Generate(clip=send_clip(client), trajectory=poses(6, step=0.1), engine="preview", seed=3, note="a note")
    first, again = run(client, request), run(client, request)
    for i in range(6):
        assert picture(first["frame", i]).shape == (HEIGHT, WIDTH, 3)
        assert bytes(first["frame", i].data) == bytes(again["frame", i].data)
    take = first["take", -1].json()
    assert (take["engine"], take["seed"], take["note"]) == ("preview", 3, "a note")
    assert take["coverage"] == first["coverage", -1].array().tolist()
    assert np.asarray(take["camera"]["world_from_camera"]).shape == (6, 4, 4)
    if "--ray" not in backend.arguments:  # there each machine keeps its own
        assert list(
            (backend.data_dir / "places").glob("*.npz")
        )  # its floor and walls, for other workers and other days


def test_a_preset_is_answered_at_once_and_is_the_librarys(client):
    query = m.PresetQuery(
        preset="orbit_left", num_frames=9, width=64, height=48, intrinsics=(60, 60, 32, 24), near_depth=2.0, amount=20
    )
    reply = client.ask(query)
    ours = preset("orbit_left", num_frames=9, intrinsics=Intrinsics(60, 60, 32, 24, 64, 48), near_depth=2.0, amount=20)
    got = np.frombuffer(reply.world_from_camera, "<f8").reshape(-1, 4, 4)
    np.testing.assert_array_equal(got, ours.world_from_camera)
    for change, why in (
        ({"preset": "nowhere"}, "no camera preset"),
        ({"amount": 1e9}, "amount"),
        ({"near_depth": float("nan")}, "nearest depth"),
        ({"easing": "wobbly"}, "no easing"),
        ({"intrinsics": (0.0, 1.0, 2.0, 3.0)}, "Focal"),
    ):
        with pytest.raises(RequestRefused, match=why):
            client.ask(msgspec.structs.replace(query, **change))


def test_bad_input_fails_the_job_with_the_librarys_sentence_and_no_server_path(client, send_clip, backend):
    clip = send_clip(client)
    text = client.wait_uploaded(client.upload(b"this is no video", name="notes.txt"), 120).ref
    holes = np.full((FRAMES, HEIGHT, WIDTH), np.nan, np.float32)
    np.savez(backend.data_dir.parent / "holes.npz", depth=holes)
    bad_depth = client.wait_uploaded(client.upload(backend.data_dir.parent / "holes.npz"), 120).ref
    nan_pose = msgspec.structs.replace(poses(3), world_from_camera=np.full(48, np.nan).tobytes())
    replace = msgspec.structs.replace
    cases = [
        (BuildMesh(clip=replace(clip, video=replace(clip.video, blobs=(text,)))), "notes.txt"),
        (BuildMesh(clip=replace(clip, depth=replace(clip.depth, blobs=(bad_depth,)))), "NaN"),
        (BuildMesh(clip=replace(clip, num_frames=50)), "50"),
        (BuildMesh(clip=replace(clip, fov_deg=60.0)), "exclude each other"),
        (RenderGuides(clip=clip, trajectory=nan_pose), "frame 1"),
        (Generate(clip=clip, trajectory=poses(3), engine="nope"), "nope"),
        (Generate(clip=clip, trajectory=poses(3), engine="preview", settings={"nope": 1}), "nope"),
    ]
    for request, expected in cases:
        with pytest.raises(JobFailed, match=expected) as caught:
            run(client, request)
        assert str(backend.data_dir) not in str(caught.value)
        assert "scratch" not in str(caught.value)


def test_cancel_stops_the_named_job_and_no_other(client, send_clip):
    """How soon it acts, benchmarks/backend.py measures."""
    clip = send_clip(client)
    request = long_job(clip)
    running = client.submit(request)
    waiting = client.submit(RenderGuides(clip=clip, trajectory=poses(4)))
    client.wait_for(lambda e: isinstance(e, ItemReceived) and e.job_id == running, 120)
    client.cancel(running)
    with pytest.raises(JobCancelled):
        client.wait_job(running, 120)
    assert 0 < client.ask(m.GetJob(job_id=running)).items < 2 * request.trajectory.num_frames
    assert client.wait_job(waiting, 120).phase == "done"


def test_a_queued_job_is_cancelled_without_running(backend, client, send_clip):
    clip = send_clip(client)
    running, waiting = client.submit(long_job(clip)), client.submit(long_job(clip, 3999))
    client.wait_for(lambda e: isinstance(e, ItemReceived) and e.job_id == running, 120)
    with backend.held():
        client.cancel(waiting)
        with pytest.raises(JobCancelled, match="before it ran"):
            client.wait_job(waiting, 120)
        assert client.jobs[running].state.phase == "running"
    client.cancel(running)
    with pytest.raises(JobCancelled):
        client.wait_job(running, 120)
    assert client.ask(m.CancelJob(job_id=running)).already_final


def test_submitting_an_id_twice_runs_it_once(client, send_clip, connect, backend):
    request = RenderGuides(clip=send_clip(client), trajectory=poses(3))
    job = client.submit(request)
    client.wait_job(job, 120)
    accepted = client.ask(m.SubmitJob(job_id=job, request=request))
    assert accepted.resumed and accepted.state.phase == "done"
    with pytest.raises(RequestRefused, match="in use"):
        client.ask(m.SubmitJob(job_id=job, request=RenderGuides(clip=request.clip, trajectory=poses(4))))


def test_jobs_of_one_client_are_hidden_from_another(client, send_clip, connect, backend):
    job = client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(3)))
    client.wait_job(job, 120)
    other = connect(backend)
    assert other.ask(m.ListJobs()).jobs == ()
    for message in (m.GetJob(job_id=job), m.CancelJob(job_id=job), m.AckResults(job_id=job), m.GetJobLog(job_id=job)):
        with pytest.raises(RequestRefused, match="no job"):
            other.ask(message)


def test_a_new_program_with_the_same_client_id_takes_up_its_jobs(client, send_clip, connect, backend):
    job = client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(3)), fetch=False)
    client.wait_job(job, 120)
    later = connect(backend, client_id=client.client_id)
    assert [state.job_id for state in later.ask(m.ListJobs()).jobs] == [job]
    later.follow(job, received=[("colour", 0)])
    got = []
    later.wait_job(job, 120, on_event=lambda e: got.append(e) if isinstance(e, ItemReceived) else None)
    assert {(e.name, e.frame) for e in got} == {
        ("colour", 1), ("colour", 2), ("mask", 0), ("mask", 1), ("mask", 2), ("coverage", -1),
    }  # fmt: skip


def test_acknowledged_results_are_deleted_and_unfinished_ones_kept(client, send_clip, backend):
    clip = send_clip(client)
    job = client.submit(RenderGuides(clip=clip, trajectory=poses(3)))
    client.wait_job(job, 120)
    before = client.ask(m.GetHealth()).result_bytes
    assert isinstance(client.ask(m.AckResults(job_id=job)), m.ResultsAcknowledged)
    assert client.ask(m.GetHealth()).result_bytes < before
    listed = [s.job_id for s in client.ask(m.ListJobs(unacknowledged_only=True)).jobs]
    assert job not in listed
    running = client.submit(long_job(clip))
    client.wait_for(lambda e: isinstance(e, JobChanged) and e.state.phase == "running", 120)
    with pytest.raises(RequestRefused, match="not over yet"):
        client.ask(m.AckResults(job_id=running))
    client.cancel(running)
    with pytest.raises(JobCancelled):
        client.wait_job(running, 120)


def test_a_job_with_a_file_nobody_uploaded_is_refused(client, send_clip):
    unknown = BlobRef(sha256="00" * 32, size=3, name="lost.npz")
    clip = send_clip(client)
    request = BuildMesh(clip=msgspec.structs.replace(clip, depth=msgspec.structs.replace(clip.depth, blobs=(unknown,))))
    with pytest.raises(RequestRefused, match=r"lost\.npz"):
        client.wait_job(client.submit(request), 120)
    with pytest.raises(RequestRefused, match=r"lost\.npz"):
        client.ask(m.SubmitJob(job_id="0123456789", request=request))


def test_code_and_remedy_of_a_failed_job_reach_the_client_also_after_a_restart(make_backend, connect, tmp_path):
    server = make_backend().start()
    client = connect(server, client_id="one-who-comes-back")
    depth = np.full((2, HEIGHT, WIDTH), 4.0, np.float32)
    depth[1, 3, 5] = np.nan
    np.savez(tmp_path / "holes.npz", depth=depth)
    write_video(tmp_path / "short.mkv", np.zeros((2, HEIGHT, WIDTH, 3), np.uint8), fps=12, lossless=True)
    sent = {}
    for kind, name in (("video", "short.mkv"), ("npz", "holes.npz")):
        sent[kind] = Media(kind=kind, blobs=(client.wait_uploaded(client.upload(tmp_path / name), 120).ref,))
    clip = ClipSpec(video=sent["video"], depth=sent["npz"], focal_px=50.0)
    short = client.submit(BuildMesh(clip=msgspec.structs.replace(clip, num_frames=9)))
    with pytest.raises(JobFailed, match="2 frames, 9 were asked for") as caught:
        client.wait_job(short, 120)
    assert (caught.value.code, caught.value.remedy) == ("bad_clip", fewer_frames(2))
    job = client.submit(BuildMesh(clip=clip))
    with pytest.raises(JobFailed, match="no usable value in 1 of") as caught:
        client.wait_job(job, 120)
    assert (caught.value.code, caught.value.remedy) == ("bad_depth", fill_invalid())
    assert "--" not in str(caught.value) and caught.value.text("cli").count("--fill_invalid") == 1
    assert server.stop() == 0
    state = connect(server.start(), client_id="one-who-comes-back").ask(m.GetJob(job_id=job))
    assert (state.phase, state.failure) == ("failed", Failure("bad_depth", fill_invalid()))


def test_a_refused_question_carries_the_code(client):
    with pytest.raises(RequestRefused, match="no job") as caught:
        client.ask(m.GetJobLog(job_id="nobody-has-this"))
    assert (caught.value.code, caught.value.remedy) == ("unknown_job", None)


def test_the_log_of_a_job_tells_its_stages(client, send_clip):
    job = client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(3)))
    client.wait_job(job, 120)
    text = client.ask(m.GetJobLog(job_id=job)).text
    assert "attempt 1 starts" in text and "guides" in text and "done" in text


def test_what_a_take_would_cost_is_answered_at_once(client):
    def ask(**changes):
        query = m.CostQuery(engine="wan", num_frames=120, width=512, height=512, settings={"mode": "fast", "steps": 4})
        reply = client.ask(msgspec.structs.replace(query, **changes))
        assert isinstance(reply, m.CostReply)
        return reply.cost

    found = ask()
    assert (found.windows, found.forwards) == (3, 3 * 4 * 2)
    assert "There is no GPU here" in found.problem and (found.peak_bytes, found.seconds) == (None, None)
    preview = ask(engine="preview", settings={})
    assert (preview.windows, preview.forwards, preview.problem) == (1, 0, "") and preview.seconds > 0
    for change, why in (({"engine": "nope"}, "no engine 'nope'"), ({"settings": {"nope": 1}}, "nope")):
        with pytest.raises(RequestRefused, match=why):
            ask(**change)


def test_costs_are_those_of_the_servers_gpu():
    gpu = m.DeviceSpec(name="NVIDIA H200", kind="cuda", memory_bytes=140 << 30)
    query = m.CostQuery(engine="wan", num_frames=49, width=512, height=512)
    found = answer_cost(query, [m.DeviceSpec(name="A CPU"), gpu]).cost
    assert found.plan == "resident" and 24 << 30 < found.peak_bytes < 36 << 30
    assert found.gpu_bytes == 140 << 30 and 10 < found.seconds < 600 and not found.problem
    none = answer_cost(query, [m.DeviceSpec(name="A CPU")]).cost
    assert none.gpu_bytes == 0 and none.problem


def test_a_preview_counts_as_nearly_all_of_its_job():
    """It has one stage where a model has six; a stage nobody knows stands still."""

    def share(**changes):
        job = SimpleNamespace(**{"kind": "Generate", "phase": "running", "stage": "", "done": 0, "total": 0, **changes})
        return share_of(cast(Job, SimpleNamespace(**{"share": 0.05, **vars(job)})))

    assert share(stage="guides", done=49, total=49) == pytest.approx(0.1)
    assert share(stage="what the clip shows", done=0, total=1) == pytest.approx(0.1)
    assert share(stage="what the clip shows", done=1, total=1) == pytest.approx(0.15)
    assert share(stage="finding floor and walls", done=0, total=1) == pytest.approx(0.15)
    assert share(stage="preview", done=0, total=49) == pytest.approx(0.25)
    assert share(stage="preview", done=49, total=98) == pytest.approx(0.625)
    assert share(stage="preview", done=98, total=98) == 0.99
    assert share(stage="denoising", done=1, total=2) == pytest.approx(0.25 + 0.325)
    assert share(stage="something new", done=1, total=2) == 0.05
    assert share(phase="done") == 1.0
