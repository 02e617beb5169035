"""The judgement of how holes are filled: its measures, and a scene of its own from start to end."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from ex4d import Clip
from ex4d.eval.dataset import Scene, Target
from ex4d.eval.fill import Filling, FillScore, fill_scores, patch_distance, sharpness
from ex4d.eval.fill_report import losses, means, strips, tables, write_fill_report
from ex4d.trajectory import preset, source_times
from ex4d_ground.cameras import Intrinsics

SIZE, FRAMES = 64, 3


def textured(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    return blurred(noise, 1.0)


def blurred(picture: np.ndarray, sigma: float = 3.0) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


EVERYWHERE = np.ones((SIZE, SIZE), np.bool_)


def test_the_patch_distance_knows_the_same_texture_elsewhere_from_a_blurred_one() -> None:
    true = textured()
    assert patch_distance(true, true, EVERYWHERE) == 0
    moved = patch_distance(np.roll(true, 9, axis=1), true, EVERYWHERE)
    assert moved < 0.2 * patch_distance(blurred(true), true, EVERYWHERE)
    assert math.isnan(patch_distance(true, true, ~EVERYWHERE))


def test_sharpness_is_the_share_of_the_truth_s_gradients() -> None:
    true = textured()
    assert sharpness(true, true, EVERYWHERE) == pytest.approx(1)
    assert sharpness(blurred(true), true, EVERYWHERE) < 0.5
    assert math.isnan(sharpness(true, true, ~EVERYWHERE))


def score(scene: str, filling: str, psnr: float, mode: str = "solid") -> FillScore:
    return FillScore(scene, "orbit", mode, filling, psnr, 0.5, 3.0, 0.7, 5.0, 0.2, 1.0)


def test_every_scene_counts_the_same_and_a_loss_in_one_is_named() -> None:
    scores = [score("a", "first", 20), score("a", "first", 22), score("b", "first", 10)]
    scores += [score("a", "other", 25), score("a", "other", 25), score("b", "other", 9.5)]
    assert means(scores)["solid"]["first"]["psnr"] == pytest.approx(15.5)
    assert [(loss.scene, loss.filling) for loss in losses(scores)] == [("b", "other")]
    assert losses(scores)[0].decibels == pytest.approx(0.5)
    assert "25.00" in tables(scores)[1][1].text()


def scene() -> Scene:
    """A box before a wall, which hides nothing that an orbit does not open."""
    y, x = np.mgrid[:SIZE, :SIZE]
    box = (abs(x - 28) < 8) & (abs(y - 32) < 12)
    frame = np.where(box[..., None], 220, textured()).astype(np.uint8)
    depth = np.where(box, 3.0, 8.0).astype(np.float32)
    lens = Intrinsics.from_fov(SIZE, SIZE)
    clip = Clip(np.stack([frame] * FRAMES), np.stack([depth] * FRAMES), lens)
    times = source_times("play", num_frames=FRAMES, num_source_frames=FRAMES)
    move = preset("orbit_right", num_frames=FRAMES, intrinsics=lens, near_depth=5.0, amount=25, source_time=times)
    return Scene("box", clip, (Target("right", "orbit", np.stack([textured(1)] * FRAMES), move),))


def test_a_scene_is_judged_in_every_way_and_reported(tmp_path: Path) -> None:
    fillings = (Filling("plain", {"fill": "none"}), Filling("world", {"fill": "world"}, known=True))
    moves = list(fill_scores(scene(), fillings, ("endless", "solid")))
    assert [(m.score.mode, m.score.filling) for m in moves] == [
        (mode, name) for mode in ("endless", "solid") for name in ("plain", "world")
    ]
    scores = [m.score for m in moves]
    assert all(s.hole_share > 0.05 and s.psnr > 0 for s in scores)
    assert scores[1].sharpness > scores[0].sharpness, "black holes have no gradients"
    assert all((m.guides.known is not None) == (m.score.filling == "world") for m in moves)
    pictures = strips(moves)
    assert len(pictures) == 2 and pictures[0].image.shape[0] == SIZE
    page = write_fill_report(tmp_path, "A title", scores, pictures)
    assert page.read_text().count("<figure>") == 2
    assert len(json.loads((tmp_path / "fill.json").read_text())["rows"]) == 4
