from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from analytic import look

from ex4d.eval import compare_results, write_results
from ex4d_ground.camera_files import save_camera
from ex4d_ground.errors import ClipError


def folder_of(path, frames):
    path.mkdir()
    for i, frame in enumerate(frames):
        cv2.imwrite(str(path / f"{i:03d}.png"), frame[..., ::-1])
    return path


def test_an_equal_video_is_perfect_and_the_networks_are_named_as_missing(tmp_path):
    view = look([(0, 0, 0), (0.2, 0, 0), (0.4, 0, 0)])
    a, b = folder_of(tmp_path / "a", view.frames), folder_of(tmp_path / "b", view.frames)
    scores = compare_results(a, b)
    assert scores.metrics["psnr"] == 100 and scores.metrics["ssim"] == pytest.approx(1)
    assert set(scores.not_computed) >= {"LPIPS", "FID", "FVD", "RotErr, TransErr"}
    written = json.loads(write_results(scores, tmp_path / "out").read_text())
    assert written["metrics"]["psnr"] == 100 and written["frames"] == 3


def test_camera_errors_are_those_that_were_put_in(tmp_path):
    view = look([(0, 0, 0), (0.5, 0, 0), (1.0, 0, 0)])
    a = folder_of(tmp_path / "a", view.frames)
    save_camera(tmp_path / "asked.npz", view.trajectory)
    poses = view.trajectory.world_from_camera.copy()
    angle = np.radians(6)
    poses[2, :3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    from dataclasses import replace

    save_camera(tmp_path / "found.npz", replace(view.trajectory, world_from_camera=poses))
    scores = compare_results(a, a, camera=tmp_path / "asked.npz", estimated=tmp_path / "found.npz")
    assert scores.metrics["rot_err_deg"] == pytest.approx(2.0, abs=1e-6)
    assert scores.metrics["trans_err"] == pytest.approx(0.0, abs=1e-9)


def test_videos_of_different_lengths_are_refused(tmp_path):
    view = look([(0, 0, 0), (0.5, 0, 0), (1.0, 0, 0)])
    a, b = folder_of(tmp_path / "a", view.frames), folder_of(tmp_path / "b", view.frames[:2])
    with pytest.raises(ClipError, match="make them alike"):
        compare_results(a, b)
