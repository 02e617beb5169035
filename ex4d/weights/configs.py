"""Model configurations read off the tensors' shapes; what shapes cannot tell comes from a config beside the files.

Head counts are the one thing shapes do not show (except T5's). The published models use 128 channels per head in the
transformer and 80 in the image encoder; other models need ``config.json`` with ``num_heads`` next to the weights.
"""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ex4d_ground.errors import WeightsError
from ex4d_ground.parsing import parse_json
from ex4d_ground.remedies import fetch_weights

Shapes = Mapping[str, tuple[int, ...]]

_HEAD_CHANNELS = {"transformer": 128, "image_encoder": 80}


def hints_beside(folder: Path) -> dict[str, dict[str, Any]]:
    """``config.json`` of the original layout as {part: settings}; flat files are the transformer's. {} if none."""
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        content = parse_json(path.read_text())
    except ValueError as error:
        text = f"{path} is not valid JSON ({error}); remove it."
        raise WeightsError(text, remedy=fetch_weights()) from error
    if isinstance(content.get("transformer"), dict):
        return {name: part for name, part in content.items() if isinstance(part, dict)}
    return {"transformer": content}


def count_layers(names: Iterable[str], pattern: str) -> int:
    """One more than the largest number that ``pattern``'s group finds."""
    numbers = [int(m.group(1)) for m in (re.match(pattern, name) for name in names) if m]
    return max(numbers, default=-1) + 1


def _need(shapes: Shapes, name: str, what: str) -> tuple[int, ...]:
    if name not in shapes:
        raise WeightsError(f"{what} lacks {name}; it is truncated or for another model.")
    return shapes[name]


def _heads(part: str, width: int, hints: Mapping[str, Any], what: str) -> int:
    heads = hints.get("num_heads")
    per_head = _HEAD_CHANNELS[part]
    if heads is None and width % per_head == 0:
        heads = width // per_head
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise WeightsError(
            f"{what} is {width} wide, which does not tell its number of heads (got {heads}); "
            "put a config.json with num_heads beside it."
        )
    return heads


def transformer_config(shapes: Shapes, hints: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Arguments of diffusers' WanTransformer3DModel, from shapes under diffusers' names."""
    patch = _need(shapes, "patch_embedding.weight", what)
    dim = patch[0]
    image = shapes.get("condition_embedder.image_embedder.norm1.weight")
    heads = _heads("transformer", dim, hints, what)
    return {
        "patch_size": patch[2:],
        "num_attention_heads": heads,
        "attention_head_dim": dim // heads,
        "in_channels": patch[1],
        "out_channels": _need(shapes, "proj_out.weight", what)[0] // math.prod(patch[2:]),
        "text_dim": _need(shapes, "condition_embedder.text_embedder.linear_1.weight", what)[1],
        "freq_dim": _need(shapes, "condition_embedder.time_embedder.linear_1.weight", what)[1],
        "ffn_dim": _need(shapes, "blocks.0.ffn.net.0.proj.weight", what)[0],
        "num_layers": count_layers(shapes, r"blocks\.(\d+)\."),
        "cross_attn_norm": "blocks.0.norm2.weight" in shapes,
        "eps": float(hints.get("eps", 1e-6)),
        "image_dim": image[0] if image else None,
        "added_kv_proj_dim": dim if "blocks.0.attn2.add_k_proj.weight" in shapes else None,
    }


def text_encoder_config(shapes: Shapes, hints: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Arguments of transformers' UMT5Config, from shapes under transformers' names."""
    vocab, width = _need(shapes, "shared.weight", what)
    block = "encoder.block.0.layer"
    buckets, heads = _need(shapes, f"{block}.0.SelfAttention.relative_attention_bias.weight", what)
    return {
        "vocab_size": vocab,
        "d_model": width,
        "d_kv": _need(shapes, f"{block}.0.SelfAttention.q.weight", what)[0] // heads,
        "d_ff": _need(shapes, f"{block}.1.DenseReluDense.wi_0.weight", what)[0],
        "num_layers": count_layers(shapes, r"encoder\.block\.(\d+)\."),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": 128,
        "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": 1e-6,
        "dropout_rate": 0.0,
    }


def image_encoder_config(shapes: Shapes, hints: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Arguments of transformers' CLIPVisionConfig, from shapes under transformers' names."""
    patch = _need(shapes, "embeddings.patch_embedding.weight", what)
    tokens = _need(shapes, "embeddings.position_embedding.weight", what)[0]
    grid = math.isqrt(tokens - 1)
    return {
        "hidden_size": patch[0],
        "intermediate_size": _need(shapes, "encoder.layers.0.mlp.fc1.weight", what)[0],
        "num_hidden_layers": count_layers(shapes, r"encoder\.layers\.(\d+)\."),
        "num_attention_heads": _heads("image_encoder", patch[0], hints, what),
        "patch_size": patch[2],
        "image_size": patch[2] * grid,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }


def vae_config(shapes: Shapes, hints: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Arguments of diffusers' AutoencoderKLWan, from shapes under diffusers' names (two residual blocks a level)."""
    base = _need(shapes, "encoder.conv_in.weight", what)[0]
    widths = [
        shapes[f"encoder.down_blocks.{i}.conv2.weight"][0]
        for i in range(count_layers(shapes, r"encoder\.down_blocks\.(\d+)\."))
        if f"encoder.down_blocks.{i}.conv2.weight" in shapes
    ]
    samplers = [i for i in range(len(shapes)) if f"encoder.down_blocks.{i}.resample.1.weight" in shapes]
    return {
        "base_dim": base,
        "decoder_base_dim": _need(shapes, "decoder.norm_out.gamma", what)[0],
        "z_dim": _need(shapes, "post_quant_conv.weight", what)[0],
        "dim_mult": [width // base for width in widths[::2]],
        "num_res_blocks": 2,
        "temperal_downsample": [f"encoder.down_blocks.{i}.time_conv.weight" in shapes for i in samplers],
    }
