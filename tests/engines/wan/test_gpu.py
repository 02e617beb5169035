"""What can only be seen on a GPU: memory is free after a stop, plans hold, the kernels' frames are the plain ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from wan_requests import make_request

from ex4d.engines.wan import WanEngine
from ex4d.progress import CancelToken, Progress
from ex4d_ground.errors import Cancelled, EngineError

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
MIB = 1 << 20


def _request(**settings: Any) -> Any:
    return make_request(**{"device": "cuda", **settings})


@pytest.mark.parametrize("memory", ["resident", "offload"])
@pytest.mark.parametrize("how", ["cancel", "error"])
def test_a_stop_frees_the_gpu(engine: WanEngine, memory: str, how: str) -> None:
    engine.generate(_request(memory=memory))  # libraries keep workspaces of their own
    torch.cuda.synchronize()
    before, cancel = torch.cuda.memory_allocated(), CancelToken()

    def on_progress(progress: Progress) -> None:
        if progress.stage == "denoising" and progress.done == 1:
            assert torch.cuda.memory_allocated() > before
            if how == "error":
                raise RuntimeError("broken")
            cancel.cancel()

    with pytest.raises(Cancelled if how == "cancel" else EngineError):
        engine.generate(_request(memory=memory, steps=8), on_progress=on_progress, cancel=cancel)
    assert torch.cuda.memory_allocated() == before
    assert torch.cuda.memory_reserved() <= before + 32 * MIB


def test_a_kept_model_is_used_again_and_let_go(engine: WanEngine) -> None:
    engine.generate(_request())
    before = torch.cuda.memory_allocated()
    first = engine.generate(_request(keep_loaded=True, seed=1))
    kept = torch.cuda.memory_allocated()
    assert kept > before
    assert np.array_equal(engine.generate(_request(keep_loaded=True, seed=1)), first)
    assert torch.cuda.memory_allocated() <= kept + MIB
    engine.close()
    assert torch.cuda.memory_allocated() == before


@pytest.mark.parametrize("settings", [{"mode": "fast"}, {"mode": "fp8"}, {"memory": "offload"}], ids=str)
def test_every_mode_gives_nearly_the_exact_frames(engine: WanEngine, settings: dict[str, Any]) -> None:
    exact = engine.generate(_request()).astype(int)
    found = engine.generate(_request(**settings))
    assert np.abs(found - exact).mean() < 20
    assert np.array_equal(engine.generate(_request(**settings)), found)  # same seed, same machine: same bytes


def test_the_peak_stays_below_the_plans(engine: WanEngine) -> None:
    messages: list[str] = []

    def on_progress(progress: Progress) -> None:
        if progress.stage == "planning":
            messages.append(progress.message)

    torch.cuda.reset_peak_memory_stats()
    engine.generate(_request(memory="offload"), on_progress=on_progress)
    told = float(messages[0].split("about ")[1].split(" GiB")[0])
    assert torch.cuda.max_memory_allocated() <= (told + 0.05) * 1024 * MIB
