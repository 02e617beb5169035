"""``ex4d coverage``: the numbers are the masks', and frames that ask for too much are named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d_ground.cameras import Intrinsics

from .conftest import Shot, write_pngs


def test_json_holds_the_share_of_each_mask(ex4d, shot: Shot, tmp_path: Path) -> None:
    assert ex4d("recon", *shot.source, "--cam", "90", "--output_dir", tmp_path, "--lossless").code == 0
    with np.load(tmp_path / "guides_90.npz") as archive:
        shares = (archive["rgba"][..., 3] > 0).mean((1, 2))
    outcome = ex4d("coverage", *shot.source, "--cam", "90", "--output_dir", tmp_path, "--json", "--low", "0.5")
    assert outcome.code == 0
    report = json.loads(outcome.out)
    assert report["coverage"] == pytest.approx(list(shares), abs=1e-5)
    assert report["low_frames"] == list(np.flatnonzero(shares < 0.5))
    assert report["min_frame"] == int(shares.argmin())
    assert report["on_plane"] is report["invented"] is None
    assert "not known where the filming camera moves far or zooms, or nobody knows how" in outcome.err
    assert Path(report["plot"]).is_file()


def test_holes_that_go_on_a_floor_are_told_from_those_to_be_invented(ex4d, tmp_path: Path) -> None:
    lens, size = Intrinsics.from_fov(96, 64), (64, 96)
    y = (np.arange(64) + 0.5 - lens.cy) / lens.fy
    depth = np.where(y > 0, np.minimum(1.5 / np.maximum(y, 1e-6), 40), 40)
    np.save(tmp_path / "depth.npy", np.broadcast_to(depth[:, None], (3, *size)).astype(np.float32))
    frame = np.random.default_rng(0).integers(60, 200, (*size, 3), np.uint8)
    video = write_pngs(tmp_path / "frames", np.stack([frame] * 3))
    source = ("--input_video", video, "--depth", tmp_path / "depth.npy", "--fov", lens.fov_deg)
    removed = ("--planes", "remove floor")
    outcome = ex4d("coverage", *source, "--cam", "90", "--output_dir", tmp_path, "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    [floor] = [plane for plane in report["planes"] if plane["name"] == "floor"]
    assert floor["normal"] == pytest.approx([0, 1, 0], abs=0.02)
    assert floor["distance"] == pytest.approx(1.5, rel=0.03) and 0.3 < floor["share"] < 0.6
    whole = np.sum([report[name] for name in ("coverage", "on_plane", "invented")], axis=0)
    np.testing.assert_allclose(whole, 1, atol=1e-4)
    assert report["on_plane"][0] == 0 and report["on_plane"][-1] > 0.1 and report["invented"][-1] > 0.1
    table = ex4d("coverage", *source, "--cam", "90", "--output_dir", tmp_path).out
    assert re.search(r"Plane floor \(0 1 0 1\.\d+\): \d+ % of the picture\.", table)
    bare = json.loads(ex4d("coverage", *source, "--cam", "90", "--output_dir", tmp_path, "--json", *removed).out)
    assert "floor" not in {plane["name"] for plane in bare["planes"]}
    assert bare["on_plane"][-1] < report["on_plane"][-1]
    wrong = ex4d("coverage", *source, "--cam", "90", "--output_dir", tmp_path, "--planes", "remove ceiling")
    assert wrong.code == 2 and "no such plane; it has" in wrong.last and "floor (0 1 0 1." in wrong.last
    last = next(line for line in table.splitlines() if line.split()[:1] == ["3"])
    assert last.split()[3] == f"{100 * report['on_plane'][-1]:.1f}"


def test_the_table_has_a_row_per_frame_and_low_frames_are_a_warning(ex4d, shot: Shot, tmp_path: Path) -> None:
    outcome = ex4d("coverage", *shot.source, "--cam", "90", "--output_dir", tmp_path, "--low", "1")
    rows = [line.split() for line in outcome.out.splitlines() if " %" in line]
    assert [row[0] for row in rows[:6]] == [str(i + 1) for i in range(6)]
    assert "Warning: The clip covers less than 100 % of frames 2-6." in outcome.err
    calm = ex4d("coverage", *shot.source, "--cam", "static", "--output_dir", tmp_path, "--low", "0.1")
    assert "Warning" not in calm.err


def test_the_plot_is_a_picture_with_something_on_it(ex4d, shot: Shot, tmp_path: Path) -> None:
    assert ex4d("coverage", *shot.source, "--cam", "orbit_up", "--output_dir", tmp_path).code == 0
    picture = cv2.imread(str(tmp_path / "coverage_orbit_up.png"))
    assert picture.shape[1] >= 1000
    assert 0.02 < (picture.min(axis=2) < 200).mean() < 0.9


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--low", "1.5"), "between 0 and 1"),
        (("--cam", "x"), "no camera"),
        (("--planes", "away"), "says nothing of planes"),
    ],
)
def test_flags_are_checked_first(ex4d, shot: Shot, tmp_path: Path, flags, sentence: str) -> None:
    outcome = ex4d("coverage", *shot.source, "--cam", "30", *flags, "--output_dir", tmp_path / "out")
    assert outcome.code == 2
    assert sentence in outcome.last
    assert not (tmp_path / "out").exists()
