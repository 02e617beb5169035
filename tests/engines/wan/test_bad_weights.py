"""Files that are missing, cut off or for another model name themselves and the remedy; nothing is guessed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from wan_golden import Golden
from wan_requests import make_request

from ex4d.engines.wan import WanEngine
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.weights import WanWeights
from ex4d.weights.adapters import load_ex4d
from ex4d.weights.components import open_part
from ex4d.weights.convert import to_diffusers
from ex4d.weights.convert_original import to_original
from ex4d.weights.layout import CLIP_FILE, PARTS, T5_FILE, VAE_FILE
from ex4d.weights.tensors import load_pickle
from ex4d.weights.verify import verify_parts
from ex4d_ground.errors import OutputError, WeightsError

DIT = "diffusion_pytorch_model.safetensors"
FILES = [DIT, T5_FILE, VAE_FILE, CLIP_FILE, "ex4d.ckpt"]


@pytest.fixture
def copied(chain: Golden, tmp_path: Path) -> WanWeights:
    """The golden chain's weights, free to be spoilt."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in [*FILES, "config.json"]:
        shutil.copy(chain.weights.base / name, folder / name)
    return WanWeights(folder, folder / "ex4d.ckpt")


def _change(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    state = load_file(path) if path.suffix == ".safetensors" else dict(load_pickle(path))
    state = {name: tensor.clone() for name, tensor in state.items()}
    change(state)
    path.unlink()
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)


def test_good_weights_have_nothing_to_report(copied: WanWeights) -> None:
    assert verify_parts(copied) == []


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_with_the_command(copied: WanWeights, tmp_path: Path, name: str) -> None:
    (copied.base / name).unlink()
    with pytest.raises(WeightsError, match=rf"({name}|transformer|weights)") as caught:
        WanEngine(copied, cache=tmp_path).generate(make_request())
    assert "run: ex4d weights fetch " + ("ex4d" if name == "ex4d.ckpt" else "wan") in caught.value.text("cli")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_a_truncated_file_is_named_with_the_command(copied: WanWeights, name: str, kept: float) -> None:
    path = copied.base / name
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    problems = [finding.problem for finding in verify_parts(copied)]
    assert len(problems) == 1
    assert name in problems[0]
    assert "ex4d weights fetch" in problems[0] or "truncated" in problems[0]


@pytest.mark.parametrize("name", FILES)
def test_unknown_missing_and_wrong_keys_are_named(copied: WanWeights, name: str) -> None:
    path = copied.base / name
    original = path.read_bytes()
    victim = sorted(load_file(path) if path.suffix == ".safetensors" else load_pickle(path))[-1]
    if name == CLIP_FILE:
        victim = "visual.transformer.0.norm1.weight"

    _change(path, lambda state: state.update({"intruder.weight": torch.zeros(3)}))
    assert "intruder.weight" in verify_parts(copied)[0].problem

    path.write_bytes(original)
    _change(path, lambda state: state.pop(victim))
    assert name in verify_parts(copied)[0].problem

    path.write_bytes(original)
    _change(path, lambda state: state.update({victim: torch.zeros(7, 5)}))
    assert verify_parts(copied), victim


def test_a_geometry_encoder_of_another_width_is_refused(copied: WanWeights, tmp_path: Path) -> None:
    assert copied.ex4d is not None

    def narrow(state: dict[str, torch.Tensor]) -> None:
        for leaf in ("weight", "bias"):
            name = f"latent_patch_embedding.{leaf}"
            state[name] = state[name][:16].clone()

    _change(copied.ex4d, narrow)
    assert "latent_patch_embedding" in verify_parts(copied)[0].problem


def test_a_lora_for_another_model_is_refused_before_anything_is_loaded(copied: WanWeights) -> None:
    assert copied.ex4d is not None
    lora = load_ex4d(copied.ex4d).lora
    module = next(iter(lora.layers))
    other = replace(lora, layers={module.replace("blocks.0", "blocks.9"): lora.layers[module]})
    with pytest.raises(WeightsError, match=r"blocks\.9.*lacks; it is for another model"):
        load_transformer(open_part(copied, "transformer"), TransformerPlan(torch.device("cpu")), loras=[(other, 1.0)])


def test_no_code_in_a_checkpoint_is_run(copied: WanWeights) -> None:
    class Surprise:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, ("raise SystemExit('code ran')",))

    assert copied.ex4d is not None
    torch.save({"latent_encoder.0.weight": Surprise()}, copied.ex4d)
    with pytest.raises(WeightsError, match=r"ex4d\.ckpt .* no weights file"):
        load_ex4d(copied.ex4d)


def test_a_missing_shard_is_named(converted: Golden, tmp_path: Path) -> None:
    folder = tmp_path / "Wan-Diffusers"
    shutil.copytree(converted.weights.base, folder)
    shard = sorted((folder / "transformer").glob("*.safetensors"))[1]
    shard.unlink()
    assert shard.name in verify_parts(WanWeights(folder, converted.weights.ex4d))[0].problem


def test_converting_there_and_back_gives_the_same_tensors(chain: Golden, converted: Golden, tmp_path: Path) -> None:
    target = tmp_path / "original"
    to_original(converted.weights, target, shard_bytes=200_000)
    shards = [load_file(path) for path in sorted(target.glob("*.safetensors"))]
    assert len(shards) > 1
    back = {name: tensor for shard in shards for name, tensor in shard.items()}
    _assert_same(back, load_file(chain.weights.base / DIT))
    for name in (T5_FILE, VAE_FILE):
        _assert_same(load_pickle(target / name), load_pickle(chain.weights.base / name))
    clip, first = load_pickle(target / CLIP_FILE), load_pickle(chain.weights.base / CLIP_FILE)
    _assert_same(clip, {name: first[name] for name in clip})
    assert all(name.startswith(("textual.", "visual.head", "log_scale")) for name in set(first) - set(clip))
    assert set(json.loads((target / "config.json").read_text())) == {"transformer", "image_encoder"}
    assert verify_parts(WanWeights(target, chain.weights.ex4d)) == []


def _assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_converting_never_overwrites_and_leaves_nothing_half_done(copied: WanWeights, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for convert in (to_diffusers, to_original):
        with pytest.raises(OutputError, match="exists already"):
            convert(copied, tmp_path / "there")
    (copied.base / CLIP_FILE).write_bytes(b"")
    for convert in (to_diffusers, to_original):
        with pytest.raises(WeightsError):
            convert(copied, tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["there", "weights"]
    assert set(PARTS) == {"transformer", "vae", "text_encoder", "image_encoder"}
