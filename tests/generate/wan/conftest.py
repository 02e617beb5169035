"""The golden models, opened once for all tests."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

from wan_golden import Golden, golden_dir, open_golden

from ex4d.weights import WanWeights
from ex4d.weights.convert import to_diffusers


@pytest.fixture(scope="session")
def tiny() -> Golden:
    folder = golden_dir() / "wan_tiny"
    weights = WanWeights(folder, folder / "ex4d.ckpt")
    return open_golden("wan_tiny", weights.with_part("transformer", folder / "wan_original.safetensors"))


@pytest.fixture(scope="session")
def chain() -> Golden:
    folder = golden_dir() / "wan_chain"
    return open_golden("wan_chain", WanWeights(folder, folder / "ex4d.ckpt"))


@pytest.fixture(scope="session")
def converted(chain: Golden, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """The chain's weights converted to the -Diffusers layout, in several shards."""
    target = tmp_path_factory.mktemp("converted") / "Wan-Diffusers"
    to_diffusers(chain.weights, target, shard_bytes=200_000)
    return Golden(chain.config, WanWeights(target, chain.weights.ex4d), chain.expected)
