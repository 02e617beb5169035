"""Key tables: names in the original Wan 2.1 files to names in diffusers' and transformers' models.

A table is a list of rules; the first whose pattern matches a whole key wins. A rule with no target drops its key on
purpose (parts of a file that this model has no use for). A key that no rule matches is an error, never a guess.
Only strings here: no torch.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ex4d_ground.errors import WeightsError

Op = Literal["copy", "third0", "third1", "third2", "row", "drop_first"]
"""How a tensor becomes its target: as it is, one third along axis 0, flattened to one row, without axis 0."""


@dataclass(frozen=True)
class Target:
    """Where a tensor goes, and what is done to it on the way."""

    name: str
    op: Op = "copy"

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape after ``op``."""
        if self.op.startswith("third"):
            return (shape[0] // 3, *shape[1:])
        if self.op == "row":
            return (shape[-1],)
        if self.op == "drop_first":
            return shape[1:]
        return shape


@dataclass(frozen=True)
class Rule:
    """A pattern over whole keys, and templates (``\\1`` refers to its groups) for the targets."""

    pattern: str
    targets: tuple[tuple[str | Callable[[re.Match[str]], str], Op], ...]


def _rename(pattern: str, template: str | Callable[[re.Match[str]], str]) -> Rule:
    return Rule(pattern, ((template, "copy"),))


def _lookup(names: dict[str, str], before: str, after: str) -> list[Rule]:
    """One rename per entry, with the same text around every key."""
    return [_rename(before.replace("@", re.escape(old)), after.replace("@", new)) for old, new in names.items()]


_WB = r"\.(weight|bias)"

ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}
CROSS_IMAGE = {"k_img": "add_k_proj", "v_img": "add_v_proj"}
FFN = {"ffn.0": "ffn.net.0.proj", "ffn.2": "ffn.net.2"}

TRANSFORMER: Sequence[Rule] = (
    _rename(rf"patch_embedding{_WB}", r"patch_embedding.\1"),
    *_lookup(
        {
            "text_embedding.0": "text_embedder.linear_1",
            "text_embedding.2": "text_embedder.linear_2",
            "time_embedding.0": "time_embedder.linear_1",
            "time_embedding.2": "time_embedder.linear_2",
            "time_projection.1": "time_proj",
            "img_emb.proj.0": "image_embedder.norm1",
            "img_emb.proj.1": "image_embedder.ff.net.0.proj",
            "img_emb.proj.3": "image_embedder.ff.net.2",
            "img_emb.proj.4": "image_embedder.norm2",
        },
        rf"@{_WB}",
        r"condition_embedder.@.\1",
    ),
    _rename(rf"head\.head{_WB}", r"proj_out.\1"),
    _rename(r"head\.modulation", "scale_shift_table"),
    _rename(r"blocks\.(\d+)\.modulation", r"blocks.\1.scale_shift_table"),
    # The original numbers its norms in order of creation; diffusers in order of use.
    _rename(rf"blocks\.(\d+)\.norm3{_WB}", r"blocks.\1.norm2.\2"),
    *_lookup(ATTENTION, rf"blocks\.(\d+)\.self_attn\.@{_WB}", r"blocks.\1.attn1.@.\2"),
    *_lookup({**ATTENTION, **CROSS_IMAGE}, rf"blocks\.(\d+)\.cross_attn\.@{_WB}", r"blocks.\1.attn2.@.\2"),
    _rename(r"blocks\.(\d+)\.self_attn\.(norm_[qk])\.weight", r"blocks.\1.attn1.\2.weight"),
    _rename(r"blocks\.(\d+)\.cross_attn\.(norm_[qk])\.weight", r"blocks.\1.attn2.\2.weight"),
    _rename(r"blocks\.(\d+)\.cross_attn\.norm_k_img\.weight", r"blocks.\1.attn2.norm_added_k.weight"),
    *_lookup(FFN, rf"blocks\.(\d+)\.@{_WB}", r"blocks.\1.@.\2"),
)

_T5_BLOCK = {
    "norm1": "layer.0.layer_norm",
    "attn.q": "layer.0.SelfAttention.q",
    "attn.k": "layer.0.SelfAttention.k",
    "attn.v": "layer.0.SelfAttention.v",
    "attn.o": "layer.0.SelfAttention.o",
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "norm2": "layer.1.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
}

TEXT_ENCODER: Sequence[Rule] = (
    _rename(r"token_embedding\.weight", "shared.weight"),
    *_lookup(_T5_BLOCK, r"blocks\.(\d+)\.@\.weight", r"encoder.block.\1.@.weight"),
    _rename(r"norm\.weight", "encoder.final_layer_norm.weight"),
)

_CLIP_BLOCK = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.proj": "self_attn.out_proj",
    "mlp.0": "mlp.fc1",
    "mlp.2": "mlp.fc2",
}

