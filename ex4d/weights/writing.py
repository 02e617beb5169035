"""Writing converted weights: a folder that is whole or not there, tensors in shards as the hub's libraries expect."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ex4d.progress import Watch, reported
from ex4d.weights.layout import Part
from ex4d_ground.errors import Ex4dError, OutputError
from ex4d_ground.files import output_error, told_as

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary neighbour that becomes ``target`` when the block ends without an error.

    Raises OutputError if ``target`` exists or cannot be written.
    """
    if target.exists():
        raise OutputError(f"{target} exists already; choose another folder or remove it.")
    temporary = target.with_name(f".{target.name}.incomplete")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        with told_as(temporary, target):
            yield temporary
        temporary.rename(target)
    except OSError as error:
        if isinstance(error, Ex4dError):
            raise
        raise output_error(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def converted(
    part: Part, tensors: Iterable[tuple[str, Callable[[], Tensor]]], dtype: torch.dtype | None, watch: Watch
) -> Iterator[tuple[str, Tensor]]:
    """Each tensor by its new name, read when its turn comes and cast to ``dtype`` if one is given. Raises Cancelled."""
    wanted = list(tensors)
    for name, read in reported(wanted, f"converting {part.replace('_', ' ')}", len(wanted), **watch):
        tensor = read()
        yield name, tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def write_shards(folder: Path, stem: str, tensors: Iterable[tuple[str, Tensor]], shard_bytes: int) -> None:
    """One file keeps the plain name; several are numbered and listed in an index."""
    from safetensors.torch import save_file

    files: list[tuple[Path, list[str]]] = []
    shard: dict[str, Tensor] = {}

    def flush() -> None:
        files.append((folder / f"{stem}.{len(files)}.part", list(shard)))
        save_file(shard, files[-1][0], metadata={"format": "pt"})
        shard.clear()

    size = total = 0
    for name, tensor in tensors:
        nbytes = tensor.numel() * tensor.element_size()
        if shard and size + nbytes > shard_bytes:
            flush()
            size = 0
        shard[name] = tensor.contiguous().clone()
        size, total = size + nbytes, total + nbytes
    flush()
    if len(files) == 1:
        files[0][0].rename(folder / f"{stem}.safetensors")
        return
    where: dict[str, str] = {}
    for index, (file, names) in enumerate(files, start=1):
        numbered = f"{stem}-{index:05d}-of-{len(files):05d}.safetensors"
        file.rename(folder / numbered)
        where.update(dict.fromkeys(names, numbered))
    write_json(folder / f"{stem}.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """As the hub's libraries write it."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
