"""LoRA files of the usual trainers: what is loaded is the base plus alpha / rank * up @ down, and every difference."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from wan_golden import CPU, Golden
from wan_requests import make_request

from ex4d.engines.wan import WanEngine
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.weights.adapters import Lora, load_lora
from ex4d.weights.components import open_part
from ex4d.weights.layout import VAE_FILE
from ex4d.weights.verify import verify_parts
from ex4d_ground.errors import WeightsError

RANK = 4
Q, FFN, HEAD, PATCH = "blocks.0.self_attn.q", "blocks.1.ffn.2", "head.head", "patch_embedding"
RENAMED = {Q: "blocks.0.attn1.to_q", FFN: "blocks.1.ffn.net.2", HEAD: "proj_out", PATCH: "patch_embedding"}


@dataclass
class Parts:
    """The halves of a LoRA on two layers of the tiny transformer, and a place for more."""

    base: dict[str, Tensor]  # the model's own tensors, by their original names
    halves: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)  # original module: down, up

    def add(self, module: str, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        out, *into = self.base[f"{module}.weight"].shape
        down = torch.randn(RANK, *into, generator=generator)
        self.halves[module] = down, torch.randn(out, RANK, *[1] * (len(into) - 1), generator=generator)

    def keys(self, down: str, up: str, name: Callable[[str], str]) -> dict[str, Tensor]:
        return {
            f"{name(module)}.{ending}": tensor
            for module, halves in self.halves.items()
            for ending, tensor in zip((down, up), halves, strict=True)
        }


@pytest.fixture
def parts(tiny: Golden) -> Parts:
    made = Parts(load_file(tiny.weights.path_of("transformer")))
    made.add(Q, 1)
    made.add(FFN, 2)
    return made


def _loaded(golden: Golden, lora: Lora | None, strength: float = 1.0) -> Any:
    loras = [(lora, strength)] if lora else []
    return load_transformer(open_part(golden.weights, "transformer"), TransformerPlan(CPU, torch.float32), loras=loras)


def _output(golden: Golden, model: Any) -> Tensor:
    noise, given = golden.expected["noise"], golden.expected
    latents = torch.cat([noise, given["y"]], dim=1)
    steps = torch.tensor([500.0])
    with torch.no_grad():
        return model(latents, steps, given["context_pos"], given["clip_fea"], return_dict=False)[0]


def _assert_changes(golden: Golden, lora: Lora, added: dict[str, Tensor]) -> None:
    """The loaded model is the base with ``added``, by parameter, to the bit of float32, and so is what it answers."""
    plain, model = _loaded(golden, None), _loaded(golden, lora)
    for name, parameter in model.named_parameters():
        wanted = plain.get_parameter(name) + added.get(name, torch.zeros(()))
        torch.testing.assert_close(parameter, wanted, rtol=1e-6, atol=1e-6, msg=name)
    for name, extra in added.items():
        assert float(extra.abs().max()) > 0.01
        with torch.no_grad():
            plain.get_parameter(name).add_(extra)
    found = _output(golden, model)
    torch.testing.assert_close(found, _output(golden, plain), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, _output(golden, _loaded(golden, None)), rtol=1e-2, atol=1e-2)


def _products(parts: Parts, **scales: float) -> dict[str, Tensor]:
    """What the halves add by themselves, for diffusers' names; ``scales`` by the last part of the module's name."""
    added = {}
    for module, (down, up) in parts.halves.items():
        scale = scales.get(module.rpartition(".")[2], scales.get("all", 1.0))
        added[f"{RENAMED[module]}.weight"] = scale * torch.einsum("or,ri->oi", up.flatten(1), down.flatten(1)).reshape(
            parts.base[f"{module}.weight"].shape
        )
    return added


def _underscores(module: str) -> str:
    return "lora_unet_" + module.replace(".", "_")


SPELLINGS: dict[str, tuple[str, str, Callable[[str], str]]] = {
    "kohya and musubi": ("lora_down.weight", "lora_up.weight", _underscores),
    "kohya with diffusers' names": (
        "lora_down.weight",
        "lora_up.weight",
        lambda m: "lora_unet_" + RENAMED[m].replace(".", "_"),
    ),
    "comfy": ("lora_down.weight", "lora_up.weight", lambda m: f"diffusion_model.{m}"),
    "diffusion-pipe": ("lora_A.weight", "lora_B.weight", lambda m: f"diffusion_model.{m}"),
    "peft": ("lora_A.weight", "lora_B.weight", lambda m: f"base_model.model.{m}"),
    "peft around comfy": ("lora_A.weight", "lora_B.weight", lambda m: f"base_model.model.diffusion_model.{m}"),
    "peft with an adapter's name": ("lora_A.mine.weight", "lora_B.mine.weight", lambda m: f"base_model.model.{m}"),
    "diffusers": ("lora_A.weight", "lora_B.weight", lambda m: f"transformer.{RENAMED[m]}"),
    "old diffusers": ("lora.down.weight", "lora.up.weight", lambda m: f"transformer.{RENAMED[m]}"),
    "bare": ("lora_A.default.weight", "lora_B.default.weight", lambda m: m),
}


@pytest.mark.comes_in(
    "LoRA", "keys of kohya, musubi, diffusers, peft or diffusion-pipe", "added to the layer that they name"
)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_gives_the_same_model(tiny: Golden, parts: Parts, tmp_path: Path, spelling: str) -> None:
    parts.add(HEAD, 3)
    parts.add(PATCH, 4)  # a convolution
    file = tmp_path / "l.safetensors"
    save_file(parts.keys(*SPELLINGS[spelling]), file)
    _assert_changes(tiny, load_lora(file), _products(parts))


@pytest.mark.comes_in("LoRA", "whole differences: diff, diff_b, diff_m", "added to weights, biases and modulations")
def test_a_distillation_with_differences_of_every_kind_is_whole(tiny: Golden, parts: Parts, tmp_path: Path) -> None:
    keys = parts.keys(*SPELLINGS["comfy"])
    added = _products(parts)
    differences = {
        "blocks.0.diff_m": ("blocks.0.modulation", "blocks.0.scale_shift_table"),
        "head.diff_m": ("head.modulation", "scale_shift_table"),
        "blocks.1.norm3.diff": ("blocks.1.norm3.weight", "blocks.1.norm2.weight"),
        "blocks.1.norm3.diff_b": ("blocks.1.norm3.bias", "blocks.1.norm2.bias"),
        "blocks.1.cross_attn.norm_k_img.diff": ("blocks.1.cross_attn.norm_k_img.weight",) * 2,
        "blocks.0.self_attn.q.diff_b": ("blocks.0.self_attn.q.bias", "blocks.0.attn1.to_q.bias"),
        "patch_embedding.diff": ("patch_embedding.weight", "patch_embedding.weight"),
        "img_emb.proj.0.diff": ("img_emb.proj.0.weight", "condition_embedder.image_embedder.norm1.weight"),
    }
    for seed, (key, (original, ours)) in enumerate(differences.items()):
        change = 0.1 * torch.randn(parts.base[original].shape, generator=torch.Generator().manual_seed(seed))
        keys[f"diffusion_model.{key}"] = change
        added["blocks.1.attn2.norm_added_k.weight" if "norm_k_img" in key else ours] = change
    file = tmp_path / "turbo.safetensors"
    save_file(keys, file)
    _assert_changes(tiny, load_lora(file), added)


def test_strength_counts_for_layers_biases_and_differences(tiny: Golden, parts: Parts, tmp_path: Path) -> None:
    keys = parts.keys(*SPELLINGS["diffusion-pipe"])
    keys[f"diffusion_model.{Q}.lora_B.bias"] = torch.full((48,), 2.0)
    keys["diffusion_model.blocks.0.diff_m"] = torch.full((1, 6, 48), 3.0)
    file = tmp_path / "l.safetensors"
    save_file(keys, file, metadata={"lora_alpha": "8"})
    plain, model = _loaded(tiny, None), _loaded(tiny, load_lora(file), 0.5)
    bias = model.get_parameter("blocks.0.attn1.to_q.bias") - plain.get_parameter("blocks.0.attn1.to_q.bias")
    torch.testing.assert_close(bias, torch.full((48,), 0.5 * (8 / RANK) * 2))
    table = model.get_parameter("blocks.0.scale_shift_table") - plain.get_parameter("blocks.0.scale_shift_table")
    torch.testing.assert_close(table, torch.full((1, 6, 48), 1.5))


def _diffusers(**settings: Any) -> dict[str, str]:
    return {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in settings.items()})}


@pytest.mark.comes_in("LoRA", "alpha in metadata or adapter_config.json, also per layer", "scales what is added")
@pytest.mark.parametrize(
    ("spelling", "metadata", "beside", "scales"),
    [
        ("diffusers", {}, None, {"all": 1.0}),
        ("diffusers", _diffusers(r=4, lora_alpha=8), None, {"all": 2.0}),
        ("diffusers", _diffusers(r=4, lora_alpha=8, use_rslora=True), None, {"all": 8 / math.sqrt(RANK)}),
        ("diffusers", _diffusers(lora_alpha=8, alpha_pattern={"to_q": 2}), None, {"all": 2.0, "q": 0.5}),
        ("diffusers", _diffusers(lora_alpha=8, alpha_pattern={r"^blocks\.0\..*to_q": 2}), None, {"all": 2, "q": 0.5}),
        ("peft", {}, {"r": 4, "lora_alpha": 2}, {"all": 0.5}),
        ("peft", {"lora_alpha": "8"}, {"r": 4, "lora_alpha": 2}, {"all": 2.0}),
        ("peft", {}, {"lora_alpha": 2, "alpha_pattern": {"blocks.0.self_attn.q": 8}}, {"all": 0.5, "q": 2}),
        ("peft", {}, {"lora_alpha": 2, "alpha_pattern": None, "use_rslora": True}, {"all": 2 / math.sqrt(RANK)}),
        ("kohya and musubi", {"ss_network_alpha": "1.0", "ss_network_dim": "4"}, None, {"all": 0.25}),
        ("kohya and musubi", {"ss_network_alpha": "None"}, None, {"all": 1.0}),
        ("diffusion-pipe", {"ss_network_alpha": "1.0"}, None, {"all": 1.0}),  # converted: multiplied in already
    ],
)  # fmt: skip
def test_alpha_is_found_wherever_it_is_written(
    tiny: Golden, parts: Parts, tmp_path: Path, spelling: str, metadata: dict[str, str], beside: Any, scales: Any
) -> None:
    file = tmp_path / "l.safetensors"
    save_file(parts.keys(*SPELLINGS[spelling]), file, metadata={"format": "pt"} | metadata)
    if beside is not None:
        (tmp_path / "adapter_config.json").write_text(json.dumps(beside))
    _assert_changes(tiny, load_lora(file), _products(parts, **scales))


def test_a_layers_own_alpha_comes_before_the_files(tiny: Golden, parts: Parts, tmp_path: Path) -> None:
    keys = parts.keys(*SPELLINGS["kohya and musubi"])
    keys[f"{_underscores(Q)}.alpha"] = torch.tensor(1.0)
    file = tmp_path / "l.safetensors"
    save_file(keys, file, metadata={"ss_network_alpha": "16"})
    _assert_changes(tiny, load_lora(file), _products(parts, all=4.0, q=0.25))


@pytest.mark.comes_in("LoRA", "keys of another model or kind (LoHa, LoKr, DoRA)", "refused: they are named and counted")
@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["lora_te1_text_model.lora_down.weight", "x.lora_up.weight"], r"2 keys \(lora_te1.*, x.*\) that is no LoRA"),
        (["double_blocks.0.img_attn_qkv.lora_A.weight"], r"1 key \(double_blocks.*\) that is no LoRA for Wan 2\.1"),
        (["lora_unet_blocks_0_self_attn_q.hada_w1_a"], "belongs to a LoHa"),
        (["lora_unet_blocks_0_self_attn_q.lokr_w1"], "belongs to a LoKr"),
        (["blocks.0.self_attn.q.dora_scale"], "belongs to a DoRA"),
        (["blocks.0.self_attn.q.weight"], "that is no LoRA"),
        (["blocks.0.self_attn.q.lora_A.weight"], "lacks half of its LoRA pairs: 1 key"),
        (["blocks.0.self_attn.q.lora_B.bias"], "lacks half of its LoRA pairs"),
        ([], "holds no LoRA"),
    ],
)  # fmt: skip
def test_keys_that_mean_nothing_are_named_and_counted(tmp_path: Path, keys: list[str], told: str) -> None:
    file = tmp_path / "l.safetensors"
    save_file({key: torch.ones(4, 4) for key in keys}, file)
    with pytest.raises(WeightsError, match=told):
        load_lora(file)


def test_one_layer_in_two_spellings_is_refused(parts: Parts, tmp_path: Path) -> None:
    file = tmp_path / "l.safetensors"
    again = {key: tensor.clone() for key, tensor in parts.keys(*SPELLINGS["kohya and musubi"]).items()}
    save_file(parts.keys(*SPELLINGS["bare"]) | again, file)
    with pytest.raises(WeightsError, match=r"more than one (down|up) for blocks"):
        load_lora(file)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda keys: keys.update({f"{Q}.lora_B.default.weight": torch.ones(48, 3)}), r"halves of \[48, 3\] and"),
        (lambda keys: keys.update({f"{Q}.alpha": torch.ones(3)}), "no usable alpha for blocks.0.attn1.to_q"),
        (lambda keys: keys.update({f"{Q}.alpha": torch.tensor(math.nan)}), "no usable alpha"),
        (lambda keys: keys.update({"blocks.0.diff_m": torch.ones(1, 5, 48)}), "is 240 at blocks.0.scale_shift_table"),
        (lambda keys: keys.update({f"{Q}.lora_B.bias": torch.ones(5)}), "is 5 at blocks.0.attn1.to_q.bias"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(
    tiny: Golden, parts: Parts, tmp_path: Path, change: Callable[[dict[str, Tensor]], None], told: str
) -> None:
    keys = parts.keys(*SPELLINGS["bare"])
    change(keys)
    file = tmp_path / "l.safetensors"
    save_file(keys, file)
    with pytest.raises(WeightsError, match=told):
        _loaded(tiny, load_lora(file))


@pytest.mark.parametrize(
    ("metadata", "beside", "told"),
    [
        ({"lora_adapter_metadata": "{"}, None, "metadata lora_adapter_metadata is not valid JSON"),
        ({"lora_adapter_metadata": "[1]"}, None, "no table of settings"),
        ({"lora_alpha": "strong"}, None, "no usable alpha"),
        ({"lora_alpha": "inf"}, None, "no usable alpha"),
        ({}, '{"lora_alpha": ', r"adapter_config\.json is not valid JSON"),
        ({}, '{"lora_alpha": {"a": 1}}', r"adapter_config\.json has no usable alpha"),
        ({}, '{"alpha_pattern": {"(": 1}}', r"adapter_config\.json has no usable alpha"),
        ({}, '{"use_dora": true}', "is a DoRA"),
    ],
)
def test_alphas_that_cannot_be_read_are_named(
    parts: Parts, tmp_path: Path, metadata: dict[str, str], beside: str | None, told: str
) -> None:
    file = tmp_path / "l.safetensors"
    save_file(parts.keys(*SPELLINGS["peft"]), file, metadata=metadata)
    if beside is not None:
        (tmp_path / "adapter_config.json").write_text(beside)
    with pytest.raises(WeightsError, match=told):
        load_lora(file)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 738022400\n".format("ab" * 32)


@pytest.mark.comes_in("LoRA", "a Git LFS pointer in place of the file", "refused: it is called that, with its size")
@pytest.mark.parametrize("name", ["l.safetensors", "l.ckpt"])
def test_a_pointer_of_git_lfs_is_called_that(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(WeightsError, match=r"is a Git LFS pointer, not the file of 738,022,400 bytes"):
        load_lora(tmp_path / name)


def test_a_base_model_of_pointers_is_called_that(chain: Golden, tmp_path: Path) -> None:
    for path in chain.weights.base.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / VAE_FILE).write_text(POINTER)
    problems = [finding.problem for finding in verify_parts(replace(chain.weights, base=tmp_path))]
    assert len(problems) == 1 and problems[0].startswith(f"{VAE_FILE} is a Git LFS pointer")


def test_turbo_runs_with_a_file_that_has_modulation_differences(chain: Golden, prompts: Path, tmp_path: Path) -> None:
    base = load_file(chain.weights.path_of("transformer") / "diffusion_pytorch_model.safetensors")
    parts = Parts(base)
    parts.add(Q, 5)
    keys = parts.keys(*SPELLINGS["comfy"])
    keys["diffusion_model.blocks.0.diff_m"] = torch.full_like(base["blocks.0.modulation"], 0.5)
    frames = []
    for name, part in (("with", keys), ("without", {k: v for k, v in keys.items() if "diff_m" not in k})):
        file = tmp_path / f"{name}.safetensors"
        save_file(part, file)
        engine = WanEngine(replace(chain.weights, turbo_lora=file), cache=prompts)
        frames.append(engine.generate(make_request(mode="turbo")))
    assert frames[0].shape == frames[1].shape and (frames[0] != frames[1]).any()
