"""A clip whose camera moved, on a real backend: jobs, live views and takes share a world; a job finds the camera."""

from __future__ import annotations

import io
from dataclasses import replace

import cv2
import msgspec
import numpy as np
import pytest

from backend.conftest import FRAMES, HEIGHT, WIDTH, poses, until
from backend.test_jobs import picture
from backend.test_jobs import run as run_within
from backend.test_live import answers, view
from ex4d.clip import load_clip, with_source_camera
from ex4d.dwmesh import DWMesh
from ex4d.eval.filmed import film
from ex4d.guides import render_guides
from ex4d.solve import solve_camera
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.options import MeshOptions
from ex4d_ground.source_camera import SourceCamera
from ex4d_ground.takes import decode_take, source_camera_from
from ex4d_protocol.errors import JobFailed
from ex4d_protocol.events import LiveAnswer
from ex4d_protocol.requests import (
    BlobRef,
    BuildMesh,
    ClipSpec,
    Generate,
    Media,
    MeshSpec,
    RenderGuides,
    SolveCamera,
    SourceCameraSpec,
    TrajectorySpec,
)

pytestmark = pytest.mark.timeout(1200)
LENS = Intrinsics.from_focal(WIDTH, HEIGHT, 50.0)


def camera(step: float = 0.125, *, zoom: float = 0.0) -> SourceCamera:
    moved = np.tile(np.eye(4), (FRAMES, 1, 1))
    moved[:, 0, 3] = step * np.arange(FRAMES)
    rows = np.tile([LENS.fx, LENS.fy, LENS.cx, LENS.cy], (FRAMES, 1))
    rows[:, :2] *= 1 + zoom * np.arange(FRAMES)[:, None]
    return SourceCamera(moved, rows, WIDTH, HEIGHT, "tracked")


def filmed(spec: ClipSpec, by: SourceCamera) -> ClipSpec:
    return msgspec.structs.replace(spec, source_camera=SourceCameraSpec.of(by))


def run(client, request) -> dict:
    """A job's items; a busy machine may take minutes."""
    return run_within(client, request, 600)


def playing(count: int) -> TrajectorySpec:
    """A slide to the right in the world, while the clip plays."""
    return msgspec.structs.replace(poses(count, step=0.1), source_time=np.arange(count, dtype=np.float64).tobytes())


@pytest.fixture
def here(clip_files) -> Clip:
    return load_clip(*clip_files, focal_px=50.0)


@pytest.mark.parametrize("zoom", [0.0, 0.02])
def test_guides_are_the_librarys_to_the_bit(client, send_clip, here, zoom):
    by, spec = camera(zoom=zoom), playing(FRAMES)
    mesh = MeshOptions(mode="solid")
    request = RenderGuides(clip=filmed(send_clip(client), by), trajectory=spec, mesh=MeshSpec(options=mesh))
    items = run(client, request)
    guides = render_guides(DWMesh(with_source_camera(here, by), mesh), spec.unpack())
    still = render_guides(DWMesh(here, mesh), spec.unpack())
    for i in range(FRAMES):
        np.testing.assert_array_equal(picture(items["colour", i]), guides.colour[i])
        np.testing.assert_array_equal(picture(items["mask", i]), guides.mask[i] * np.uint8(255))
    assert (np.asarray(guides.colour) != still.colour).any()


def test_live_views_are_the_guides_and_follow_when_the_camera_is_another(client, send_clip, here):
    clip, spec = send_clip(client), playing(3)
    for sequence, step in enumerate((0.125, 0.25, 0.0)):
        by = camera(step)
        guides = render_guides(DWMesh(with_source_camera(here, by)), spec.unpack())
        cut = msgspec.structs.replace(
            spec, num_frames=1, world_from_camera=spec.world_from_camera[256:], intrinsics=spec.intrinsics[64:],
            source_time=spec.source_time[16:],
        )  # fmt: skip
        asked = client.live(view(filmed(clip, by), cut, sequence=sequence))
        [event] = answers(client, asked, timeout_s=600)[asked]
        assert isinstance(event, LiveAnswer), event
        shown = event.picture
        assert shown is not None
        np.testing.assert_array_equal(shown[..., :3], guides.colour[2])


