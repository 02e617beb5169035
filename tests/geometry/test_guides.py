from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from ex4d.dwmesh import DWMesh
from ex4d.guides import FrameRenderer, render_guides
from ex4d.progress import CancelToken, Progress
from ex4d.raster import GPU_RASTERIZERS, Camera, get_rasterizer, list_rasterizers
from ex4d_ground.errors import Cancelled, MissingExtraError, RasterError, SettingError, TrajectoryError
from ex4d_ground.options import MeshOptions

from .conftest import make_clip, make_trajectory


def test_guides_are_the_rasterizer_s_frames_at_the_nearest_source_time() -> None:
    clip = make_clip(frames=4)
    mesh = DWMesh(clip)
    poses = np.tile(np.eye(4), (6, 1, 1))
    poses[:, 1, 3] = np.linspace(-0.2, 0.2, 6)
    trajectory = make_trajectory(clip, poses, source_time=np.array([0.0, 0.49, 0.5, 2.51, 3.4, -0.3]))
    guides = render_guides(mesh, trajectory)
    for i, t in enumerate((0, 0, 1, 3, 3, 0)):
        colour, mask = get_rasterizer("cpu").draw(mesh.surface(t), Camera.of(trajectory, i))
        np.testing.assert_array_equal(guides.colour[i], colour)
        np.testing.assert_array_equal(guides.mask[i], mask)


def test_the_number_of_threads_does_not_change_a_byte() -> None:
    clip = make_clip(frames=9, height=40, width=56)
    mesh, trajectory = DWMesh(clip), make_trajectory(clip)
    one, two = (render_guides(mesh, trajectory, threads=n) for n in (1, 2))
    assert one.mask.any()
    assert one.colour.tobytes() == two.colour.tobytes()
    assert one.mask.tobytes() == two.mask.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("mode", [MeshOptions(), MeshOptions.ex4d_parity()])
def test_a_single_frame_in_bands_equals_the_clip_s(threads: int, mode: MeshOptions) -> None:
    clip = make_clip(frames=3, height=41, width=57)
    mesh, trajectory = DWMesh(clip, mode), make_trajectory(clip)
    whole = render_guides(mesh, trajectory, threads=1)
    with FrameRenderer(mesh, threads=threads) as live:
        for i in (2, 0, 1, 1):
            colour, mask = live.render(i, Camera.of(trajectory, i))
            np.testing.assert_array_equal(colour, whole.colour[i])
            np.testing.assert_array_equal(mask, whole.mask[i])


def test_only_the_pictures_that_are_asked_for_are_kept_and_the_coverage_of_all() -> None:
    clip = make_clip(frames=5)
    mesh, trajectory = DWMesh(clip), make_trajectory(clip)
    told: list[int] = []
    whole = render_guides(mesh, trajectory, rasterizer="cpu")
    some = render_guides(mesh, trajectory, rasterizer="cpu", kept=[1, 3], on_frame=lambda i, *_: told.append(i))
    np.testing.assert_array_equal(some.coverage, [mask.mean() for mask in whole.mask])
    assert (some.colour.shape, some.mask.shape, told) == (whole.colour.shape, whole.mask.shape, [0, 1, 2, 3, 4])
    for i in (1, 3):
        np.testing.assert_array_equal(some.colour[i], whole.colour[i])
        np.testing.assert_array_equal(some.mask[i], whole.mask[i])
    with pytest.raises(IndexError, match="frame 2 was not kept"):
        some.colour[2]


def test_the_first_frame_can_be_the_source_picture() -> None:
    clip = make_clip()
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 0, 3] = 1.0
    trajectory = make_trajectory(clip, poses)
    guides = render_guides(DWMesh(clip), trajectory, source_first_frame=True)
    np.testing.assert_array_equal(guides.colour[0], clip.frames[0])
    assert guides.mask[0].all()
    np.testing.assert_array_equal(guides.colour[1:], render_guides(DWMesh(clip), trajectory).colour[1:])


