"""The golden models, opened once for all tests."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

from wan_golden import Golden, golden_dir, open_golden

from ex4d.engines.wan import WanEngine
from ex4d.engines.wan.constants import NEGATIVE_PROMPT, PROMPT
from ex4d.engines.wan.text import PromptCache, encoder_id
from ex4d.weights import WanWeights
from ex4d.weights.convert import to_diffusers

# Every run of the engine collects garbage; what the libraries brought along need not be searched each time.
gc.collect()
gc.freeze()


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


@pytest.fixture(scope="session")
def prompts(chain: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the embeddings of the two usual prompts, as the golden text encoder made them."""
    folder = tmp_path_factory.mktemp("prompts")
    cache = PromptCache(folder, encoder_id([chain.weights.path_of("text_encoder")]))
    found = {"prompt": chain.expected["prompt_embeds"], "negative": chain.expected["negative_embeds"]}
    cache.get([PROMPT, NEGATIVE_PROMPT], lambda texts: list(found.values()))
    return folder


@pytest.fixture
def engine(chain: Golden, prompts: Path) -> WanEngine:
    """The engine on the golden chain's tiny weights."""
    return WanEngine(chain.weights, cache=prompts)
