"""A trained checkpoint, used by the engine under its name."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from ex4d.engines.base import GenerateRequest
from ex4d.engines.wan import WanEngine
from ex4d.engines.wan.constants import NEGATIVE_PROMPT, PROMPT
from ex4d.engines.wan.text import PromptCache, encoder_id
from ex4d.train.building import build
from ex4d.train.published import published_state, write_exports
from ex4d.trajectory.moves import static
from ex4d.types import Guides
from ex4d.weights import WanWeights
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError


@pytest.fixture
def engine(weights, tiny_config, tmp_path) -> WanEngine:
    base = tmp_path / "weights" / "Wan2.1-I2V-14B-480P"
    shutil.copytree(weights.base, base)
    model = build(tiny_config(model={"start": "ex4d"}), torch.device("cpu"), weights=weights)
    write_exports(base.parent / "trained" / "same", published_state(model), {})
    for p in model.trained().values():
        p.data.add_(0.3)
    write_exports(base.parent / "trained" / "mine", published_state(model), {})
    cache = PromptCache(tmp_path / "prompts", encoder_id([weights.path_of("text_encoder")]))
    cache.get([PROMPT, NEGATIVE_PROMPT], lambda texts: [torch.zeros(1, 512, 32) for _ in texts])
    return WanEngine(WanWeights(base, base / "ex4d.ckpt"), cache=tmp_path / "prompts")


def made(engine: WanEngine, checkpoint: str) -> np.ndarray:
    chance = np.random.default_rng(0)
    guides = Guides(chance.integers(0, 256, (5, 32, 48, 3), np.uint8), np.ones((5, 32, 48), np.bool_))
    settings = {"steps": 2, "device": "cpu", "checkpoint": checkpoint}
    move = static(num_frames=5, intrinsics=Intrinsics.from_fov(48, 32))
    return engine.generate(GenerateRequest(guides, move, settings=settings, seed=1))


def test_the_engine_takes_a_checkpoint_by_its_name(engine) -> None:
    published = made(engine, "")
    assert np.abs(published.astype(int) - made(engine, "same")).max() <= 1
    assert np.abs(published.astype(int) - made(engine, "mine")).mean() > 1


def test_checkpoints_that_are_here_are_listed_and_others_refused(engine) -> None:
    setting = next(s for s in engine.info().settings if s.name == "checkpoint")
    assert setting.help.endswith("Here: mine, same.")
    for name in ("other", "../weights/trained/mine", "mine/"):
        with pytest.raises(SettingError, match=r"no trained checkpoint .*; there are: mine, same"):
            made(engine, name)
