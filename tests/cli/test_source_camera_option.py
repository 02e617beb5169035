"""``--source_camera``: new cameras stand in the world of a clip whose own camera moved, by a file or an estimate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import write_video
from ex4d.eval.filmed import Filmed, film
from ex4d.shots.options import ShotOptions
from ex4d.shots.resume import TakeRequest
from ex4d_ground.camera_files import load_camera_file, save_camera
from ex4d_ground.cameras import Trajectory
from ex4d_ground.takes import read_take_info

from .conftest import write_pngs

pytestmark = pytest.mark.timeout(1200)
FRAMES = 8


@pytest.fixture(scope="module")
def room() -> Filmed:
    return film("handheld", seed=6, width=256, height=192, frames=FRAMES)


@pytest.fixture
def source(room: Filmed, tmp_path: Path) -> tuple[object, ...]:
    np.savez(tmp_path / "depth.npz", depth=room.clip.depth)
    plate = write_pngs(tmp_path / "plate", np.asarray(room.clip.frames))
    save_camera(tmp_path / "filmed.npz", room.camera.as_trajectory())
    return ("--input_video", plate, "--depth", tmp_path / "depth.npz", "--focal", room.clip.intrinsics.fx)


def rgba(folder: Path) -> np.ndarray:
    [path] = folder.glob("guides_*.npz")
    with np.load(path) as archive:
        return archive["rgba"]


def test_a_new_camera_stands_still_in_the_world_whether_the_filming_one_is_given_or_estimated(
    ex4d, room: Filmed, source, tmp_path: Path
) -> None:
    """A camera that stays where the first frame's was sees what it would have seen."""
    error = {}
    for name, more in (
        ("along", ()),
        ("given", ("--source_camera", tmp_path / "filmed.npz")),
        ("estimated", ("--source_camera", "estimate")),
    ):
        out = tmp_path / name
        outcome = ex4d("recon", *source, "--cam", "static", *more, "--output_dir", out, "--lossless")
        assert outcome.code == 0, outcome.err
        last = rgba(out)[-1]
        true, seen = room.locked_off(FRAMES - 1), last[..., 3] > 0
        error[name] = np.abs(last[..., :3].astype(int) - true)[seen].mean()
        assert ("seems to move" in outcome.err) == (name == "along")
        assert ("The filming camera was estimated" in outcome.err) == (name == "estimated")
    assert error["given"] < 0.5 * error["along"] and error["estimated"] < 0.5 * error["along"]


def test_a_preset_or_a_file_can_go_along_with_the_filming_camera(ex4d, source, room: Filmed, tmp_path: Path) -> None:
    options = (*source, "--lossless", "--amount", 20)
    assert ex4d("recon", *options, "--cam", "orbit_left", "--output_dir", tmp_path / "still").code == 0
    filmed = ("--source_camera", tmp_path / "filmed.npz")
    along = (*filmed, "--cam_axes", "source", "--output_dir", tmp_path / "along", "--save_camera")
    assert ex4d("recon", *options, "--cam", "orbit_left", *along).code == 0
    still, beside = rgba(tmp_path / "still"), rgba(tmp_path / "along")
    assert (np.abs(still.astype(int) - beside).max(axis=-1) > 2).mean() < 0.002
    camera = tmp_path / "along" / "camera_orbit_left.npz"
    assert load_camera_file(camera).axes == "world"
    for name, axes in (("again", "auto"), ("other", "source")):
        given = ("--cam", camera, "--cam_axes", axes, "--output_dir", tmp_path / name, "--lossless")
        assert ex4d("recon", *source, *filmed, *given).code == 0
    assert np.array_equal(rgba(tmp_path / "again"), beside) and not np.array_equal(rgba(tmp_path / "other"), beside)


