"""``--parity`` takes a clip in as EX-4D's published program does, and takes that program's own flags."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from ex4d.clip import read_video, write_video
from ex4d.shots.parity import published_size, read_published

LONG, WIDTH, HEIGHT = 52, 200, 120
STRETCHED = (128, 192)


@pytest.mark.parametrize(
    ("filmed", "published"),
    [
        ((1280, 720), (1024, 576)),
        ((1920, 1080), (1024, 576)),
        ((640, 360), (640, 384)),
        ((720, 1280), (576, 1024)),
        ((1024, 576), (1024, 576)),
        ((1040, 600), (1024, 576)),
        ((96, 128), (128, 128)),  # halves go to the even multiple
        ((20, 40), (64, 64)),
    ],
)
def test_frames_are_brought_to_the_published_size(filmed, published) -> None:
    assert published_size(*filmed) == published


def test_a_large_video_without_a_tag_is_read_as_bt601_like_there(tmp_path) -> None:
    path, green = tmp_path / "untagged.mp4", np.zeros((720, 960, 3), np.uint8)
    green[..., 1] = 200
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 960, 720, "yuv420p"
        for _ in range(2):
            picture = av.VideoFrame.from_ndarray(green, format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace="ITU601")))
        container.mux(stream.encode())
    published = read_published(path, num_frames=2, keep_size=True).frames
    assert np.abs(published[0].astype(int) - green).max() <= 3
    assert np.abs(read_video(path)[0][0].astype(int) - green).max() > 10  # without the switch it is BT.709


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """52 frames of 200x120, with depth of that size and of 192x128."""
    folder = tmp_path_factory.mktemp("parity")
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    frames = np.stack([np.dstack((x + t, 2 * y, x + y)) % 256 for t in range(LONG)]).astype(np.uint8)
    depth = np.stack([6 + np.sin(x / 20 + t / 9) - 3.0 * ((x - 90) ** 2 + (y - 60) ** 2 < 900) for t in range(LONG)])
    write_video(folder / "clip.mp4", frames, fps=24)
    np.save(folder / "filmed.npy", depth.astype(np.float32))
    np.save(folder / "stretched.npy", np.stack([cv2.resize(d, STRETCHED[::-1]) for d in depth]).astype(np.float32))
    return folder


def _recon(ex4d, clip: Path, out: Path, depth: str, *more: object, code: int = 0):
    source = ("--input_video", clip / "clip.mp4", "--depth", clip / depth, "--cam", "30", "--output_dir", out)
    outcome = ex4d("recon", *source, "--parity", "--rasterizer", "cpu", "--lossless", "--save_camera", *more)
    assert outcome.code == code, outcome.err
    return outcome


def _guides(out: Path) -> np.ndarray:
    with np.load(out / "guides_30.npz") as archive:
        return archive["rgba"]


@pytest.mark.parametrize("depth", ["filmed.npy", "stretched.npy"])
def test_49_frames_are_stretched_and_the_focal_length_is_500(ex4d, clip, tmp_path, depth) -> None:
    _recon(ex4d, clip, tmp_path / "out", depth)
    rgba = _guides(tmp_path / "out")
    assert rgba.shape == (49, *STRETCHED, 4)
    frames, _ = read_video(clip / "clip.mp4")
    assert np.array_equal(rgba[0, ..., :3], cv2.resize(frames[0], STRETCHED[::-1]))
    with np.load(tmp_path / "out" / "camera_30.npz") as camera:
        assert np.allclose(camera["intrinsics"], [[500, 0, 96], [0, 500, 64], [0, 0, 1]])
        assert len(camera["extrinsics"]) == 49


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (("--keep_size",), (49, HEIGHT, WIDTH)),
        (("--num_frames", 0), (LONG, *STRETCHED)),
        (("--num_frames", 12), (12, *STRETCHED)),
        (("--num_frames", 0, "--keep_size"), (LONG, HEIGHT, WIDTH)),
    ],
)
def test_each_part_of_the_input_step_can_be_turned_off(ex4d, clip, tmp_path, given, shape) -> None:
    _recon(ex4d, clip, tmp_path / "out", "filmed.npy", *given)
    assert _guides(tmp_path / "out").shape[:3] == shape


def test_a_shorter_clip_is_used_whole_and_more_frames_than_there_are_is_an_error(ex4d, shot, tmp_path) -> None:
    source = (*shot.source, "--cam", "30", "--parity", "--keep_size", "--output_dir", tmp_path / "out")
    assert ex4d("recon", *source, "--lossless").code == 0
    assert len(_guides(tmp_path / "out")) == 6
    outcome = ex4d("recon", *source, "--num_frames", 9)
    assert outcome.code == 2 and "has 6 frames, 9 were asked for" in outcome.last


def test_without_depth_the_estimator_is_depthcrafter(ex4d, clip, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path / "none"))
    source = ("--input_video", clip / "clip.mp4", "--cam", "30", "--output_dir", tmp_path / "out")
    outcome = ex4d("recon", *source, "--parity")
    assert outcome.code in (4, 5) and "Depth is estimated by DepthCrafter" in outcome.err
    outcome = ex4d("recon", *source, "--parity", "--estimator", "depth-pro")
    assert "Depth is estimated by Depth Pro" in outcome.err


def test_the_published_programs_flags_are_taken(ex4d, clip, tmp_path) -> None:
    flags = (
        "--only_first_frame",
        0,
        "--filter_type",
        "angle",
        "--use_dwmesh",
        1,
        "--save_depth",
        1,
        "--input_size",
        518,
    )
    _recon(ex4d, clip, tmp_path / "with", "stretched.npy", *flags)
    _recon(ex4d, clip, tmp_path / "without", "stretched.npy")
    assert np.array_equal(_guides(tmp_path / "with"), _guides(tmp_path / "without"))


def test_only_first_frame_draws_the_first_frames_mesh_all_along(ex4d, clip, tmp_path) -> None:
    _recon(ex4d, clip, tmp_path / "still", "stretched.npy", "--only_first_frame", 1, "--num_frames", 8)
    depth = np.load(clip / "stretched.npy")
    frames, _ = read_video(clip / "clip.mp4")
    frames[:], depth[:] = frames[0], depth[0]
    (tmp_path / "held").mkdir()
    for i, frame in enumerate(frames[:8]):
        cv2.imwrite(str(tmp_path / "held" / f"{i:03d}.png"), frame[..., ::-1])
    np.save(tmp_path / "held.npy", depth[:8])
    source = ("--input_video", tmp_path / "held", "--depth", tmp_path / "held.npy", "--cam", "30", "--lossless")
    assert ex4d("recon", *source, "--parity", "--output_dir", tmp_path / "out", "--rasterizer", "cpu").code == 0
    assert np.array_equal(_guides(tmp_path / "still"), _guides(tmp_path / "out"))


def test_the_filter_boundary_hides_faces_by_their_slope(ex4d, clip, tmp_path) -> None:
    _recon(ex4d, clip, tmp_path / "out", "stretched.npy", "--filter_type", "boundary", "--num_frames", 4)
    _recon(ex4d, clip, tmp_path / "angle", "stretched.npy", "--num_frames", 4)
    steep, thin = _guides(tmp_path / "out")[3, ..., 3] > 0, _guides(tmp_path / "angle")[3, ..., 3] > 0
    assert steep.mean() < thin.mean() - 0.005  # slopes of 63 degrees are hidden long before angles of 2.5 are reached


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--use_dwmesh", 0), "--use_dwmesh 0 asks for a mesh with holes"),
        (("--filter_type", "edge"), "--filter_type is angle or boundary, got 'edge'"),
        (("--only_first_frame", 2), "--only_first_frame is 0 or 1, got 2"),
        (("--fov", 40), "--parity fixes the focal length"),
        (("--num_frames", 1), "--num_frames must be at least 2"),
    ],
)
def test_what_cannot_be_had_is_said(ex4d, clip, tmp_path, given, told) -> None:
    assert told in _recon(ex4d, clip, tmp_path / "out", "stretched.npy", *given, code=2).last
    assert not (tmp_path / "out").exists()


def test_keep_size_alone_is_refused(ex4d, shot, tmp_path) -> None:
    outcome = ex4d("recon", *shot.source, "--cam", "30", "--keep_size", "--output_dir", tmp_path / "out")
    assert outcome.code == 2 and "--keep_size belongs to --parity" in outcome.last


def test_depth_of_a_third_size_is_refused(ex4d, clip, tmp_path) -> None:
    np.save(tmp_path / "small.npy", np.ones((LONG, 60, 100), np.float32))
    source = ("--input_video", clip / "clip.mp4", "--depth", tmp_path / "small.npy", "--cam", "30", "--parity")
    outcome = ex4d("recon", *source, "--output_dir", tmp_path / "out")
    assert outcome.code == 2 and "100x60 pixels but the video is 192x128" in outcome.last
    assert json.dumps(str(tmp_path / "small.npy"))[1:-1] in outcome.last
