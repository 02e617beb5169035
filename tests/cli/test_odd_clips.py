"""Clips of odd sizes and rates: every command takes them in the same way, or refuses them in a sentence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ex4d.clip import load_clip, write_video

from .conftest import write_pngs

FILMED = 7
HELD = 3
"""So many times as long as the others stands every third frame."""


def tiny(tmp_path: Path, width: int, height: int) -> tuple[Path, Path]:
    """A few frames of noise in which nothing stands out, and their depth."""
    frames = np.random.default_rng(1).integers(0, 256, (3, height, width, 3), np.uint8)
    np.savez(tmp_path / "depth.npz", depth=np.full(frames.shape[:3], 3.0, np.float32))
    return write_pngs(tmp_path / "clip", frames), tmp_path / "depth.npz"


@pytest.fixture
def uneven(tmp_path) -> tuple[Path, Path]:
    """A video whose rate varies, with depth for each frame that was filmed: its number from 1 on."""
    path, unit = tmp_path / "uneven.mkv", Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.time_base = 48, 32, "bgr0", unit
        moment = 0
        for index in range(FILMED):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 30 * index, np.uint8), "rgb24")
            frame.pts, frame.time_base = moment, unit
            moment += 40 * (HELD if index % 3 == 0 else 1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    numbers = np.arange(1.0, FILMED + 1, dtype=np.float32)
    np.savez(tmp_path / "filmed.npz", depth=np.tile(numbers[:, None, None], (1, 32, 48)))
    return path, tmp_path / "filmed.npz"


def test_depth_of_each_filmed_frame_is_played_by_the_time_stamps_by_every_command(ex4d, uneven, tmp_path):
    video, depth = uneven
    expected = np.asarray(load_clip(video, depth).depth)[:, 0, 0]
    assert len(expected) > FILMED and sorted(set(expected)) == list(range(1, FILMED + 1))
    out = tmp_path / "out"
    done = ex4d("depth", "estimate", video, "--from_file", depth, "--output", out / "all.npz")
    assert done.code == 0, done.err
    assert np.array_equal(np.load(out / "all.npz")["depth"][:, 0, 0], expected)
    done = ex4d("depth", "estimate", video, "--from_file", depth, "--output", out / "cut.npz", "--num_frames", 5)
    assert done.code == 0, done.err
    assert np.array_equal(np.load(out / "cut.npz")["depth"][:, 0, 0], expected[:5])
    for again in (depth, out / "all.npz"):
        done = ex4d("depth", "inspect", video, again, "--output_dir", out / "look")
        assert done.code == 0, done.err
    source = ("--input_video", video, "--depth", depth, "--cam", "30")
    done = ex4d("recon", *source, "--output_dir", out / "published", "--parity", "--keep_size")
    assert done.code == 0, done.err


def test_depth_of_another_length_is_still_refused_beside_an_uneven_video(ex4d, uneven, tmp_path):
    video, _ = uneven
    other = tmp_path / "other.npz"
    np.savez(other, depth=np.full((FILMED - 1, 32, 48), 2.0, np.float32))
    for command in (
        ("depth", "estimate", video, "--from_file", other, "--output", tmp_path / "d.npz"),
        ("depth", "inspect", video, other, "--output_dir", tmp_path / "look"),
        ("recon", "--input_video", video, "--depth", other, "--cam", "30", "--output_dir", tmp_path / "r", "--parity"),
    ):
        done = ex4d(*command)
        assert done.code == 2 and "but the video has" in done.last, done.err


@pytest.mark.parametrize(("width", "height"), [(8, 8), (3, 11), (2, 2)])
def test_depth_of_a_tiny_clip_can_be_looked_at(ex4d, tmp_path, width, height):
    done = ex4d("depth", "inspect", *tiny(tmp_path, width, height), "--output_dir", tmp_path / "look")
    assert done.code == 0, done.err


@pytest.mark.parametrize("command", ["coverage", "recon", "preview", "run", "web", "solve"])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 40)])
def test_a_clip_too_small_for_a_move_is_refused_with_its_size_by_every_command(ex4d, tmp_path, command, size):
    video, depth = tiny(tmp_path, *size)
    shot = (video, "--output", tmp_path / "camera.npz") if command == "solve" else ("--input_video", video)
    more = () if command == "solve" else ("--cam", "30", "--output_dir", tmp_path / "out")
    more = (*more, "--engine", "preview") if command == "run" else more
    done = ex4d(command, *shot, "--depth", depth, *more)
    width, height = size
    told = f"Error: A clip of {width}x{height} pixels is too small; give a clip of at least 3x3 pixels."
    assert done.code == 2 and done.last == told
    assert not (tmp_path / "out").exists() and not (tmp_path / "camera.npz").exists()


@pytest.mark.parametrize(
    ("size", "side", "remedy"),
    [((5, 40), 960, "give a clip of at least 32x40 pixels"), ((96, 40), 48, "give --side 77 or more")],
)
def test_a_page_with_too_small_a_picture_is_refused_with_what_would_do(ex4d, tmp_path, size, side, remedy):
    video, depth = tiny(tmp_path, *size)
    source = ("--input_video", video, "--depth", depth, "--cam", "30", "--output_dir", tmp_path / "page")
    done = ex4d("web", *source, "--side", side)
    assert done.code == 2 and done.last.endswith(f"; {remedy}.") and f"{size[0]}x{size[1]} pixels gives" in done.last
    assert not (tmp_path / "page").exists()


def test_depth_with_more_frames_than_the_video_is_not_looked_at_in_part(ex4d, tmp_path):
    write_video(tmp_path / "clip.mkv", np.zeros((3, 32, 48, 3), np.uint8), fps=24, lossless=True)
    np.savez(tmp_path / "long.npz", depth=np.full((5, 32, 48), 2.0, np.float32))
    done = ex4d("depth", "inspect", tmp_path / "clip.mkv", tmp_path / "long.npz", "--output_dir", tmp_path / "look")
    assert done.code == 2 and "inspect it with the video it belongs to" in done.last
    cut = ("--num_frames", 2)
    done = ex4d("depth", "inspect", tmp_path / "clip.mkv", tmp_path / "long.npz", "--output_dir", tmp_path / "l", *cut)
    assert done.code == 0, done.err
