"""``ex4d solve``: a camera file that other commands take, or a sentence why there is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d.clip import write_video
from ex4d.eval.filmed import Filmed, film
from ex4d_ground.camera_files import load_camera

from .conftest import write_pngs


def on_disk(folder: Path, room: Filmed) -> tuple[Path, Path]:
    np.savez(folder / "depth.npz", depth=room.clip.depth)
    return write_pngs(folder / "plate", room.clip.frames), folder / "depth.npz"


@pytest.fixture(scope="module")
def follow() -> Filmed:
    return film("follow", seed=6, width=256, height=192, frames=8)


def test_with_a_matte_the_file_holds_the_camera_and_the_picture_is_drawn(ex4d, follow: Filmed, tmp_path: Path) -> None:
    video, depth = on_disk(tmp_path, follow)
    matte = tmp_path / "matte.mp4"
    write_video(matte, np.repeat(follow.matte[..., None] * np.uint8(255), 3, axis=3), fps=24)
    out, picture = tmp_path / "filmed.npz", tmp_path / "look.png"
    focal = follow.clip.intrinsics.fx
    outcome = ex4d(
        "solve", video, "--depth", depth, "-o", out, "--matte", matte, "--focal", focal, "--picture", picture
    )
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines() == [str(picture), str(out)]
    camera = load_camera(out)
    off = camera.world_from_camera[:, :3, 3] - follow.camera.world_from_camera[:, :3, 3]
    assert np.linalg.norm(off, axis=1).max() < 0.05
    assert camera.intrinsics[0, 0] == pytest.approx(focal)
    assert cv2.imread(str(picture)).shape[1] == 3 * 480


def test_without_one_it_says_what_to_do_and_writes_no_camera(ex4d, follow: Filmed, tmp_path: Path) -> None:
    video, depth = on_disk(tmp_path, follow)
    out = tmp_path / "filmed.json"
    outcome = ex4d("solve", video, "--depth", depth, "-o", out, "--fov", "58", "--picture", tmp_path / "look.png")
    assert outcome.code == 2
    assert "% of the frame moves by itself" in outcome.last and "paint what moves" in outcome.last
    assert not out.exists() and (tmp_path / "look.png").is_file()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--depth", "none.npz", "-o", "x.npz"), "no file or folder none.npz"),
        (("-o", "x.txt"), "--output is an .npz"),
        (("-o", "x.npz", "--num_frames", "1"), "--num_frames must be at least 2, got 1"),
        (("-o", "x.npz", "--fov", "50", "--focal", "300"), "exclude each other"),
        (("-o", "x.npz", "--matte", "none.mp4"), "none.mp4"),
        (("-o", "x.npz", "--picture", "look.jpg"), "--picture writes a .png, got the name 'look.jpg'"),
        (("-o", "x.npz", "--picture", "look"), "--picture writes a .png, got the name 'look'"),
    ],
)
def test_what_cannot_work_is_said_at_once(ex4d, shot, more: tuple[str, ...], words: str) -> None:
    given = more if "--depth" in more else ("--depth", shot.depth, *more)
    outcome = ex4d("solve", shot.video, *given)
    assert outcome.code == 2 and words in outcome.last


def test_where_nothing_can_be_written_it_says_so_before_the_work(ex4d, shot, tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("mine")
    for given in (("-o", taken / "x.npz"), ("-o", tmp_path / "x.npz", "--picture", taken / "look.png")):
        outcome = ex4d("solve", shot.video, "--depth", shot.depth, *given)
        assert outcome.code == 3 and f"Cannot write {taken}: a part of that path is a file" in outcome.last
    (tmp_path / "folder.npz").mkdir()
    for given in (taken, tmp_path / "folder.npz"):
        outcome = ex4d("solve", shot.video, "--depth", shot.depth, "-o", given)
        assert outcome.code == 3 and f"Cannot write {given}: there is a f" in outcome.last
        assert "Focal length" not in outcome.err and "Frames" not in outcome.err
    assert taken.read_text() == "mine"


def test_a_matte_that_is_too_short_or_of_another_shape_is_refused(ex4d, shot, tmp_path: Path) -> None:
    for size, count, words in (((40, 56), 3, "has 3 frames, the clip 6"), ((56, 40), 6, "which is not the shape")):
        matte = write_pngs(tmp_path / words[:5] / str(size), np.zeros((count, *size, 3), np.uint8))
        outcome = ex4d("solve", shot.video, "--depth", shot.depth, "-o", tmp_path / "x.npz", "--matte", matte)
        assert outcome.code == 2 and words in outcome.last
