"""Writing weights in the ``-Diffusers`` layout, shard by shard, whatever layout they come in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ex4d.errors import OutputError
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.weights.components import PartFiles, open_part
from ex4d.weights.layout import PARTS, Part, WanWeights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

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
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> None:
    """Write the base model to ``target`` in the ``-Diffusers`` layout, cast to ``dtype`` if one is given.

    The folder appears only when it is complete. Raises WeightsError for bad input, OutputError if it cannot be written.
    """
    if target.exists():
        raise OutputError(f"{target} exists already; choose another folder or remove it.")
    temporary = target.with_name(f".{target.name}.incomplete")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for part in PARTS:
            source = open_part(weights, part)
            _write_part(source, temporary / part, dtype, shard_bytes, on_progress, cancel)
            source.files.close()
        if weights.tokenizer_path.is_dir():
            shutil.copytree(weights.tokenizer_path, temporary / "tokenizer")
        index: dict[str, Any] = {name: [library, cls] for name, (library, cls, _) in _CLASSES.items()}
        _write_json(temporary / "model_index.json", {"_class_name": "WanImageToVideoPipeline", **index})
        temporary.rename(target)
    except OSError as error:
        raise OutputError(
            f"Cannot write {target} ({error.strerror or error}); free space or choose another."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_part(
    source: PartFiles,
    folder: Path,
    dtype: torch.dtype | None,
    shard_bytes: int,
    on_progress: OnProgress | None,
    cancel: CancelToken | None,
) -> None:
    _, class_name, stem = _CLASSES[source.part]
    folder.mkdir(parents=True)
    known: dict[str, Any] = (
        {"_class_name": class_name} if source.part not in _MODEL_TYPES else {"model_type": _MODEL_TYPES[source.part]}
    )
    _write_json(folder / "config.json", {**source.config, **known})
    prefix = "vision_model." if source.part == "image_encoder" else ""
    shards: list[dict[str, Tensor]] = [{}]
    files: list[Path] = []
    size = total = 0
    for done, name in enumerate(sorted(source.sources)):
        check(cancel)
        tensor = source.get(name)
        tensor = tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
        nbytes = tensor.numel() * tensor.element_size()
        if size and size + nbytes > shard_bytes:
            files.append(_write_shard(folder, stem, len(files), shards[-1]))
            shards, size = [*({n: t.to("meta") for n, t in s.items()} for s in shards), {}], 0
        shards[-1][prefix + name] = tensor.contiguous().clone()
        size, total = size + nbytes, total + nbytes
        report(on_progress, f"converting {source.part.replace('_', ' ')}", done + 1, len(source.sources))
    files.append(_write_shard(folder, stem, len(files), shards[-1]))
    _name_shards(folder, stem, files, shards, total)


def _write_shard(folder: Path, stem: str, index: int, tensors: dict[str, Tensor]) -> Path:
    from safetensors.torch import save_file

    path = folder / f"{stem}.{index}.part"
    save_file(tensors, path, metadata={"format": "pt"})
    return path


def _name_shards(folder: Path, stem: str, files: list[Path], shards: list[dict[str, Tensor]], total: int) -> None:
    """One file keeps the plain name; several are numbered and listed in an index, as the hub's libraries expect."""
    if len(files) == 1:
        files[0].rename(folder / f"{stem}.safetensors")
        return
    where: dict[str, str] = {}
    for index, (file, tensors) in enumerate(zip(files, shards, strict=True)):
        name = f"{stem}-{index + 1:05d}-of-{len(files):05d}.safetensors"
        file.rename(folder / name)
        where.update(dict.fromkeys(tensors, name))
    _write_json(folder / f"{stem}.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
