"""Writing weights in the original layout (DiT shards, T5, CLIP and VAE checkpoints), whatever layout they come in.

The way back is not a second table: every name the original could have is put through the key tables, and what comes
out says which original tensor each of ours belongs to.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ex4d.errors import OutputError, WeightsError
from ex4d.files import output_error
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.weights.components import RULES, PartFiles, open_part
from ex4d.weights.layout import CLIP_FILE, PARTS, T5_FILE, VAE_FILE, Part, WanWeights
from ex4d.weights.mapping import Op, Rule, map_key, name_some

if TYPE_CHECKING:
    import torch
    from torch import Tensor

STEM = "diffusion_pytorch_model"
_PICKLES: dict[Part, str] = {"text_encoder": T5_FILE, "vae": VAE_FILE, "image_encoder": CLIP_FILE}
_GROUP = re.compile(r"\(([^()]*)\)")


def to_original(
    weights: WanWeights,
    target: Path,
    *,
    dtype: torch.dtype | None = None,
    shard_bytes: int = 10 << 30,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> None:
    """Write the base model to ``target`` in the original layout, cast to ``dtype`` if one is given.

    Tensors that this model has no use for (the CLIP text tower) are not there. The folder appears only when it is
    complete. Raises WeightsError for bad input, OutputError if it cannot be written, Cancelled.
    """
    if target.exists():
        raise OutputError(f"{target} exists already; choose another folder or remove it.")
    temporary = target.with_name(f".{target.name}.incomplete")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        hints: dict[str, dict[str, Any]] = {}
        for part in PARTS:
            source = open_part(weights, part)
            hints[part] = {"num_heads": source.config.get("num_attention_heads", source.config.get("num_heads"))}
            tensors = _tensors(source, dtype, on_progress, cancel)
            if part == "transformer":
                _write_shards(temporary, tensors, shard_bytes)
            else:
                _write_pickle(temporary / _PICKLES[part], tensors)
            source.files.close()
        if weights.tokenizer_path.is_dir():
            shutil.copytree(weights.tokenizer_path, temporary / "google" / "umt5-xxl")
        heads = {part: hints[part] for part in ("transformer", "image_encoder")}
        (temporary / "config.json").write_text(json.dumps(heads, indent=2) + "\n", encoding="utf-8")
        temporary.rename(target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise output_error(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def original_names(part: Part, names: Sequence[str]) -> dict[str, list[tuple[str, Op]]]:
    """Original key to the (our name, op) it is made of, for all of ``names``.

    Raises WeightsError naming those that the original layout has no place for.
    """
    known, left = set(names), set(names)
    highest = max((int(n) for name in names for n in re.findall(r"\d+", name)), default=0)
    count = max(4 * (highest + 1), 16)  # the original counts the VAE's decoder layers through, four to a level
    found: dict[str, list[tuple[str, Op]]] = {}
    for rule in RULES[part]:
        if not rule.targets:
            continue
        for key in _spelled_out(rule, count):
            targets = map_key(RULES[part], key) or ()
            if targets and all(target.name in known for target in targets):
                found[key] = [(target.name, target.op) for target in targets]
                left.difference_update(target.name for target in targets)
    if left:
        raise WeightsError(f"{part} has {name_some(sorted(left))} without a place in the original layout.")
    return found


def _spelled_out(rule: Rule, count: int) -> Iterator[str]:
    """Every key that ``rule``'s pattern matches, numbers below ``count``."""
    pieces = _GROUP.split(rule.pattern)
    choices = [_alternatives(p, count) if i % 2 else [p.replace("\\", "")] for i, p in enumerate(pieces)]
    for combination in product(*choices):
        yield "".join(combination)


def _alternatives(group: str, count: int) -> list[str]:
    if group == r"\d+":
        return [str(i) for i in range(count)]
    found = []
    for choice in group.split("|"):
        letters = re.fullmatch(r"(.*)\[(\w+)\](.*)", choice)
        found += [letters[1] + x + letters[3] for x in letters[2]] if letters else [choice.replace("\\", "")]
    return found


def _undo(parts: Sequence[tuple[Tensor, Op]]) -> Tensor:
    """The original tensor from what it was turned into."""
    import torch

    tensor, op = parts[0]
    if op == "row":
        return tensor.reshape(1, 1, -1)
    if op == "drop_first":
        return tensor[None]
    return torch.cat([t for t, _ in sorted(parts, key=lambda p: p[1])]) if op.startswith("third") else tensor


def _tensors(
    source: PartFiles, dtype: torch.dtype | None, on_progress: OnProgress | None, cancel: CancelToken | None
) -> Iterator[tuple[str, Tensor]]:
    names = original_names(source.part, list(source.sources))
    for done, (key, targets) in enumerate(sorted(names.items())):
        check(cancel)
        tensor = _undo([(source.get(name), op) for name, op in targets])
        yield key, (tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor)
        report(on_progress, f"converting {source.part.replace('_', ' ')}", done + 1, len(names))


def _write_shards(folder: Path, tensors: Iterator[tuple[str, Tensor]], shard_bytes: int) -> None:
    from safetensors.torch import save_file

    files: list[Path] = []
    where: list[list[str]] = []
    shard: dict[str, Tensor] = {}

    def flush() -> None:
        files.append(folder / f"{len(files)}.part")
        where.append(list(shard))
        save_file(shard, files[-1], metadata={"format": "pt"})
        shard.clear()

    size = 0
    for key, tensor in tensors:
        nbytes = tensor.numel() * tensor.element_size()
        if shard and size + nbytes > shard_bytes:
            flush()
            size = 0
        shard[key] = tensor.contiguous().clone()
        size += nbytes
    flush()
    if len(files) == 1:
        files[0].rename(folder / f"{STEM}.safetensors")
        return
    weight_map: dict[str, str] = {}
    for index, (file, keys) in enumerate(zip(files, where, strict=True)):
        name = f"{STEM}-{index + 1:05d}-of-{len(files):05d}.safetensors"
        file.rename(folder / name)
        weight_map.update(dict.fromkeys(keys, name))
    text = json.dumps({"metadata": {}, "weight_map": weight_map}, indent=2) + "\n"
    (folder / f"{STEM}.safetensors.index.json").write_text(text, encoding="utf-8")


def _write_pickle(path: Path, tensors: Iterator[tuple[str, Tensor]]) -> None:
    import torch

    torch.save({key: tensor.contiguous().clone() for key, tensor in tensors}, path)