def test_an_estimate_that_failed_makes_nothing_and_says_what_to_do_and_works_with_a_matte(ex4d, tmp_path: Path) -> None:
    follow = film("follow", seed=6, width=256, height=192, frames=FRAMES)
    np.savez(tmp_path / "depth.npz", depth=follow.clip.depth)
    plate = write_pngs(tmp_path / "plate", np.asarray(follow.clip.frames))
    shot = ("--input_video", plate, "--depth", tmp_path / "depth.npz", "--focal", follow.clip.intrinsics.fx)
    shot = (*shot, "--cam", "orbit_left", "--source_camera", "estimate", "--output_dir", tmp_path / "out")
    outcome = ex4d("preview", *shot)
    assert outcome.code == 2 and "% of the frame moves by itself" in outcome.last
    assert not (tmp_path / "out").exists()
    write_video(tmp_path / "matte.mp4", np.repeat(follow.matte[..., None] * np.uint8(255), 3, axis=3), fps=24)
    outcome = ex4d("preview", *shot, "--source_matte", tmp_path / "matte.mp4")
    assert outcome.code == 0, outcome.err
    camera = read_take_info(tmp_path / "out" / "take_001").source_camera
    assert camera is not None and camera.origin == "estimated"
    off = camera.world_from_camera[:, :3, 3] - follow.camera.world_from_camera[:, :3, 3]
    assert np.linalg.norm(off, axis=1).max() < 0.05


def test_a_take_of_a_camera_that_stood_still_is_known_by_the_name_it_had(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ex4d.__version__", "1.0")
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "d.npz").write_bytes(b"y")
    shot = ShotOptions(tmp_path / "a.mp4", "orbit_left", depth=tmp_path / "d.npz", other_frames=True)
    known = "6c530bd90d69a775b45444e24e6e5287644d6b3391c9cf8746111f67ee4b327b"
    assert TakeRequest(shot, "preview", {"lead_in": True}).fingerprint == known
    others = [
        replace(shot, source_camera=Path("estimate")),
        replace(shot, source_camera=Path("estimate"), cam_axes="source"),
        replace(shot, source_camera=tmp_path / "d.npz"),
    ]
    assert len({known, *(TakeRequest(s, "preview", {"lead_in": True}).fingerprint for s in others)}) == 4


def test_the_filming_cameras_own_move_can_be_stabilised(ex4d, source, tmp_path: Path) -> None:
    filmed = load_camera_file(tmp_path / "filmed.npz").move.world_from_camera
    given = ("--source_camera", tmp_path / "filmed.npz", "--output_dir", tmp_path / "calm", "--save_camera")
    outcome = ex4d("recon", *source, *given, "--cam", "stabilise", "--amount", 0.5)
    assert outcome.code == 0, outcome.err
    calm = load_camera_file(tmp_path / "calm" / "camera_stabilise.npz").move.world_from_camera
    shake = [np.abs(np.diff(path[:, :3, 3], 2, axis=0)).mean() for path in (calm, filmed)]
    assert shake[0] < 0.5 * shake[1]
    outcome = ex4d("recon", *source, "--cam", "stabilise", "--output_dir", tmp_path / "out")
    assert outcome.code == 2 and "say with --source_camera how it moved" in outcome.err
    outcome = ex4d("recon", *source, *given, "--cam", "stabilise", "--amount", -1)
    assert outcome.code == 2 and "between 0 and 600 (seconds)" in outcome.err


def test_a_second_clip_of_the_place_fills_what_the_first_never_saw(ex4d, tmp_path: Path) -> None:
    """One film cut in two: the first half is the clip, the second the set; the new camera stands where that ends."""
    whole, half = film("rotate", seed=6, width=160, height=120, frames=2 * FRAMES), FRAMES
    poses, rows = whole.camera.world_from_camera, whole.camera.intrinsics
    moved = np.eye(4)
    moved[:3, 3] = (1.0, 2.0, 3.0)  # both files are in some world of their own
    options: dict[str, tuple[object, ...]] = {}
    for name, part in (("shot", slice(0, half)), ("set", slice(half, None))):
        plate = write_pngs(tmp_path / name, np.asarray(whole.clip.frames)[part])
        np.savez(tmp_path / f"{name}.npz", depth=np.asarray(whole.clip.depth)[part])
        track = Trajectory(moved @ poses[part], rows[part], np.arange(half, dtype=float), 160, 120, name)
        save_camera(tmp_path / f"{name}_camera.npz", track)
        options[name] = (plate, tmp_path / f"{name}.npz", tmp_path / f"{name}_camera.npz")
    last = Trajectory(np.tile(poses[-1], (half, 1, 1)), rows[:half], np.arange(half, dtype=float), 160, 120, "last")
    save_camera(tmp_path / "last.npz", last)
    shot = ("--input_video", options["shot"][0], "--depth", options["shot"][1], "--source_camera", options["shot"][2])
    shot = (*shot, "--focal", rows[0, 0], "--world_memory", "--cam", tmp_path / "last.npz", "--lossless")
    given = ("--set_video", options["set"][0], "--set_depth", options["set"][1], "--set_camera", options["set"][2])
    shown = {}
    for name, more in (("alone", ()), ("with", given)):
        outcome = ex4d("recon", *shot, *more, "--output_dir", tmp_path / name)
        assert outcome.code == 0, outcome.err
        shown[name] = rgba(tmp_path / name)[-1]
    covered = {name: (picture[..., 3] > 0).mean() for name, picture in shown.items()}
    assert covered["with"] > covered["alone"] + 0.1
    both = shown["with"][..., 3] > 0
    error = np.abs(shown["with"][..., :3].astype(int) - np.asarray(whole.clip.frames[-1]))[both]
    assert np.median(error) < 12
    outcome = ex4d("recon", *shot, *given[:4], "--output_dir", tmp_path / "none")
    assert outcome.code == 2 and "--set_camera belong together" in outcome.last


