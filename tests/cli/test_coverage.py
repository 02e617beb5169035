"""``ex4d coverage``: the numbers are the masks', and frames that ask for too much are named."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from .conftest import Shot


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
    assert Path(report["plot"]).is_file()


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


@pytest.mark.parametrize(("flags", "sentence"), [(("--low", "1.5"), "between 0 and 1"), (("--cam", "x"), "no camera")])
def test_flags_are_checked_first(ex4d, shot: Shot, tmp_path: Path, flags, sentence: str) -> None:
    outcome = ex4d("coverage", *shot.source, "--cam", "30", *flags, "--output_dir", tmp_path / "out")
    assert outcome.code == 2
    assert sentence in outcome.last
    assert not (tmp_path / "out").exists()
