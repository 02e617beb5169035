"""Writing weights in the ``-Diffusers`` layout, shard by shard, whatever layout they come in."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ex4d.progress import Watch
from ex4d.weights.components import PartFiles, open_part
from ex4d.weights.layout import PARTS, Part, WanWeights
from ex4d.weights.writing import converted, whole_folder, write_json, write_shards

if TYPE_CHECKING:
    import torch

_CLASSES: dict[Part, tuple[str, str, str]] = {
    "transformer": ("diffusers", "WanTransformer3DModel", "diffusion_pytorch_model"),
    "vae": ("diffusers", "AutoencoderKLWan", "diffusion_pytorch_model"),
    "text_encoder": ("transformers", "UMT5EncoderModel", "model"),
    "image_encoder": ("transformers", "CLIPVisionModel", "model"),
}
_MODEL_TYPES = {"text_encoder": "umt5", "image_encoder": "clip_vision_model"}


def to_diffusers(
    weights: WanWeights,
    target: Path,
    *,
    dtype: torch.dtype | None = None,
    shard_bytes: int = 5 << 30,
    **watch: Unpack[Watch],
) -> None:
    """Write the base model to ``target`` in the ``-Diffusers`` layout, cast to ``dtype`` if one is given.

    The folder appears only when it is complete. Raises WeightsError for bad input, OutputError if it cannot be written.
    """
    with whole_folder(target) as temporary:
        for part in PARTS:
            source = open_part(weights, part)
            _write_part(source, temporary / part, dtype, shard_bytes, watch)
            source.files.close()
        if weights.tokenizer_path.is_dir():
            shutil.copytree(weights.tokenizer_path, temporary / "tokenizer")
        index: dict[str, Any] = {name: [library, cls] for name, (library, cls, _) in _CLASSES.items()}
        write_json(temporary / "model_index.json", {"_class_name": "WanImageToVideoPipeline", **index})


def _write_part(source: PartFiles, folder: Path, dtype: torch.dtype | None, shard_bytes: int, watch: Watch) -> None:
    _, class_name, stem = _CLASSES[source.part]
    folder.mkdir()
    model_type = _MODEL_TYPES.get(source.part)
    known = {"model_type": model_type} if model_type else {"_class_name": class_name}
    write_json(folder / "config.json", {**source.config, **known})
    prefix = "vision_model." if source.part == "image_encoder" else ""
    named = ((prefix + name, partial(source.get, name)) for name in sorted(source.sources))
    write_shards(folder, stem, converted(source.part, named, dtype, watch), shard_bytes)
