"""``ex4d preview`` and ``ex4d demo``: the whole way to a take, marked as a preview."""

from __future__ import annotations

import json
import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from ex4d.clip import read_video
from ex4d.takes import read_take

from .conftest import Shot


@pytest.fixture(scope="module")
def made(shot: Shot, tmp_path_factory) -> Path:
    from ex4d.cli.app import main

    out = tmp_path_factory.mktemp("takes")
    arguments = ["preview", *map(str, shot.source), "--cam", "orbit_left", "--output_dir", str(out)]
    assert main([*arguments, "--seed", "7"]) == 0
    assert main(arguments) == 0
    return out


def test_takes_are_numbered_and_complete(made: Path, shot: Shot) -> None:
    assert sorted(os.listdir(made)) == ["take_001", "take_001.mp4", "take_002", "take_002.mp4"]
    take = read_take(made / "take_001")
    assert take.frames.shape == shot.frames.shape
    assert (take.engine, take.seed, take.fps) == ("preview", 7, 24)
    assert take.trajectory.name == "orbit_left"
    assert len(take.coverage) == len(shot.frames)


def test_a_preview_says_so_in_its_files(made: Path) -> None:
    assert json.loads((made / "take_001" / "take.json").read_text())["engine"] == "preview"
    with av.open(str(made / "take_001.mp4")) as container:
        assert "engine=preview" in container.metadata["comment"]


def test_the_video_is_the_frames(made: Path) -> None:
    take = read_take(made / "take_001")
    video, fps = read_video(made / "take_001.mp4")
    assert fps == 24
    assert np.abs(video.astype(int) - take.frames).mean() < 12  # noise at 4:2:0


def test_seen_pixels_stay_and_holes_are_filled(ex4d, made: Path, shot: Shot, tmp_path: Path) -> None:
    assert ex4d("recon", *shot.source, "--cam", "orbit_left", "--output_dir", tmp_path, "--lossless").code == 0
    with np.load(tmp_path / "guides_orbit_left.npz") as archive:
        rgba = archive["rgba"]
    frames = read_take(made / "take_001").frames
    seen = rgba[..., 3] > 0
    assert 0.05 < (~seen).mean() < 0.95
    assert np.array_equal(frames[seen], rgba[..., :3][seen])
    assert (frames[~seen].max(axis=-1) > 0).mean() > 0.99


def test_an_unwritable_folder_is_told_before_the_work(ex4d, shot: Shot, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = ex4d("preview", *shot.source, "--cam", "30", "--output_dir", tmp_path / "file" / "out")
    assert outcome.code == 3
    assert "is a file, not a folder" in outcome.last
    assert "Reading" not in outcome.err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--set", "no_such=1"), "The preview engine has no setting 'no_such'; it has:"),
        (("--set", "loose"), "--set takes name=value, got 'loose'"),
        (("--cam", "nope"), "There is no camera 'nope'"),
    ],
)
def test_flags_are_checked_first(ex4d, shot: Shot, tmp_path: Path, flags, sentence: str) -> None:
    outcome = ex4d("preview", *shot.source, "--cam", "30", *flags, "--output_dir", tmp_path / "out")
    assert outcome.code == 2
    assert sentence in outcome.last
    assert not (tmp_path / "out").exists()


def test_demo_does_the_main_job_on_a_clip_of_ones_own(ex4d, shot: Shot, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    outcome = ex4d("demo", "--clip", shot.video, "--depth", shot.depth, "--cam", "orbit_up", "--output_dir", out)
    assert outcome.code == 0, outcome.err
    assert sorted(os.listdir(out)) == [
        "color_orbit_up.mp4", "contact_sheet.png", "coverage_orbit_up.png", "mask_orbit_up.mp4",
        "take_001", "take_001.mp4",
    ]  # fmt: skip
    assert "preview engine" in outcome.out
    assert cv2.imread(str(out / "contact_sheet.png")).shape[1] > 600
    assert ex4d("preview", *shot.source, "--cam", "orbit_up", "--output_dir", tmp_path / "same").code == 0
    for frame in (tmp_path / "same" / "take_001").glob("*.png"):
        assert (cv2.imread(str(frame)) == cv2.imread(str(out / "take_001" / frame.name))).all(), frame.name


def test_demo_needs_both_halves_of_a_clip_or_the_example(ex4d, shot: Shot, tmp_path: Path, monkeypatch) -> None:
    outcome = ex4d("demo", "--clip", shot.video, "--output_dir", tmp_path / "out")
    assert outcome.code == 2
    assert "--clip and --depth belong together" in outcome.last
    from ex4d.cli import demo

    monkeypatch.setattr(demo, "CLIP_NAME", "not_there.mp4")
    outcome = ex4d("demo", "--output_dir", tmp_path / "out")
    assert outcome.code == 2
    assert "give --clip and --depth" in outcome.last
    assert not (tmp_path / "out").exists()


def test_a_run_says_what_it_takes_and_one_that_the_disk_cannot_hold_is_refused_before_it_begins(
    ex4d, shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ex4d import needs
    from ex4d.frames import scratch

    command = ["preview", *shot.source, "--cam", "30", "--output_dir", tmp_path / "out"]
    monkeypatch.setattr(needs, "IN_MEMORY_BYTES", 0)
    outcome = ex4d(*command)
    assert outcome.code == 0
    assert "GiB of memory, and 0.0 GiB of scratch disk while they are worked on." in outcome.err
    monkeypatch.setattr(scratch, "SPARE_BYTES", 1 << 62)
    refused = ex4d(*command)
    assert refused.code == 2
    assert "The whole run needs 0.0 GiB of disk for" in refused.last and "GiB free: read fewer frames" in refused.last
    assert "Reading video" not in refused.err
