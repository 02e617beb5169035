"""Stereo on the command line: takes with two eyes, and their exports with what players read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d.clip import read_video, write_video
from ex4d.clip.images import read_rgb
from ex4d.export.anaglyph import LEFT, RIGHT, anaglyph
from ex4d_ground.takes import read_take_info

H, W = 120, 256


@pytest.fixture
def take(ex4d, tmp_path: Path) -> Path:
    """A stereo take of a wall with a box before it."""
    rows, columns = np.mgrid[0:H, 0:W]
    frame = np.stack([columns % 250, rows, (rows + columns) % 200], -1).astype(np.uint8)
    depth = np.full((3, H, W), 5.0, np.float32)
    depth[:, 40:80, 100:150] = 2.5
    write_video(tmp_path / "clip.mp4", frame[None].repeat(3, 0), fps=24)
    np.savez(tmp_path / "depth.npz", depth=depth)
    files = ["--input_video", tmp_path / "clip.mp4", "--depth", tmp_path / "depth.npz", "--output_dir", tmp_path / "o"]
    done = ex4d("run", *files, "--cam", "static", "--engine", "preview", "--stereo", "auto")
    assert done.code == 0, done.err
    assert "converging at depth 3;" in done.err  # two thirds of the way in 1 / depth
    assert "Parallax -0.5% to +1.1% of the width" in done.err
    return tmp_path / "o" / "take_001"


def side_data(path: Path) -> list[dict[str, str]]:
    """What ffprobe says beside the video's stream."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_streams", "-of", "json", str(path)]
    stream = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["streams"][0]
    return [
        {k: v for k, v in each.items() if k in ("side_data_type", "type")} for each in stream.get("side_data_list", [])
    ]


MARKED = [{"side_data_type": "Stereo 3D", "type": "side by side"}]


def test_a_stereo_take_is_the_left_eye_with_the_right_one_beside_it(take: Path) -> None:
    info = read_take_info(take)
    assert info.eyes is not None
    assert (info.width, info.height, info.num_frames) == (W, H, 3)
    left, right = read_rgb(take / "frame_0002.png"), read_rgb(take / "right" / "frame_0002.png")
    assert left.shape == right.shape == (H, W, 3)
    movie, fps = read_video(take.with_suffix(".mp4"))
    assert movie.shape == (3, H, 2 * W, 3)
    assert fps == 24
    assert np.abs(movie[1][:, :W].astype(int) - left).mean() < 6
    assert np.abs(movie[1][:, W:].astype(int) - right).mean() < 6
    assert side_data(take.with_suffix(".mp4")) == MARKED


LAYOUTS = (
    (None, "mp4", "clip_take001_sbs.mp4", (H, 2 * W), True),
    ("half", "mp4-10", "clip_take001_mp4-10_half_sbs.mp4", (H, W), True),
    ("side-by-side", "prores", "clip_take001_sbs.mov", (H, 2 * W), True),
    ("anaglyph", "mp4", "clip_take001_anaglyph.mp4", (H, W), False),
    ("left", "mp4", "clip_take001_left.mp4", (H, W), False),
    ("right", "mp4", "clip_take001_right.mp4", (H, W), False),
)


def test_every_way_to_show_both_eyes_is_read_back(ex4d, take, tmp_path) -> None:
    left, right = read_rgb(take / "frame_0001.png"), read_rgb(take / "right" / "frame_0001.png")
    both = anaglyph(*(eye.astype(np.float32) / np.float32(255) for eye in (left, right))) * 255
    for eyes, kind, file, size, marked in LAYOUTS:
        chosen = () if eyes is None else ("--eyes", eyes)
        done = ex4d("export", take, "--output_dir", tmp_path / "e", "--kind", kind, *chosen)
        assert done.code == 0, done.err
        assert side_data(tmp_path / "e" / file) == (MARKED if marked else [])
        frames, _ = read_video(tmp_path / "e" / file)
        assert frames.shape[1:3] == size
        shown = {"left": left, "right": right, "anaglyph": both}.get(str(eyes))
        if shown is not None:
            assert np.abs(frames[0].astype(float) - shown).mean() < 8
    _refused(ex4d, take, tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--stereo", "wide"), "--stereo is the eyes' distance or auto, got 'wide'."),
        (("--stereo", -1), "--stereo must be a positive distance, got -1."),
        (("--convergence", 3), "--convergence belongs to --stereo; give both or neither."),
    ],
)
def test_wrong_eyes_are_refused_in_a_sentence(ex4d, tmp_path: Path, options: tuple[str, object], said: str) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"never opened")
    shot = ("--input_video", video, "--cam", "zoom_in", "--output_dir", tmp_path / "take")
    told = ex4d("run", *shot, "--engine", "preview", *options)
    assert told.code == 2
    assert said in told.err
    assert not (tmp_path / "take").exists()


def test_an_anaglyph_mixes_light_by_the_published_matrices() -> None:
    assert np.abs((LEFT + RIGHT).sum(axis=1) - 1).max() < 0.002  # white of both eyes stays white
    grey = np.full((1, 3), 0.5, np.float32)
    assert anaglyph(grey, grey) == pytest.approx(0.5, abs=0.002)
    black, red = np.zeros((1, 3), np.float32), np.array([[0.5, 0, 0]], np.float32)
    light = ((0.5 + 0.055) / 1.055) ** 2.4 * 0.456
    assert anaglyph(red, black)[0] == pytest.approx([1.055 * light ** (1 / 2.4) - 0.055, 0, 0], abs=1e-5)
    assert anaglyph(black, red)[0, 0] == 0  # a negative weight is cut off


def _refused(ex4d, take: Path, folder: Path) -> None:
    """What cannot be exported is said, and nothing is written."""
    wrong = ex4d("export", take, "--output_dir", folder, "--eyes", "crossed")
    assert wrong.code == 2
    assert "choose one of side-by-side, half, anaglyph, left, right" in wrong.err
    description = json.loads((take / "take.json").read_text())
    (take / "take.json").write_text(json.dumps(description | {"eyes": None}))
    single = ex4d("export", take, "--output_dir", folder, "--eyes", "anaglyph")
    assert single.code == 2
    assert "one eye alone" in single.err
    assert not folder.exists()


def test_a_frame_of_another_size_is_named_and_nothing_is_written(ex4d, take, tmp_path) -> None:
    (take / "right" / "frame_0002.png").write_bytes(cv2.imencode(".png", np.zeros((10, 16, 3), np.uint8))[1].tobytes())
    done = ex4d("export", take, "--kind", "mp4", "--output_dir", tmp_path / "e")
    assert done.code == 2
    assert f"{take / 'right' / 'frame_0002.png'} is 16x10 pixels but the take's frames are {W}x{H}" in done.last
    assert not (tmp_path / "e").exists()
