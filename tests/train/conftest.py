"""The tiny real model, and a data set of one little clip, shared by the tests of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

import torch
from safetensors.torch import save_file
from tiny_training import SHAPE, masks_of, moving_clip

from ex4d.engines.wan.vae import WanVae
from ex4d.train.config import TrainConfig, parse_config
from ex4d.train.dataset import FORMAT, PROMPTS, SHARDS, Manifest, MaskInfo, SampleInfo, ShardInfo, file_sha256
from ex4d.train.encoding import encode_sample
from ex4d.weights import WanWeights
from ex4d.weights.components import load_part, open_part


@pytest.fixture(scope="session")
def weights() -> WanWeights:
    folder = Path(__file__).parents[1] / "golden" / "wan_chain"
    return WanWeights(folder, folder / "ex4d.ckpt")


@pytest.fixture(scope="session")
def dataset(weights: WanWeights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four samples of nine frames of 32x48, two masks each, the last one held out."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / SHARDS).mkdir()
    cpu = torch.device("cpu")
    vae = WanVae(load_part(open_part(weights, "vae"), dtype=torch.float32), device=cpu, dtype=torch.float32)
    image_encoder = load_part(open_part(weights, "image_encoder"), dtype=torch.float32)
    tensors: dict[str, Any] = {}
    samples = []
    for number in range(4):
        clip = moving_clip(number)
        masks = masks_of(number)
        tensors |= encode_sample(f"s{number}", clip, masks, vae=vae, image_encoder=image_encoder)
        info = [MaskInfo("rendering", 0, float(1 - m.mean())) for m in masks]
        samples.append(SampleInfo(f"s{number}", "made.mp4", 0, *SHAPE, info, held_out=number == 3))
    save_file(tensors, folder / SHARDS / "00000.safetensors")
    chance = torch.Generator().manual_seed(1)
    prompts = {name: torch.randn(512, 32, generator=chance) for name in ("prompt", "empty")}
    save_file(prompts, folder / PROMPTS)
    shard = ShardInfo("00000.safetensors", file_sha256(folder / SHARDS / "00000.safetensors"), samples)
    Manifest(FORMAT, {}, {}, [shard]).write(folder)
    return folder


@pytest.fixture
def tiny_config(dataset: Path, tmp_path: Path):
    """A configuration for the tiny model; keyword arguments are tables that change it."""

    def make(folder: str = "run", **tables: dict[str, Any]) -> TrainConfig:
        content: dict[str, Any] = {
            "data": {"dataset": str(dataset), "batch": 1},
            "model": {"rank": 4, "alpha": 4, "geometry_width": 32},
            "train": {"steps": 4, "learning_rate": 1e-3, "warmup": 1},
            "memory": {"precision": "float32", "compile": False},
            "output": {"folder": str(tmp_path / folder), "checkpoint_every": 0, "held_out_every": 0, "sample_every": 0},
        }
        for name, table in tables.items():
            content[name] = content.get(name, {}) | table
        return parse_config(content, tmp_path)

    return make


def as_toml(config: TrainConfig) -> str:
    """The configuration as the file that people would write."""
    import msgspec

    lines = []
    tables = msgspec.to_builtins(config)
    for name, value in tables.items():
        if not isinstance(value, dict):
            lines.insert(0, f"{name} = {json.dumps(value)}")
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture
def write_config(tmp_path: Path):
    """Writes a configuration to a file and gives its path."""

    def write(config: TrainConfig, name: str = "train.toml") -> Path:
        path = tmp_path / name
        path.write_text(as_toml(config), encoding="utf-8")
        return path

    return write


@pytest.fixture(autouse=True)
def one_thread():
    """The models are so small that handing work between threads costs more than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    np.random.seed(0)  # noqa: NPY002 - some libraries draw from it
    yield
    torch.set_num_threads(before)
