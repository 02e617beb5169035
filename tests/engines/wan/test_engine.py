"""The engine as its users see it, on tiny weights: repeatable, any length and size, nothing left after a stop."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from wan_golden import Golden
from wan_requests import make_request, tensor_bytes

from ex4d.engines.wan import WanEngine
from ex4d.progress import CancelToken, Progress
from ex4d_ground.errors import Cancelled, DeviceMemoryError, EngineError, SettingError, WeightsError


def _linked(folder: Path, target: Path) -> Path:
    """A copy of the folder made of links, for taking files away."""
    target.mkdir()
    for path in folder.iterdir():
        os.symlink(path, target / path.name)
    return target


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(engine: WanEngine) -> None:
    first = engine.generate(make_request(seed=3))
    assert np.array_equal(engine.generate(make_request(seed=3)), first)
    assert not np.array_equal(engine.generate(make_request(seed=4)), first)


@pytest.mark.parametrize(("count", "height", "width"), [(1, 32, 48), (7, 40, 52), (12, 33, 31)])
def test_any_length_and_size_comes_back_as_asked_and_frame_by_frame(
    engine: WanEngine, count: int, height: int, width: int
) -> None:
    sent: list[int] = []
    pictures = {}

    def on_frame(index: int, frame: np.ndarray) -> None:
        sent.append(index)
        pictures[index] = frame

    frames = engine.generate(make_request(count, height, width), on_frame=on_frame)
    assert frames.shape == (count, height, width, 3)
    assert sent == list(range(count))
    assert all(np.array_equal(pictures[i], frames[i]) for i in range(count))


def test_every_mode_and_memory_plan_runs(engine: WanEngine) -> None:
    exact = engine.generate(make_request()).astype(int)
    for settings in ({"memory": "offload"}, {"fuse_lora": False}, {"mode": "fast"}):
        found = engine.generate(make_request(**settings))
        assert np.abs(found - exact).max() <= 1, settings  # a CPU computes all of these in float32
    fp8 = engine.generate(make_request(mode="fp8"))
    assert 0 < np.abs(fp8 - exact).mean() < 20


def test_turbo_without_its_weights_says_what_to_fetch(engine: WanEngine) -> None:
    with pytest.raises(WeightsError, match="are missing") as caught:
        engine.generate(make_request(mode="turbo"))
    assert "run: ex4d weights fetch turbo" in caught.value.text("cli")


def test_usual_prompts_need_no_text_encoder_but_new_ones_do(chain: Golden, prompts: Path, tmp_path: Path) -> None:
    folder = _linked(chain.weights.base, tmp_path / "weights")
    (folder / "models_t5_umt5-xxl-enc-bf16.pth").unlink()
    weights = replace(chain.weights, base=folder)
    engine = WanEngine(weights, cache=prompts)
    assert engine.info().available
    assert engine.generate(make_request()).any()
    with pytest.raises(WeightsError, match="never embedded before") as caught:
        engine.generate(make_request(prompt="another"))
    assert "; run: ex4d weights fetch wan" in caught.value.text("cli")
    assert "models_t5" in WanEngine(weights, cache=tmp_path / "empty").info().missing


def test_cancel_stops_before_the_decode_and_leaves_nothing(engine: WanEngine) -> None:
    before, cancel, stages = tensor_bytes(), CancelToken(), []

    def on_progress(progress: Progress) -> None:
        stages.append(progress.stage)
        if progress.stage == "denoising" and progress.done == 1:
            cancel.cancel()

    with pytest.raises(Cancelled):
        engine.generate(make_request(steps=20), on_progress=on_progress, cancel=cancel)
    assert stages.count("denoising") == 2  # announced, and one step
    assert "decoding" not in stages
    assert tensor_bytes() == before


@pytest.mark.parametrize("stage", ["loading transformer", "encoding colour", "denoising", "decoding"])
def test_an_error_names_its_step_and_leaves_nothing(engine: WanEngine, stage: str) -> None:
    before = tensor_bytes()

    def on_progress(progress: Progress) -> None:
        if progress.stage == stage and progress.done == progress.total:
            raise ZeroDivisionError("something broke")

    with pytest.raises(EngineError, match=rf"{stage} .*ZeroDivisionError: something broke"):
        engine.generate(make_request(), on_progress=on_progress)
    assert tensor_bytes() == before


def test_a_run_leaves_nothing_unless_it_is_told_to(engine: WanEngine) -> None:
    before = tensor_bytes()
    engine.generate(make_request())
    assert tensor_bytes() == before
    engine.generate(make_request(keep_loaded=True))
    assert tensor_bytes() > before
    engine.close()
    assert tensor_bytes() == before


def test_out_of_memory_goes_on_with_the_next_plan_and_says_so(engine: WanEngine) -> None:
    messages, failures = [], [2]

    def on_progress(progress: Progress) -> None:
        if progress.stage == "planning":
            messages.append(progress.message)
        if progress.stage == "denoising" and failures[0]:
            failures[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")

    frames = engine.generate(make_request(mode="fast"), on_progress=on_progress)
    assert frames.any()
    assert [m.split()[2 if m.startswith("Memory") else 1] for m in messages] == [
        "resident", "resident", "fp8", "fp8", "offload",
    ]  # fmt: skip
    assert "ran out of GPU memory; trying the next one" in messages[1]


def test_out_of_memory_in_the_last_plan_is_a_sentence_with_advice(engine: WanEngine) -> None:
    def on_progress(progress: Progress) -> None:
        if progress.stage == "denoising":
            raise torch.OutOfMemoryError("CUDA out of memory.")

    before = tensor_bytes()
    with pytest.raises(DeviceMemoryError, match="close other programs, or ask for fewer pixels"):
        engine.generate(make_request(memory="resident"), on_progress=on_progress)
    assert tensor_bytes() == before


def test_unknown_and_impossible_settings_are_refused(engine: WanEngine) -> None:
    with pytest.raises(SettingError, match="no setting 'colour'"):
        engine.generate(make_request(colour=1))
    with pytest.raises(SettingError, match="overlap must be at least 1 and less than the window"):
        engine.generate(make_request(count=20, window=5, overlap=7))
    with pytest.raises(SettingError, match=r"4n\+1"):
        engine.generate(make_request(window=6))


def test_composite_keeps_the_sources_pixels(engine: WanEngine) -> None:
    request = make_request(7, 40, 52, composite=True, feather=0)
    frames, guides = engine.generate(request), request.guides
    assert np.array_equal(frames[guides.mask], guides.colour[guides.mask])
    plain = engine.generate(make_request(7, 40, 52))
    assert not np.array_equal(plain[guides.mask], guides.colour[guides.mask])
