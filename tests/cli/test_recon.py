"""``ex4d recon``: what it writes, what it says, and what it leaves behind when it cannot."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import read_video, write_video
from ex4d.trajectory import PRESETS, static
from ex4d_ground.camera_files import load_camera, save_camera
from ex4d_ground.cameras import Intrinsics

from .conftest import Shot, start, write_pngs


def test_it_writes_what_was_asked_for_and_nothing_else(ex4d, shot: Shot, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert ex4d("recon", *shot.source, "--cam", "30", "--output_dir", out).code == 0
    assert sorted(os.listdir(out)) == ["color_30.mp4", "mask_30.mp4"]
    run = ex4d("recon", *shot.source, "--cam", "30", "--output_dir", out, "--save_mesh", "--save_camera", "--lossless")
    assert sorted(os.listdir(out)) == [
        "DW-Mesh.ply", "camera_30.npz", "color_30.mp4", "guides_30.npz", "mask_30.mp4",
    ]  # fmt: skip
    assert run.out.splitlines()[0].startswith("Coverage: ")
    assert str(out / "guides_30.npz") in run.out.splitlines()
    colour, fps = read_video(out / "color_30.mp4")
    assert colour.shape == shot.frames.shape
    assert fps == 24


def test_dashes_and_underscores_are_the_same_flag(ex4d, shot: Shot, tmp_path: Path) -> None:
    outcome = ex4d(
        "recon", "--input-video", shot.video, "--depth", shot.depth, "--cam", "zoom_in", "--output-dir", tmp_path,
        "--save-camera", "--num-frames", "3",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert len(load_camera(tmp_path / "camera_zoom_in.npz")) == 3


def test_the_source_camera_shows_the_source_by_default(ex4d, shot: Shot, tmp_path: Path) -> None:
    source = write_pngs(tmp_path / "frames", shot.frames)
    assert ex4d(
        "recon", "--input_video", source, "--depth", shot.depth, "--cam", "static", "--output_dir", tmp_path / "out",
        "--lossless", "--fov", "40",
    ).code == 0  # fmt: skip
    with np.load(tmp_path / "out" / "guides_static.npz") as archive:
        rgba = archive["rgba"]
    seen = rgba[..., 3] > 0
    error = np.abs(rgba[..., :3].astype(int) - shot.frames)[seen]
    assert seen.mean() > 0.5
    assert error.mean() <= 0.5


def test_fov_and_focal_set_the_lens(ex4d, shot: Shot, tmp_path: Path) -> None:
    for flag, value, expected in (("--fov", 90, 28.0), ("--focal", 70, 70.0)):
        assert ex4d(
            "recon", *shot.source, "--cam", "30", "--output_dir", tmp_path, "--save_camera", flag, value
        ).code == 0  # fmt: skip
        assert load_camera(tmp_path / "camera_30.npz").intrinsics[0, 0] == pytest.approx(expected)


def test_a_saved_camera_gives_the_same_guides_again(ex4d, shot: Shot, tmp_path: Path) -> None:
    for cam in ("orbit_left", "vertigo_in"):  # one lens: EX-4D's layout; changing lens: ours
        first, second = tmp_path / f"{cam}_1", tmp_path / f"{cam}_2"
        options = ("--lossless", "--save_camera", "--focal", "60")
        assert ex4d("recon", *shot.source, "--cam", cam, "--output_dir", first, *options).code == 0
        camera = first / f"camera_{cam}.npz"
        assert ex4d("recon", *shot.source, "--cam", camera, "--output_dir", second, *options).code == 0
        with np.load(first / f"guides_{cam}.npz") as a, np.load(second / f"guides_{cam}.npz") as b:
            assert (a["rgba"] == b["rgba"]).mean() > 0.999  # EX-4D's layout rounds poses to float32


def test_filling_is_said_with_its_count(ex4d, shot: Shot, tmp_path: Path) -> None:
    holed = shot.depth_values.copy()
    holed[1, :2, :5] = np.nan
    np.save(tmp_path / "holed.npy", holed)
    source = ("--input_video", shot.video, "--depth", tmp_path / "holed.npy", "--cam", "30")
    refused = ex4d("recon", *source, "--output_dir", tmp_path / "out")
    assert refused.code == 2
    assert "10 of 13440 pixels" in refused.last
    assert "--fill_invalid" in refused.last
    filled = ex4d("recon", *source, "--output_dir", tmp_path / "out", "--fill-invalid")
    assert filled.code == 0
    assert "Filled depth in 10 of 13440 pixels (0.074 %: 10 NaN; first in frame 2)." in filled.err


def test_odd_sizes_go_through_whole(ex4d, shot: Shot, tmp_path: Path) -> None:
    odd = np.ascontiguousarray(shot.frames[:, :39, :55])
    write_video(tmp_path / "odd.mp4", odd, fps=24)
    np.save(tmp_path / "odd.npy", shot.depth_values[:, :39, :55])
    assert ex4d(
        "recon", "--input_video", tmp_path / "odd.mp4", "--depth", tmp_path / "odd.npy", "--cam", "60",
        "--output_dir", tmp_path / "out",
    ).code == 0  # fmt: skip
    assert read_video(tmp_path / "out" / "mask_60.mp4")[0].shape == odd.shape


def test_a_camera_that_sees_nothing_is_a_warning_that_names_the_frames(ex4d, shot: Shot, tmp_path: Path) -> None:
    lens = Intrinsics.from_fov(56, 40)
    move = static(num_frames=6, intrinsics=lens)
    away = move.world_from_camera.copy()
    away[2:5, :3, :3] = np.diag([-1.0, 1, -1])  # looks backwards
    away[2:5, 2, 3] = -500  # from far behind the scene
    save_camera(tmp_path / "away.npz", type(move)(away, move.intrinsics, move.source_time, 56, 40))
    outcome = ex4d("recon", *shot.source, "--cam", tmp_path / "away.npz", "--output_dir", tmp_path / "out")
    assert outcome.code == 0
    assert "Warning: The camera sees nothing of the clip in 3 of 6 frames (coverage 0 in frames 3-5)" in outcome.err
    assert (tmp_path / "out" / "mask_away.mp4").is_file()


def test_depth_beyond_the_border_is_a_warning_about_its_unit(ex4d, shot: Shot, tmp_path: Path) -> None:
    np.save(tmp_path / "mm.npy", shot.depth_values * 1000)
    source = (
        "--input_video",
        shot.video,
        "--depth",
        tmp_path / "mm.npy",
        "--cam",
        "30",
        "--output_dir",
        tmp_path / "o",
    )
    outcome = ex4d("recon", *source)
    assert outcome.code == 0
    assert "Warning: 100 % of the depth lies beyond the border at 100" in outcome.err
    assert "Warning" not in ex4d("recon", *source, "--depth_scale", "0.001").err


# -- wrong input: one sentence, exit code 2, nothing made -----------------------------------------------------


def broken(shot: Shot, tmp_path: Path, what: str) -> tuple[object, ...]:
    """Options with one thing wrong."""
    video, depth, more = shot.video, shot.depth, ("--cam", "30")
    if what == "no video":
        video = tmp_path / "nope.mp4"
    elif what == "no depth":
        depth = tmp_path / "nope.npz"
    elif what == "not a video":
        video = tmp_path / "notes.mp4"
        video.write_text("hello\n" * 500)
    elif what == "empty video":
        video = tmp_path / "empty.mp4"
        video.touch()
    elif what == "one frame":
        video = tmp_path / "one.mp4"
        write_video(video, shot.frames[:1], fps=24)
    elif what in ("smaller depth", "shorter depth", "negative depth"):
        depth = tmp_path / "bad.npy"
        values = {"smaller depth": shot.depth_values[:, :30], "shorter depth": shot.depth_values[:4]}
        np.save(depth, values.get(what, -shot.depth_values))
    elif what == "a camera with NaN" or what == "a camera with scale":
        camera = tmp_path / "camera_bad.npz"
        save_camera(camera, static(num_frames=6, intrinsics=Intrinsics.from_fov(56, 40)))
        with np.load(camera) as archive:
            arrays = {key: archive[key] for key in archive.files}
        poses = arrays["world_from_camera"]
        poses[3, :3, :3] *= np.nan if what == "a camera with NaN" else 2
        np.savez(camera, **arrays)
        more = ("--cam", camera)
    return ("--input_video", video, "--depth", depth, *more)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("no video", "There is no file or folder"),
        ("no depth", "There is no file or folder"),
        ("not a video", "is not a video that can be read"),
        ("empty video", "is empty (0 bytes)"),
        ("one frame", "has one frame; a clip needs at least 2"),
        ("smaller depth", "is 56x30 pixels but the video is 56x40"),
        ("shorter depth", "has 4 frames but the video has 6"),
        ("negative depth", "13440 of 13440 pixels (100 %: 13440 zero or negative; first in frame 1)"),
        ("a camera with NaN", "NaN"),
        ("a camera with scale", "not rigid"),
    ],
)
def test_wrong_input_is_one_sentence_and_changes_nothing(
    ex4d, shot: Shot, tmp_path: Path, what: str, sentence: str
) -> None:
    arguments = broken(shot, tmp_path, what)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "color_30.mp4").write_bytes(b"an older result")
    for out in (tmp_path / "new" / "out", kept):
        outcome = ex4d("recon", *arguments, "--output_dir", out, "--lossless")
        assert outcome.code == 2
        assert outcome.last.startswith("Error: ")
        assert outcome.last.endswith(".")
        assert sentence in outcome.last
        assert "Traceback" not in outcome.err
    assert not (tmp_path / "new").exists()
    assert os.listdir(kept) == ["color_30.mp4"]
    assert (kept / "color_30.mp4").read_bytes() == b"an older result"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--cam", "45"), f"There is no camera '45'; choose one of {', '.join(PRESETS)}"),
        (("--cam", "nowhere/camera.npz"), "nowhere/camera.npz"),
        (("--cam", "30", "--fov", "50", "--focal", "500"), "--fov, --focal and --lens_from exclude each other"),
        (("--cam", "30", "--parity", "--fov", "50"), "--parity fixes the focal length"),
        (("--cam", "30", "--fov", "180"), "--fov must lie between 0 and 180 degrees, got 180"),
        (("--cam", "30", "--focal", "-3"), "--focal must be a positive number, got -3"),
        (("--cam", "30", "--num_frames", "1"), "--num_frames must be at least 2, got 1"),
        (("--cam", "orbit_left", "--amount", "120"), "--amount of orbit_left must be between 0 and 90"),
        (("--cam", "30", "--border_depth", "0"), "--border_depth must be a positive number, got 0"),
        (("--cam", "30", "--num_frames", "49"), "has 6 frames, 49 were asked for; use --num_frames 6"),
    ],
)
def test_flags_are_refused_with_what_would_do(ex4d, shot: Shot, tmp_path: Path, flags, sentence: str) -> None:
    outcome = ex4d("recon", *shot.source, *flags, "--output_dir", tmp_path / "out")
    assert outcome.code == 2
    assert sentence in outcome.last
    assert not (tmp_path / "out").exists()


def test_flags_are_checked_before_anything_is_read(ex4d, tmp_path: Path) -> None:
    outcome = ex4d("recon", "--input_video", tmp_path / "no", "--depth", "no", "--cam", "45", "--output_dir", tmp_path)
    assert "There is no camera '45'" in outcome.last


def test_a_missing_or_unknown_option_is_named(ex4d, shot: Shot, tmp_path: Path) -> None:
    missing = ex4d("recon", *shot.source, "--cam", "30")
    assert missing.code == 2
    assert "--output_dir" in missing.err
    unknown = ex4d("recon", *shot.source, "--cam", "30", "--output_dir", tmp_path, "--save_mash")
    assert unknown.code == 2
    assert "--save_mash" in unknown.err


# -- no room, no permission, no more time ---------------------------------------------------------------------


def test_an_unwritable_folder_is_told_before_the_work(ex4d, shot: Shot, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = ex4d("recon", *shot.source, "--cam", "30", "--output_dir", tmp_path / "file" / "out")
    assert outcome.code == 3
    assert "Cannot write" in outcome.last
    assert "is a file, not a folder" in outcome.last
    assert "Reading" not in outcome.err


def test_a_full_disk_leaves_the_older_results(shot: Shot, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "color_30.mp4").write_bytes(b"an older result")
    # Once before, so that no kernel is compiled and kept under the limit.
    before = start("recon", *shot.source, "--cam", "30", "--output_dir", tmp_path / "before")
    assert before.communicate(timeout=280) and before.returncode == 0
    # Too little for the videos, as a disk that fills up while they are written.
    run = start(
        "recon", *shot.source, "--cam", "30", "--output_dir", out,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )  # fmt: skip
    _, err = run.communicate(timeout=240)
    assert run.returncode == 3, err
    assert f"Cannot write {out / 'color_30.mp4'}" in err.splitlines()[-1]
    assert os.listdir(out) == ["color_30.mp4"]
    assert (out / "color_30.mp4").read_bytes() == b"an older result"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_cleans_up(tmp_path: Path, signum: int) -> None:
    frames = np.zeros((160, 256, 256, 3), np.uint8)  # many seconds' work, of which little is done
    write_video(tmp_path / "long.mp4", frames, fps=24)
    np.save(tmp_path / "long.npy", np.random.default_rng(0).uniform(2, 9, frames.shape[:3]).astype(np.float32))
    out = tmp_path / "out"
    run = start(
        "recon", "--input_video", tmp_path / "long.mp4", "--depth", tmp_path / "long.npy", "--cam", "90",
        "--output_dir", out, "--lossless",
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not out.exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(signum)
    _, err = run.communicate(timeout=240)
    assert run.returncode == 130, err
    assert err.splitlines()[-1] == "Cancelled; nothing half-written remains."
    assert not out.exists()