def test_frames_and_progress_arrive_in_order_from_the_caller_s_thread() -> None:
    clip = make_clip(frames=7)
    seen: list[int] = []
    threads: set[int] = set()
    steps: list[Progress] = []

    def on_frame(i: int, colour: np.ndarray, mask: np.ndarray) -> None:
        seen.append(i)
        threads.add(threading.get_ident())
        assert colour.shape == (24, 32, 3)
        assert mask.any()

    render_guides(DWMesh(clip), make_trajectory(clip), on_frame=on_frame, on_progress=steps.append, threads=2)
    assert seen == list(range(7))
    assert threads == {threading.get_ident()}
    assert [(s.stage, s.done, s.total) for s in steps] == [("guides", n, 7) for n in range(8)]


def test_cancel_stops_within_a_second_at_full_size() -> None:
    clip = make_clip(frames=12, height=512, width=512)
    token, reached = CancelToken(), []

    def on_frame(i: int, colour: np.ndarray, mask: np.ndarray) -> None:
        reached.append(i)
        token.cancel()
        reached.append(time.process_time())  # type: ignore[arg-type]  # other programs on the machine do not count

    with pytest.raises(Cancelled):
        render_guides(DWMesh(clip), make_trajectory(clip), on_frame=on_frame, cancel=token)
    assert reached[0] == 0
    assert len(reached) == 2
    assert time.process_time() - reached[1] < 1.0


def test_an_error_in_the_callback_ends_the_job() -> None:
    def on_frame(i: int, colour: np.ndarray, mask: np.ndarray) -> None:
        raise KeyError("disk")

    clip = make_clip()
    before = set(threading.enumerate())  # one of another test's may end meanwhile
    with pytest.raises(KeyError, match="disk"):
        render_guides(DWMesh(clip), make_trajectory(clip), on_frame=on_frame)
    assert not set(threading.enumerate()) - before


def test_a_camera_that_sees_nothing_gives_an_empty_frame() -> None:
    clip = make_clip()
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[1, :3, :3] = np.diag([-1.0, 1.0, -1.0])  # looks backwards
    guides = render_guides(DWMesh(clip), make_trajectory(clip, poses))
    assert guides.empty_frames() == [1]
    assert guides.coverage[0] > 0.5


def test_what_cannot_be_rendered_is_said_before_anything_runs() -> None:
    clip = make_clip()
    mesh, trajectory = DWMesh(clip), make_trajectory(clip)
    with pytest.raises(TrajectoryError, match=r"Frame 3 of the move shows frame 3\.5 of the clip, which has 3 frames"):
        render_guides(mesh, make_trajectory(clip, source_time=np.array([0.0, 1.0, 2.5])))
    with pytest.raises(SettingError, match="no rasterizer 'sketch'; choose one of: cpu, nvdiffrast, triton"):
        render_guides(mesh, trajectory, rasterizer="sketch")
    with pytest.raises(SettingError, match="At least one thread"):
        render_guides(mesh, trajectory, threads=0)
    larger = type(trajectory)(
        trajectory.world_from_camera, trajectory.intrinsics, trajectory.source_time, width=40, height=24
    )
    with pytest.raises(SettingError, match="32x24, not 40x24"):
        render_guides(mesh, larger, source_first_frame=True)
    assert render_guides(mesh, larger).colour.shape == (3, 24, 40, 3)


def test_listed_rasterizers_exist() -> None:
    for name in list_rasterizers():
        try:
            assert get_rasterizer(name).name == name
        except (RasterError, MissingExtraError) as error:
            assert name in GPU_RASTERIZERS
            assert name in str(error)


def test_cancel_is_asked_within_a_frame() -> None:
    """A single frame of the worst kind (every triangle a long wall) ends between two bands of rows."""
    clip = make_clip(depth=np.random.default_rng(0).uniform(1, 9, (1, 400, 64)).astype(np.float32))
    token, asked = CancelToken(), []

    class Counting(CancelToken):
        def check(self) -> None:
            asked.append(1)
            if len(asked) == 5:
                token.cancel()
            token.check()

    with pytest.raises(Cancelled):
        render_guides(DWMesh(clip), make_trajectory(clip), cancel=Counting(), threads=1)
    assert len(asked) >= 5