IMAGE_ENCODER: Sequence[Rule] = (
    Rule(r"visual\.cls_embedding", (("embeddings.class_embedding", "row"),)),
    Rule(r"visual\.pos_embedding", (("embeddings.position_embedding.weight", "drop_first"),)),
    _rename(r"visual\.patch_embedding\.weight", "embeddings.patch_embedding.weight"),
    _rename(rf"visual\.pre_norm{_WB}", r"pre_layrnorm.\1"),
    _rename(rf"visual\.post_norm{_WB}", r"post_layernorm.\1"),
    Rule(
        rf"visual\.transformer\.(\d+)\.attn\.to_qkv{_WB}",
        (
            (r"encoder.layers.\1.self_attn.q_proj.\2", "third0"),
            (r"encoder.layers.\1.self_attn.k_proj.\2", "third1"),
            (r"encoder.layers.\1.self_attn.v_proj.\2", "third2"),
        ),
    ),
    *_lookup(_CLIP_BLOCK, rf"visual\.transformer\.(\d+)\.@{_WB}", r"encoder.layers.\1.@.\2"),
    # The text tower, the projection into the shared space and its temperature: the video model reads image tokens only.
    Rule(r"visual\.head", ()),
    Rule(r"textual\..*", ()),
    Rule(r"log_scale", ()),
)

_RESIDUAL = {"0": "norm1", "2": "conv1", "3": "norm2", "6": "conv2"}


def _residual(before: str, after: Callable[[re.Match[str]], str]) -> list[Rule]:
    """A residual block: the last group is the original's index inside ``residual``, then the parameter's name."""
    rules = [
        _rename(
            rf"{before}\.residual\.{index}\.(weight|bias|gamma)",
            lambda m, name=name: f"{after(m)}.{name}.{m.group(m.re.groups)}",
        )
        for index, name in _RESIDUAL.items()
    ]
    rules.append(_rename(rf"{before}\.shortcut{_WB}", lambda m: f"{after(m)}.conv_shortcut.{m.group(m.re.groups)}"))
    return rules


def vae_rules(num_res_blocks: int = 2) -> Sequence[Rule]:
    """The VAE's table. The original numbers all decoder layers in one list; diffusers groups them per resolution."""
    per_level = num_res_blocks + 2  # num_res_blocks + 1 residual blocks, then one upsampler

    def up(m: re.Match[str]) -> str:
        level, j = divmod(int(m.group(1)), per_level)
        return f"decoder.up_blocks.{level}." + (f"resnets.{j}" if j <= num_res_blocks else "upsamplers.0")

    rules: list[Rule] = [_rename(rf"conv1{_WB}", r"quant_conv.\1"), _rename(rf"conv2{_WB}", r"post_quant_conv.\1")]
    for half in ("encoder", "decoder"):
        rules += [
            _rename(rf"{half}\.conv1{_WB}", rf"{half}.conv_in.\1"),
            _rename(rf"{half}\.head\.0\.gamma", rf"{half}.norm_out.gamma"),
            _rename(rf"{half}\.head\.2{_WB}", rf"{half}.conv_out.\1"),
            *_residual(rf"{half}\.middle\.0", lambda m, h=half: f"{h}.mid_block.resnets.0"),
            *_residual(rf"{half}\.middle\.2", lambda m, h=half: f"{h}.mid_block.resnets.1"),
            _rename(rf"{half}\.middle\.1\.norm\.gamma", rf"{half}.mid_block.attentions.0.norm.gamma"),
            _rename(rf"{half}\.middle\.1\.(to_qkv|proj){_WB}", rf"{half}.mid_block.attentions.0.\1.\2"),
        ]
    sampling = rf"(resample\.1|time_conv){_WB}"
    rules += [
        *_residual(r"encoder\.downsamples\.(\d+)", lambda m: f"encoder.down_blocks.{m.group(1)}"),
        _rename(rf"encoder\.downsamples\.(\d+)\.{sampling}", r"encoder.down_blocks.\1.\2.\3"),
        *_residual(r"decoder\.upsamples\.(\d+)", up),
        _rename(rf"decoder\.upsamples\.(\d+)\.{sampling}", lambda m: f"{up(m)}.{m.group(2)}.{m.group(3)}"),
    ]
    return tuple(rules)


def map_key(rules: Sequence[Rule], key: str) -> tuple[Target, ...] | None:
    """The key's targets (empty: dropped on purpose), or None if no rule knows it."""
    for rule in rules:
        match = re.fullmatch(rule.pattern, key)
        if match:
            return tuple(Target(t(match) if callable(t) else match.expand(t), op) for t, op in rule.targets)
    return None


def map_keys(rules: Sequence[Rule], keys: Iterable[str], *, what: str) -> dict[str, tuple[str, Op]]:
    """Target name to (source key, op) for all ``keys``.

    Raises WeightsError naming the keys that no rule knows.
    """
    sources: dict[str, tuple[str, Op]] = {}
    unknown: list[str] = []
    for key in keys:
        targets = map_key(rules, key)
        if targets is None:
            unknown.append(key)
            continue
        for target in targets:
            sources[target.name] = (key, target.op)
    if unknown:
        raise WeightsError(f"{what} holds {name_some(unknown)} unknown to this model; it is for another one.")
    return sources


def name_some(names: Sequence[str], limit: int = 5) -> str:
    """``3 keys (a, b, c)`` for messages, with at most ``limit`` names."""
    shown = ", ".join(list(names)[:limit]) + (", ..." if len(names) > limit else "")
    return f"{len(names)} key{'s' if len(names) != 1 else ''} ({shown})"