def test_the_second_clips_depth_is_read_as_the_firsts_and_its_camera_named_apart(ex4d, tmp_path: Path) -> None:
    count, height, width = 6, 40, 56
    picture = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    plate = write_pngs(tmp_path / "plate", np.repeat(picture[None], count, 0))
    steps = np.full((count, height, width), 4000, np.uint16)
    np.save(tmp_path / "shot.npy", steps)
    steps[2, 5, 7] = 0  # a hole
    np.save(tmp_path / "set.npy", steps)
    for name, poses in (("still", count), ("short", count - 1)):
        rows = np.tile([50.0, 50.0, width / 2, height / 2], (poses, 1))
        still = Trajectory(np.tile(np.eye(4), (poses, 1, 1)), rows, np.arange(poses, dtype=float), width, height, name)
        save_camera(tmp_path / f"{name}.npz", still)
    said = ("--input_video", plate, "--depth", tmp_path / "shot.npy", "--depth_scale", 0.001, "--focal", 50)
    said = (*said, "--cam", "static", "--world_memory", "--set_video", plate, "--set_depth", tmp_path / "set.npy")

    def run(camera: object, *more: str):
        return ex4d("coverage", *said, "--set_camera", camera, *more, "--output_dir", tmp_path / "out")

    done = run(tmp_path / "still.npz", "--fill_invalid")
    assert done.code == 0, done.err
    assert "Of the set: Filled depth in 1 of" in done.err
    assert "first in frame 3); --fill_invalid fills it" in run(tmp_path / "still.npz").last
    short = run(tmp_path / "short.npz", "--fill_invalid").last
    assert f"The set's camera {tmp_path / 'short.npz'} has {count - 1} poses but the set's clip {count} frames" in short
    assert "nobody knows where --set_camera is; solve both" in run("estimate").last


def test_the_second_clips_lens_is_said_and_a_camera_of_other_pictures_refused(ex4d, tmp_path: Path) -> None:
    count, height, width = 4, 40, 56
    picture = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    plate = write_pngs(tmp_path / "plate", np.repeat(picture[None], count, 0))
    np.save(tmp_path / "depth.npy", np.full((count, height, width), 4, np.float32))
    depth = ("--depth", tmp_path / "depth.npy", "--set_depth", tmp_path / "depth.npy", "--focal", 50)
    said = ("--input_video", plate, "--set_video", plate, *depth, "--cam", "static", "--world_memory")

    def run(name: str, focal: float, *size: int):
        rows, times = np.tile([focal, focal, size[0] / 2, size[1] / 2], (count, 1)), np.arange(count, dtype=float)
        save_camera(tmp_path / name, Trajectory(np.tile(np.eye(4), (count, 1, 1)), rows, times, *size, "filmed"))
        return ex4d("coverage", *said, "--set_camera", tmp_path / name, "--output_dir", tmp_path / "out")

    twice = run("twice.npz", 100, 2 * width, 2 * height)
    assert twice.code == 0, twice.err
    assert "Of the set: Focal length: 50.0 px (58.5 deg), given: filmed." in twice.err
    other = run("other.npz", 50, width, width)
    assert other.code == 2 and f"The set's camera {tmp_path / 'other.npz'} is not that of the set's clip" in other.last
    assert f"one of pictures of {width}x{width} pixels, but the clip's have another shape" in other.last