def test_the_mesh_stays_in_the_axes_of_the_camera_that_filmed_its_frame(client, send_clip, here):
    plain = run(client, BuildMesh(clip=send_clip(client)))
    moving = run(client, BuildMesh(clip=filmed(send_clip(client), camera())))
    np.testing.assert_array_equal(moving["vertices", 3].array(), plain["vertices", 3].array())
    zoomed = camera(zoom=0.02)
    items = run(client, BuildMesh(clip=filmed(send_clip(client), zoomed)))
    np.testing.assert_array_equal(items["vertices", 3].array(), DWMesh(with_source_camera(here, zoomed)).vertices(3))


def test_a_take_notes_the_camera_that_filmed_and_its_move_in_the_world(client, send_clip):
    until(lambda: client.poll() is not None and client.capabilities.engines)
    spec = playing(FRAMES)
    items = run(client, Generate(clip=filmed(send_clip(client), camera()), trajectory=spec, engine="preview"))
    info = decode_take(items["take", -1].json(), "the take")
    assert info.camera is not None and info.source_camera is not None
    np.testing.assert_array_equal(info.camera.trajectory.world_from_camera, spec.unpack().world_from_camera)
    np.testing.assert_array_equal(info.source_camera.world_from_camera, camera().world_from_camera)
    assert "source_camera" not in info.clip["spec"]
    bare = run(client, Generate(clip=send_clip(client), trajectory=spec, engine="preview"))
    assert "source_camera" not in bare["take", -1].json()["clip"]


def test_a_camera_that_is_not_the_clips_fails_the_job_in_a_sentence(client, send_clip):
    spec = SourceCameraSpec.of(camera().first(FRAMES - 1))
    clip = msgspec.structs.replace(send_clip(client), source_camera=spec)
    with pytest.raises(JobFailed, match=f"has {FRAMES - 1} poses but the clip {FRAMES} frames"):
        run(client, RenderGuides(clip=clip, trajectory=playing(3)))
    wrong = SourceCameraSpec.of(replace(camera(), intrinsics=camera().intrinsics * [2, 2, 1, 1]))
    with pytest.raises(JobFailed, match="focal length of 100"):
        clip = msgspec.structs.replace(send_clip(client), source_camera=wrong)
        run(client, RenderGuides(clip=clip, trajectory=playing(3)))


def send_room(client, move: str) -> tuple[ClipSpec, Clip]:
    room = film(move, seed=6, width=256, height=192, frames=8)

    def blob(data: bytes) -> BlobRef:
        return client.wait_uploaded(client.upload(data), 120).ref

    pictures = [cv2.imencode(".png", frame[..., ::-1])[1].tobytes() for frame in np.asarray(room.clip.frames)]
    file = io.BytesIO()
    np.save(file, np.asarray(room.clip.depth))
    spec = ClipSpec(
        video=Media(kind="png_sequence", blobs=tuple(blob(p) for p in pictures)),
        depth=Media(kind="npy", blobs=(blob(file.getvalue()),)),
        focal_px=room.clip.intrinsics.fx,
    )
    return spec, room.clip


def test_a_job_finds_the_camera_that_the_library_finds(client):
    spec, clip = send_room(client, "handheld")
    items = run(client, SolveCamera(clip=spec))
    info = items["camera_info", -1].json()
    assert info["solved"] and not info["failure"] and not info["still"] and info["notes"]
    found = source_camera_from(info["camera"])
    own = solve_camera(clip).camera
    np.testing.assert_allclose(found.world_from_camera, own.world_from_camera, atol=1e-6)
    assert found.origin == "estimated"
    assert picture(items["residuals", -1]).shape[1] == 3 * 480
    spec = msgspec.structs.replace(spec, source_camera=SourceCameraSpec.of(found))
    assert run(client, RenderGuides(clip=spec, trajectory=playing(3)))["coverage", -1].array().mean() > 0.5


def test_a_camera_that_cannot_be_relied_on_is_said_with_its_picture(client):
    spec, _ = send_room(client, "follow")
    items = run(client, SolveCamera(clip=spec))
    info = items["camera_info", -1].json()
    assert not info["solved"] and info["camera"] is None
    assert "% of the frame moves by itself" in info["failure"]
    assert ("residuals", -1) in items


def test_a_still_camera_is_exactly_the_identity(client):
    spec, _ = send_room(client, "still")
    info = run(client, SolveCamera(clip=spec))["camera_info", -1].json()
    assert info["solved"] and info["still"]
    assert source_camera_from(info["camera"]).is_still
