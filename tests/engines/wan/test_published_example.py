"""Guides that the original program made (its flower example), through tiny parts of the true architecture.

``EX4D_UPSTREAM_EXAMPLE`` names the folder that contains ``flower/`` with ``render_180.mp4`` and ``mask_180.mp4``. Takes
about ten minutes on two cores.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from wan_golden import Golden

from ex4d.cli.app import main
from ex4d.clip import read_video

FLOWER = Path(os.environ.get("EX4D_UPSTREAM_EXAMPLE", "")) / "flower"


@pytest.mark.slow
@pytest.mark.skipif(
    not all((FLOWER / name).is_file() for name in ("render_180.mp4", "mask_180.mp4")),
    reason="set EX4D_UPSTREAM_EXAMPLE to the folder that holds flower/render_180.mp4 and flower/mask_180.mp4",
)
def test_the_published_example_becomes_the_same_video_twice(
    chain: Golden, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ex4d.engines.wan.engine.default_cache", lambda: prompts)
    torch.set_num_threads(2)
    base = chain.weights.base
    arguments = [
        "generate", "--color_video", FLOWER / "render_180.mp4", "--mask_video", FLOWER / "mask_180.mp4",
        "--height", 512, "--width", 512, "--num_frames", 49, "--seed", 5, "--num_inference_steps", 1,
        "--device", "cpu", "--ex4d_path", base / "ex4d.ckpt", "--dit_dir", base,
        "--set", "cfg_scale=1", "--set", "mode=fast",
    ]  # fmt: skip
    results = []
    for name in ("first.mp4", "second.mp4"):
        assert main([str(a) for a in [*arguments, "--output_video", tmp_path / name]]) == 0
        results.append((tmp_path / name).read_bytes())
    torch.set_num_threads(1)
    frames, fps = read_video(tmp_path / "first.mp4")
    assert frames.shape == (49, 512, 512, 3) and fps == 15
    assert np.ptp(frames) > 0
    assert results[0] == results[1]
