"""Reading tensors from weight files one at a time, whatever the file's kind, without running anything from it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ex4d.weights.mapping import Op
from ex4d_ground.errors import WeightsError
from ex4d_ground.parsing import parse_json
from ex4d_ground.remedies import Remedy, fetch_weights

if TYPE_CHECKING:
    from torch import Tensor


class TensorFiles:
    """Named tensors spread over safetensors shards or torch pickles; data is read only when asked for.

    Raises WeightsError if a file is missing, truncated, or no weights file.
    """

    def __init__(self, paths: Sequence[Path], *, remedy: Remedy = fetch_weights()):
        self.paths = list(paths)
        self._remedy = remedy
        self._where: dict[str, Path] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._pickles: dict[Path, dict[str, Tensor]] = {}
        self._handles: dict[Path, Any] = {}
        for path in self.paths:
            self._index(path)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's name and shape."""
        return self._shapes

    @property
    def what(self) -> str:
        """The files, for messages."""
        return self.paths[0].name if len(self.paths) == 1 else f"{self.paths[0].parent.name}/ ({len(self.paths)} files)"

    def get(self, name: str) -> Tensor:
        """The tensor on the CPU, in its stored dtype."""
        path = self._where[name]
        if path in self._pickles:
            return self._pickles[path][name]
        try:
            return self._handles[path].get_tensor(name)
        except Exception as error:
            raise self._broken(path, error) from error

    def metadata(self, path: Path) -> dict[str, str]:
        """What the header of one of the files says besides its tensors; empty for torch pickles."""
        handle = self._handles.get(path)
        return dict((handle.metadata() if handle else None) or {})

    def close(self) -> None:
        """Let go of the files and of what was read."""
        self._pickles.clear()
        self._handles.clear()

    def _index(self, path: Path) -> None:
        if not path.is_file():
            raise WeightsError(f"Weights file {path} is missing.", remedy=self._remedy)
        refuse_pointer(path, self._remedy)
        if path.suffix == ".safetensors":
            shapes = self._open_safetensors(path)
        else:
            state = load_pickle(path, remedy=self._remedy)
            self._pickles[path] = state
            shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        twice = sorted(set(shapes) & set(self._where))
        if twice:
            raise WeightsError(
                f"{twice[0]} is in both {self._where[twice[0]].name} and {path.name}; remove one of them."
            )
        self._shapes.update(shapes)
        self._where.update(dict.fromkeys(shapes, path))

    def _open_safetensors(self, path: Path) -> dict[str, tuple[int, ...]]:
        from safetensors import safe_open

        try:
            handle = safe_open(str(path), framework="pt", device="cpu")
            self._handles[path] = handle
            return {name: tuple(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118
        except Exception as error:
            raise self._broken(path, error) from error

    def _broken(self, path: Path, error: Exception) -> WeightsError:
        size = path.stat().st_size if path.exists() else 0
        text = f"{path.name} ({size} bytes) is truncated or no weights file ({error})."
        return WeightsError(text, remedy=self._remedy)


_POINTER = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path, remedy: Remedy | None = None) -> None:
    """Raise WeightsError if ``path`` is what git leaves in a large file's place until git-lfs has fetched it."""
    with path.open("rb") as file:
        head = file.read(1024)
    if not head.startswith(_POINTER):
        return
    size = re.search(rb"^size (\d+)\s*$", head, re.MULTILINE)
    of = f" of {int(size[1]):,} bytes" if size else ""
    text = (
        f"{path.name} is a Git LFS pointer, not the file{of} that it stands for; run git lfs pull where it came from."
    )
    raise WeightsError(text, remedy=remedy)


def load_pickle(path: Path, *, remedy: Remedy = fetch_weights()) -> dict[str, Tensor]:
    """A torch checkpoint's tensors by name, memory-mapped where the format allows; no code in it is run."""
    import torch

    refuse_pointer(path, remedy)
    try:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        size = path.stat().st_size
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        text = f"{path.name} ({size} bytes) is truncated or no weights file ({reason})."
        raise WeightsError(text, remedy=remedy) from error
    for wrapper in ("model_state", "state_dict"):
        if isinstance(state, dict) and set(state) == {wrapper}:
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(f"{path.name} holds no plain table of tensors.", remedy=remedy)
    return state


def apply_op(tensor: Tensor, op: Op) -> Tensor:
    """What a mapping rule says is done to a tensor."""
    if op == "copy":
        return tensor
    if op == "row":
        return tensor.reshape(-1)
    if op == "drop_first":
        return tensor[0]
    return tensor.chunk(3, dim=0)[int(op[-1])]


def shard_paths(folder: Path, stem: str, *, remedy: Remedy = fetch_weights()) -> list[Path]:
    """``stem.safetensors``, or the shards named by its index or by ``stem-00001-of-0000N``; all must exist.

    Raises WeightsError naming the first missing shard.
    """
    single = folder / f"{stem}.safetensors"
    if single.is_file():
        return [single]
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(parse_json(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise WeightsError(f"{index} is no shard index ({error}).", remedy=remedy) from error
        return _existing([folder / name for name in names], remedy)
    shards = sorted(folder.glob(f"{stem}-*-of-*.safetensors"))
    if not shards:
        raise WeightsError(f"{single} is missing.", remedy=remedy)
    total = int(shards[0].stem.rsplit("-of-", 1)[1])
    return _existing([folder / f"{stem}-{i:05d}-of-{total:05d}.safetensors" for i in range(1, total + 1)], remedy)


def _existing(paths: Iterable[Path], remedy: Remedy) -> list[Path]:
    paths = list(paths)
    for path in paths:
        if not path.is_file():
            raise WeightsError(f"Weights file {path} is missing.", remedy=remedy)
    return paths
