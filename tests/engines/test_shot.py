"""The frame-0 rule around engines, and composites: what is rendered, what is cut off, what is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import pytest

from ex4d.engines.base import GenerateRequest, Hooks, OnFrame
from ex4d.engines.composite import Compositor, rim_weight
from ex4d.engines.shot import ShotPlan, generate_shot, plan_shot
from ex4d.progress import OnProgress, Progress
from ex4d.trajectory import near_depth_of, preset, static
from ex4d.types import Clip, Guides
from ex4d_ground.arrays import UInt8
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.descriptions import EngineInfo
from ex4d_ground.errors import ShapeError

H, W, N = 24, 32, 5
LENS = Intrinsics.from_fov(W, H)
ON: dict[str, Any] = {"lead_in": True}


@pytest.fixture
def clip() -> Clip:
    frames = np.arange(N * H * W * 3, dtype=np.uint32).reshape(N, H, W, 3).astype(np.uint8)
    return Clip(frames, np.full((N, H, W), 3.0, np.float32), LENS)


def _moved(degrees: float = 20.0) -> Trajectory:
    a = np.radians(degrees)
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
    return static(num_frames=N, intrinsics=LENS, world_from_camera=pose)


class _Counting:
    """An engine that paints every frame in its index."""

    def info(self) -> EngineInfo:
        return EngineInfo("counting", "counting", (), "")

    def generate(self, request: GenerateRequest, **hooks: Unpack[Hooks]) -> UInt8:
        on_frame = hooks.get("on_frame")
        frames = np.zeros_like(request.guides.colour)
        for i, frame in enumerate(frames):
            frame[:] = i
            if on_frame is not None:
                on_frame(i, frame)
        return frames


def _generate(plan: ShotPlan, on_frame: OnFrame | None = None, on_progress: OnProgress | None = None) -> UInt8:
    count = len(plan.trajectory)
    guides = Guides(np.zeros((count, H, W, 3), np.uint8), np.ones((count, H, W), bool))
    return generate_shot(
        _Counting(), plan, guides, None, settings={}, seed=0, fps=15, on_frame=on_frame, on_progress=on_progress
    )


def test_a_move_from_the_source_camera_starts_with_its_picture(clip: Clip) -> None:
    move = preset("60", num_frames=N, intrinsics=LENS, near_depth=near_depth_of(clip))
    plan = plan_shot(move, clip, ON)
    assert plan == ShotPlan(move, 0, source_first_frame=True)
    assert plan.message == ""


def test_a_move_from_elsewhere_gets_a_lead_in_that_is_told_and_cut_off(clip: Clip) -> None:
    plan = plan_shot(_moved(), clip, ON)
    assert plan.trim > 0 and plan.source_first_frame
    assert len(plan.trajectory) == N + plan.trim
    assert (len(plan.trajectory) - 1) % 4 == 0
    np.testing.assert_allclose(plan.trajectory.world_from_camera[0], np.eye(4), atol=1e-9)
    sent: list[tuple[int, int]] = []
    told: list[Progress] = []
    frames = _generate(plan, lambda i, frame: sent.append((i, int(frame[0, 0, 0]))), told.append)
    assert frames.shape[0] == N
    assert sent == [(i, i + plan.trim) for i in range(N)]
    assert f"{plan.trim} frames lead there" in told[0].message and "lead_in" in told[0].message


def test_the_lead_in_can_be_turned_off_and_engines_without_the_setting_have_none(clip: Clip) -> None:
    off = plan_shot(_moved(), clip, {"lead_in": False})
    assert (off.trim, off.source_first_frame, off.message) == (0, False, "")
    none = plan_shot(_moved(), clip, {})
    assert (none.trim, none.source_first_frame) == (0, False)


def test_at_another_size_the_first_guide_is_drawn(clip: Clip) -> None:
    larger = static(num_frames=N, intrinsics=LENS.resized(2 * W, 2 * H))
    assert not plan_shot(larger, clip, ON).source_first_frame


def test_guides_lose_the_lead_in_too(clip: Clip) -> None:
    plan = replace(plan_shot(_moved(), clip, ON), trim=3)
    colour = np.arange(8, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    guides = Guides(colour, np.ones((8, 1, 1), bool), np.zeros((8, 1, 1), np.float32), "cpu")
    kept = plan.without_lead_in(guides)
    assert kept.colour[:, 0, 0, 0].tolist() == [3, 4, 5, 6, 7]
    assert kept.rasterizer == "cpu" and kept.mask.shape == (5, 1, 1)
    assert kept.depth is not None and kept.depth.shape == (5, 1, 1)


def _picture(seed: int = 0) -> UInt8:
    return np.random.default_rng(seed).integers(40, 200, (H, W, 3)).astype(np.uint8)


def test_a_composite_is_the_guide_inside_and_the_model_outside() -> None:
    guide, model = _picture(), _picture(1)
    mask = np.zeros((H, W), bool)
    mask[:, : W // 2] = True
    mixed = Compositor(np.where(mask[..., None], guide, 0)[None].astype(np.uint8), mask[None], feather=4)(0, model)
    assert np.array_equal(mixed[:, : W // 2 - 5], guide[:, : W // 2 - 5])
    assert not np.array_equal(mixed[:, W // 2 - 2 : W // 2], guide[:, W // 2 - 2 : W // 2])


def test_generated_colours_are_matched_to_the_source() -> None:
    guide = _picture()
    mask = np.zeros((H, W), bool)
    mask[:, : W // 2] = True
    model = np.clip(guide.astype(float) * 0.8 + 20, 0, 255).astype(np.uint8)  # darker and flatter everywhere
    mixed = Compositor(np.where(mask[..., None], guide, 0)[None].astype(np.uint8), mask[None])(0, model)
    assert np.abs(mixed.astype(int) - guide)[:, W // 2 :].mean() < 2 < np.abs(model.astype(int) - guide).mean()


def test_a_full_mask_gives_the_guide_and_an_empty_one_the_model() -> None:
    guide, model = _picture(), _picture(1)
    full = Compositor(guide[None], np.ones((1, H, W), bool), feather=8)
    assert np.array_equal(full(0, model), guide)
    empty = Compositor(np.zeros((1, H, W, 3), np.uint8), np.zeros((1, H, W), bool), feather=8)
    assert np.array_equal(empty(0, model), model)


def test_the_rim_falls_evenly_and_the_pictures_edge_is_none() -> None:
    mask = np.ones((9, 20), bool)
    mask[:, 12:] = False
    weight = rim_weight(mask, 3)
    assert (weight[:, :8] == 1).all() and (weight[:, 12:] == 0).all()
    assert (np.diff(weight[4, 8:13]) < 0).all()
    assert np.array_equal(rim_weight(mask, 0), mask.astype(np.float32))


def test_guides_and_frames_of_different_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match="Guides must be"):
        Compositor(np.zeros((2, H, W, 3), np.uint8), np.zeros((1, H, W), bool))
    with pytest.raises(ShapeError, match="its guide"):
        Compositor(np.zeros((1, H, W, 3), np.uint8), np.zeros((1, H, W), bool))(0, np.zeros((H, W + 1, 3), np.uint8))
