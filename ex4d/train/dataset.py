"""A prepared data set: a manifest, and shards that hold what the model is trained on, encoded once.

``manifest.json`` says what everything was made of; ``shards/*.safetensors`` hold the samples' tensors as ``ID/NAME``
(float16): ``latents`` and ``image`` [16, T, h, w], ``clip_fea`` [257, n], and for each mask ``K/colour``, ``K/mask``
[16, T, h, w] and ``K/hidden`` [T, h, w]. ``prompts.safetensors`` holds the prompt's embedding and the empty one's.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ex4d.train.config import MaskKind
from ex4d_ground.errors import InputError, in_brief
from ex4d_ground.files import atomic_path

if TYPE_CHECKING:
    from torch import Tensor

    from ex4d.train.model import Batch

MANIFEST, SHARDS, PROMPTS = "manifest.json", "shards", "prompts.safetensors"
FORMAT = 1


class DatasetError(InputError):
    """A data set is missing, damaged, or has nothing to train on."""

    code = "bad_dataset"


class MaskInfo(msgspec.Struct, frozen=True):
    """One simulated mask of a sample."""

    kind: MaskKind
    seed: int
    hidden: float
    """Share of the pixels that it hides."""
    about: str = ""
    """How it came about, for people."""


class SampleInfo(msgspec.Struct, frozen=True):
    """One piece of a clip, ready to train on."""

    id: str
    clip: str
    """Its file, relative to the folder that was prepared."""
    first: int
    """Its first frame there."""
    frames: int
    height: int
    width: int
    masks: list[MaskInfo]
    held_out: bool = False

    @property
    def bucket(self) -> tuple[int, int, int]:
        """Samples of one bucket may stand in one batch."""
        return self.frames, self.height, self.width


class Rejected(msgspec.Struct, frozen=True):
    """Something that was found and not taken, and why."""

    clip: str
    reason: str


class ShardInfo(msgspec.Struct, frozen=True):
    """One file of samples."""

    name: str
    sha256: str
    samples: list[SampleInfo]
    rejected: list[Rejected] = []


class Manifest(msgspec.Struct, frozen=True):
    """What a data set is made of."""

    format: int
    settings: dict[str, str]
    """How it was prepared; another value makes another data set."""
    versions: dict[str, str]
    shards: list[ShardInfo]
    rejected: list[Rejected] = []
    prompt: str = ""

    def write(self, folder: Path) -> None:
        """Into ``folder``, whole or not at all."""
        with atomic_path(folder / MANIFEST) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises DatasetError."""
        path = folder / MANIFEST
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError as error:
            raise DatasetError(f"{folder} holds no data set (no {MANIFEST}); ex4d train prepare makes one.") from error
        except (OSError, msgspec.DecodeError) as error:
            raise DatasetError(f"{path} cannot be read ({in_brief(error)}); prepare the data set again.") from error
        if manifest.format != FORMAT:
            raise DatasetError(f"{path} has format {manifest.format}, this program reads {FORMAT}; prepare it again.")
        return manifest


def file_sha256(path: Path) -> str:
    """Of the file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Dataset:
    """Opened for training; tensors are read when they are asked for. Raises DatasetError."""

    def __init__(self, folder: Path, kinds: Sequence[MaskKind] = ("rendering", "tracking"), *, most_open: int = 16):
        self.folder, self.kinds = folder, tuple(kinds)
        self.manifest = Manifest.read(folder)
        self._shard_of = {sample.id: shard.name for shard in self.manifest.shards for sample in shard.samples}
        usable = [s for shard in self.manifest.shards for s in shard.samples if self._masks(s)]
        self.training = [s for s in usable if not s.held_out]
        self.held_out = [s for s in usable if s.held_out]
        self._open: OrderedDict[str, object] = OrderedDict()
        self._most_open = most_open
        self._prompts: dict[str, Tensor] | None = None
        if not self.training:
            raise DatasetError(
                f"{folder} has no sample to train on with {' or '.join(self.kinds)} masks; prepare it with more."
            )

    def _masks(self, sample: SampleInfo) -> list[int]:
        return [i for i, mask in enumerate(sample.masks) if mask.kind in self.kinds]

    def mask_of(self, sample: SampleInfo, number: int) -> int:
        """The index of one of the sample's usable masks; any ``number`` will do."""
        masks = self._masks(sample)
        return masks[number % len(masks)]

    def tensors(self, sample: SampleInfo, mask: int) -> dict[str, Tensor]:
        """``latents``, ``image``, ``clip_fea``, ``colour``, ``mask`` and ``hidden``. Raises DatasetError if damaged."""
        shared = {name: f"{sample.id}/{name}" for name in ("latents", "image", "clip_fea")}
        own = {name: f"{sample.id}/{mask}/{name}" for name in ("colour", "mask", "hidden")}
        return {name: self._read(self._shard_of[sample.id], key) for name, key in (shared | own).items()}

    def prompts(self) -> dict[str, Tensor]:
        """``prompt`` and ``empty``, each [512, text channels]."""
        if self._prompts is None:
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                self._prompts = load_file(self.folder / PROMPTS)
            except (OSError, SafetensorError) as error:
                raise DatasetError(
                    f"{self.folder / PROMPTS} cannot be read ({in_brief(error)}); prepare it again."
                ) from error
        return self._prompts

    def batch(self, picks: Sequence[tuple[SampleInfo, int]], drop_prompt: Sequence[bool]) -> Batch:
        """Samples with their masks as one batch on the CPU."""
        import torch

        from ex4d.engines.wan.conditioning import image_condition
        from ex4d.train.model import Batch

        found = [self.tensors(sample, mask) for sample, mask in picks]
        prompts = self.prompts()
        context = torch.stack([prompts["empty" if drop else "prompt"] for drop in drop_prompt])
        stacked = {name: torch.stack([each[name] for each in found]).float() for name in found[0]}
        return Batch(
            latents=stacked["latents"],
            image=image_condition(stacked["image"]),
            colour=stacked["colour"],
            mask=stacked["mask"],
            clip_fea=stacked["clip_fea"],
            context=context.float(),
            hidden=stacked["hidden"],
        )

    def _read(self, shard: str, key: str) -> Tensor:
        from safetensors import SafetensorError, safe_open

        path = self.folder / SHARDS / shard
        try:
            if shard not in self._open:
                self._open[shard] = safe_open(str(path), framework="pt")
                while len(self._open) > self._most_open:
                    self._open.popitem(last=False)
            self._open.move_to_end(shard)
            return self._open[shard].get_tensor(key)  # type: ignore[attr-defined]
        except (OSError, SafetensorError) as error:
            raise DatasetError(
                f"{path} is damaged or missing ({in_brief(error)}); prepare the data set again, which makes this shard "
                "anew."
            ) from error
