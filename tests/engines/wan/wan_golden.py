"""Golden folders: settings, weights, and what the original programs made of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ex4d.weights import WanWeights

CPU = torch.device("cpu")
torch.set_num_threads(1)  # the models are so small that handing work between threads costs more than it saves


def golden_dir() -> Path:
    return Path(os.environ.get("EX4D_GOLDEN_DIR") or Path(__file__).parents[2] / "golden")


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@dataclass(frozen=True)
class Golden:
    """One golden folder: its settings, its weights, and what the original programs made of them."""

    config: dict[str, Any]
    weights: WanWeights
    expected: dict[str, torch.Tensor]


def open_golden(name: str, weights: WanWeights) -> Golden:
    folder = golden_dir() / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return Golden(json.loads((folder / "config.json").read_text()), weights, load_file(folder / "expected.safetensors"))
