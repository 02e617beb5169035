"""Writing weights in the original layout (DiT shards, T5, CLIP and VAE checkpoints), whatever layout they come in.

The way back is not a second table: every name the original could have is put through the key tables, and what comes
out says which original tensor each of ours belongs to.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ex4d.progress import Watch
from ex4d.weights.components import RULES, PartFiles, open_part
from ex4d.weights.layout import PARTS, PICKLES, Part, WanWeights
from ex4d.weights.mapping import Op, Rule, map_key, name_some
from ex4d.weights.writing import converted, whole_folder, write_json, write_shards
from ex4d_ground.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_GROUP = re.compile(r"\(([^()]*)\)")


def to_original(
    weights: WanWeights,
    target: Path,
    *,
    dtype: torch.dtype | None = None,
    shard_bytes: int = 10 << 30,
    **watch: Unpack[Watch],
) -> None:
    """Write the base model to ``target`` in the original layout, cast to ``dtype`` if one is given.

    Tensors that this model has no use for (the CLIP text tower) are not there. The folder appears only when it is
    complete. Raises WeightsError for bad input, OutputError if it cannot be written, Cancelled.
    """
    with whole_folder(target) as temporary:
        hints: dict[str, dict[str, Any]] = {}
        for part in PARTS:
            source = open_part(weights, part)
            hints[part] = {"num_heads": source.config.get("num_attention_heads", source.config.get("num_heads"))}
            tensors = converted(part, _originals(source), dtype, watch)
            if part == "transformer":
                write_shards(temporary, "diffusion_pytorch_model", tensors, shard_bytes)
            else:
                _write_pickle(temporary / PICKLES[part], tensors)
            source.files.close()
        if weights.tokenizer_path.is_dir():
            shutil.copytree(weights.tokenizer_path, temporary / "google" / "umt5-xxl")
        write_json(temporary / "config.json", {part: hints[part] for part in ("transformer", "image_encoder")})


def original_names(part: Part, names: Sequence[str]) -> dict[str, list[tuple[str, Op]]]:
    """Original key to the (our name, op) it is made of, for all of ``names``.

    Raises WeightsError naming those that the original layout has no place for.
    """
    known, left = set(names), set(names)
    highest = max((int(n) for name in names for n in re.findall(r"\d+", name)), default=0)
    count = max(4 * (highest + 1), 16)  # the original counts the VAE's decoder layers through, four to a level
    originals: dict[str, list[tuple[str, Op]]] = {}
    for rule in RULES[part]:
        if not rule.targets:
            continue
        for key in _spelled_out(rule, count):
            targets = map_key(RULES[part], key) or ()
            if targets and all(target.name in known for target in targets):
                originals[key] = [(target.name, target.op) for target in targets]
                left.difference_update(target.name for target in targets)
    if left:
        raise WeightsError(f"{part} has {name_some(sorted(left))} without a place in the original layout.")
    return originals


def _spelled_out(rule: Rule, count: int) -> Iterator[str]:
    """Every key that ``rule``'s pattern matches, numbers below ``count``."""
    pieces = _GROUP.split(rule.pattern)
    choices = [_alternatives(p, count) if i % 2 else [p.replace("\\", "")] for i, p in enumerate(pieces)]
    for combination in product(*choices):
        yield "".join(combination)


def _alternatives(group: str, count: int) -> list[str]:
    if group == r"\d+":
        return [str(i) for i in range(count)]
    spelled = []
    for choice in group.split("|"):
        letters = re.fullmatch(r"(.*)\[(\w+)\](.*)", choice)
        spelled += [letters[1] + x + letters[3] for x in letters[2]] if letters else [choice.replace("\\", "")]
    return spelled


def _undo(parts: Sequence[tuple[Tensor, Op]]) -> Tensor:
    """The original tensor from what it was turned into."""
    import torch

    tensor, op = parts[0]
    if op == "row":
        return tensor.reshape(1, 1, -1)
    if op == "drop_first":
        return tensor[None]
    return torch.cat([t for t, _ in sorted(parts, key=lambda p: p[1])]) if op.startswith("third") else tensor


def _originals(source: PartFiles) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Every original key with what makes its tensor."""
    for key, targets in sorted(original_names(source.part, list(source.sources)).items()):
        yield key, lambda targets=targets: _undo([(source.get(name), op) for name, op in targets])


def _write_pickle(path: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
    import torch

    torch.save({key: tensor.contiguous().clone() for key, tensor in tensors}, path)
