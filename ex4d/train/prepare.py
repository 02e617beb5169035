"""From a folder of footage to a data set: found, cut, judged, masked and encoded, in shards that can be made anew."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

import cv2
import numpy as np

from ex4d.clip import open_video, read_depth
from ex4d.engines.wan.constants import PROMPT
from ex4d.progress import Watch, check, report
from ex4d.train.dataset import (
    FORMAT,
    MANIFEST,
    PROMPTS,
    SHARDS,
    DatasetError,
    Manifest,
    MaskInfo,
    Rejected,
    SampleInfo,
    ShardInfo,
    file_sha256,
)
from ex4d.train.degrade import degraded
from ex4d.train.footage import depth_beside, find_footage, fitted, nearest_size, pieces, scenes_of, why_not
from ex4d.train.masks import ClipMasks, MaskRecipe, mask_renderer
from ex4d.types import Clip
from ex4d.weights.layout import WanWeights
from ex4d_ground.arrays import Float32, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import ClipError, DepthError, SettingError
from ex4d_ground.files import atomic_path

STAGE = "preparing"
SHARD_SAMPLES = 8


@dataclass(frozen=True)
class PrepareOptions:
    """How a data set is made."""

    masks: int = 4
    """Of each sample."""
    seed: int = 0
    frames: int = 49
    sizes: Sequence[tuple[int, int]] = ((512, 512),)
    """Width and height of samples; each clip takes the one nearest its shape."""
    prompt: str = PROMPT
    estimator: str = ""
    """Of depth, for clips without a file beside them; empty: the usual one."""
    recipe: MaskRecipe = field(default_factory=MaskRecipe)
    degrade: float = 0.0
    """Share of masks whose guides are spoilt."""
    held_out: float = 0.05
    part: tuple[int, int] = (0, 1)
    """Which shards this process makes: every n-th from the i-th on. The last to finish writes the whole manifest."""

    def described(self) -> dict[str, str]:
        """What samples depend on; the part does not count."""
        names = ("masks", "seed", "frames", "prompt", "estimator", "recipe", "degrade", "held_out")
        return {name: str(getattr(self, name)) for name in names} | {"sizes": str([tuple(s) for s in self.sizes])}


@dataclass(frozen=True)
class _Piece:
    """A sample before it is made."""

    clip: Path
    first: int
    size: tuple[int, int]
    id: str
    held_out: bool


def prepare_dataset(
    folder: Path,
    output: Path,
    options: PrepareOptions = PrepareOptions(),
    *,
    weights: Path | WanWeights | None = None,
    cache: Path | None = None,
    **watch: Unpack[Watch],
) -> Manifest:
    """Make or go on with the data set in ``output``.

    Shards that are there and whole are kept; a damaged one is made anew. ``cache`` is where
    prompts' embeddings are kept, by default the user's. Raises DatasetError where nothing is of use
    (with the reasons) or ``output`` holds another data set, SettingError, WeightsError, OutputError, Cancelled.
    """
    if options.frames % 4 != 1:
        raise SettingError(f"A sample has 4n+1 frames, got {options.frames}.")
    if options.estimator:
        _checked_estimator(options.estimator)
    wanted, rejected = _find(folder, options, watch)
    if not wanted:
        raise DatasetError(f"No clip below {folder} can be used: {_reasons(rejected)}.")
    old = Manifest.read(output) if (output / MANIFEST).is_file() else None
    if old is not None and old.settings != options.described():
        name = next(k for k, v in options.described().items() if old.settings.get(k) != v)
        raise DatasetError(
            f"{output} was prepared with {name} = {old.settings.get(name)}, not {options.described()[name]}; "
            "choose another folder, or the same settings."
        )
    files = weights if isinstance(weights, WanWeights) else WanWeights.under(weights)
    encoders = _Encoders(files, cache)
    encoders.write_prompts(output, options.prompt, **watch)
    groups = [wanted[i : i + SHARD_SAMPLES] for i in range(0, len(wanted), SHARD_SAMPLES)]
    known = {shard.name: shard for shard in old.shards} if old else {}
    for number, group in enumerate(groups):
        if number % options.part[1] == options.part[0]:
            _make_shard(output, number, group, options, known, encoders, watch)
        report(watch.get("on_progress"), STAGE, number + 1, len(groups))
    shards = _all_shards(output, len(groups))
    rejected = [*rejected, *(each for shard in shards for each in shard.rejected)]
    if not any(shard.samples for shard in shards):
        raise DatasetError(f"No clip below {folder} can be used: {_reasons(rejected)}.")
    manifest = Manifest(FORMAT, options.described(), _versions(files), shards, rejected, options.prompt)
    manifest.write(output)
    return manifest


def _find(folder: Path, options: PrepareOptions, watch: Watch) -> tuple[list[_Piece], list[Rejected]]:
    """Samples that footage holds, in the order of names, and why the rest is left out."""
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}.")
    wanted: list[_Piece] = []
    rejected: list[Rejected] = []
    found = find_footage(folder)
    if not found:
        raise DatasetError(f"There is no video below {folder}.")
    for clip in found:
        check(watch.get("cancel"))
        name = _name(clip, folder)
        try:
            scenes, changes, height, width = scenes_of(clip, **watch)
        except ClipError as error:
            rejected.append(Rejected(name, str(error)))
            continue
        size = nearest_size(height, width, options.sizes)
        for scene in scenes:
            reason = why_not(scene, changes, (height, width), options.frames, (size[1], size[0]))
            if reason is not None:
                rejected.append(Rejected(name, reason))
                continue
            for first in pieces(scene, options.frames):
                key = hashlib.sha256(f"{name}:{first}:{size}".encode()).hexdigest()[:16]
                wanted.append(_Piece(clip, first, size, key, False))
    return _with_held_out(wanted, options, folder), rejected


def _with_held_out(wanted: list[_Piece], options: PrepareOptions, folder: Path) -> list[_Piece]:
    """Whole clips are held out, by a hash of name and seed, so that more footage does not change the choice."""

    def place(clip: Path) -> str:
        return hashlib.sha256(f"{options.seed}:{_name(clip, folder)}".encode()).hexdigest()

    clips = sorted({piece.clip for piece in wanted}, key=place)
    count = max(1, round(options.held_out * len(clips))) if options.held_out > 0 and len(clips) > 1 else 0
    chosen = set(clips[:count])
    return [_Piece(p.clip, p.first, p.size, p.id, p.clip in chosen) for p in wanted]


def _make_shard(
    output: Path,
    number: int,
    group: Sequence[_Piece],
    options: PrepareOptions,
    known: dict[str, ShardInfo],
    encoders: _Encoders,
    watch: Watch,
) -> None:
    """One shard with its description beside it, unless both are there and whole."""
    import msgspec
    from safetensors.torch import save_file

    name = f"{number:05d}.safetensors"
    path, beside = output / SHARDS / name, output / SHARDS / f"{number:05d}.json"
    ids = {piece.id for piece in group}
    if path.is_file() and beside.is_file():
        info = msgspec.json.decode(beside.read_bytes(), type=ShardInfo)
        same = {sample.id for sample in info.samples} <= ids and file_sha256(path) == info.sha256
        if same and known.get(name, info).sha256 == info.sha256:
            return
    tensors: dict[str, Any] = {}
    samples, rejected = [], []
    for piece in group:
        check(watch.get("cancel"))
        try:
            info, encoded = _make_sample(piece, options, encoders, watch)
        except (ClipError, DepthError) as error:  # the others are of use all the same
            rejected.append(Rejected(piece.clip.name, f"frames from {piece.first + 1} on: {error}"))
            continue
        samples.append(info)
        tensors |= encoded
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    with atomic_path(beside) as temporary:
        temporary.write_bytes(msgspec.json.encode(ShardInfo(name, file_sha256(path), samples, rejected)))


def _make_sample(
    piece: _Piece, options: PrepareOptions, encoders: _Encoders, watch: Watch
) -> tuple[SampleInfo, dict[str, Any]]:
    from ex4d.train.encoding import encode_sample

    clip = _load(piece, options, watch)
    maker = ClipMasks(clip, options.recipe, renderer=mask_renderer(clip), **watch)
    base = int(piece.id[:12], 16)
    masks = [maker.draw((options.seed << 48) + base + i) for i in range(options.masks)]
    frames = np.asarray(clip.frames)
    chance = np.random.default_rng([options.seed, base])
    spoilt = chance.uniform(size=len(masks)) < options.degrade
    colours = [degraded(clip, m.mask, m.seed) if bad else frames for m, bad in zip(masks, spoilt, strict=True)]
    encoded = encode_sample(
        piece.id,
        frames,
        [m.mask for m in masks],
        colours,
        vae=encoders.vae,
        image_encoder=encoders.image_encoder,
        cancel=watch.get("cancel"),
    )
    about = [
        MaskInfo(m.kind, m.seed, round(m.hidden, 4), m.about + ", degraded" * bool(bad))
        for m, bad in zip(masks, spoilt, strict=True)
    ]
    height, width = frames.shape[1:3]
    info = SampleInfo(piece.id, piece.clip.name, piece.first, len(frames), height, width, about, piece.held_out)
    return info, encoded


def _load(piece: _Piece, options: PrepareOptions, watch: Watch) -> Clip:
    """The piece at its size, with depth from the file beside the clip or from the estimator."""
    last = piece.first + options.frames
    with open_video(piece.clip) as (info, pictures):
        frames: UInt8 = np.stack(list(islice(pictures, piece.first, last)))
        fps = info.fps
    beside = depth_beside(piece.clip)
    if beside is not None:
        depth = np.asarray(read_depth(beside)[piece.first : last], np.float32)
        if depth.shape != frames.shape[:3]:
            raise DepthError(
                f"{beside.name} has depth of {depth.shape} for frames of {frames.shape[:3]}; make it for this clip, or "
                "remove it: then it is estimated."
            )
    else:
        depth = _estimated(frames, options, fps, watch)
    colour = fitted(frames, piece.size, cv2.INTER_AREA).astype(np.uint8)
    near = fitted(depth, piece.size, cv2.INTER_NEAREST).astype(np.float32)
    if not np.isfinite(near).all() or float(near.min()) <= 0:
        raise DepthError(
            f"The depth of {piece.clip.name} has values that are no depth (NaN, zero or negative); mend it, or remove "
            "its file: then it is estimated."
        )
    return Clip(colour, near, Intrinsics.from_fov(*piece.size), fps, piece.clip.stem)


def _checked_estimator(name: str) -> None:
    """Raise SettingError for one that there is not, also where every clip has its own depth."""
    from ex4d.depth import get_estimator

    get_estimator(name)


def _estimated(frames: UInt8, options: PrepareOptions, fps: float, watch: Watch) -> Float32:
    from ex4d.depth import DEFAULT_ESTIMATOR, estimate_depth

    estimator = options.estimator or DEFAULT_ESTIMATOR
    return np.asarray(estimate_depth(frames, estimator=estimator, fps=fps, seed=options.seed, **watch).file.depth)


def _all_shards(output: Path, count: int) -> list[ShardInfo]:
    """Every shard that is there with its description; other processes may have made some."""
    import msgspec

    paths = [output / SHARDS / f"{number:05d}.json" for number in range(count)]
    return [msgspec.json.decode(p.read_bytes(), type=ShardInfo) for p in paths if p.is_file()]


def _name(clip: Path, folder: Path) -> str:
    return clip.relative_to(folder).as_posix()


def _reasons(rejected: Sequence[Rejected], limit: int = 5) -> str:
    shown = "; ".join(f"{each.clip}: {each.reason}" for each in rejected[:limit])
    return shown + (f"; and {len(rejected) - limit} more" if len(rejected) > limit else "")


def _versions(files: WanWeights) -> dict[str, str]:
    packages = {name: version(name) for name in ("torch", "diffusers", "numpy", "opencv-python-headless")}
    return packages | {"python": platform.python_version(), "weights": files.base.name}


class _Encoders:
    """The model's encoders, loaded when they are first needed."""

    def __init__(self, weights: WanWeights, cache: Path | None):
        import torch

        self._weights, self._cache = weights, cache
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        self._vae: Any = None
        self._image_encoder: Any = None

    def _load(self, part: Any) -> Any:
        from ex4d.weights.components import load_part, open_part

        source = open_part(self._weights, part)
        try:
            return load_part(source, dtype=self._dtype, device=self._device)
        finally:
            source.files.close()

    @property
    def vae(self) -> Any:
        from ex4d.engines.wan.vae import WanVae

        if self._vae is None:
            self._vae = WanVae(self._load("vae"), device=self._device, dtype=self._dtype)
        return self._vae

    @property
    def image_encoder(self) -> Any:
        if self._image_encoder is None:
            self._image_encoder = self._load("image_encoder")
        return self._image_encoder

    def write_prompts(self, output: Path, prompt: str, **watch: Unpack[Watch]) -> None:
        """Embeddings of the prompt and of the empty one, unless they are there and whole."""
        from safetensors.torch import load_file, save_file

        from ex4d.engines.wan.engine import WanEngine

        path = output / PROMPTS
        if path.is_file():
            try:
                load_file(path)
            except Exception:  # noqa: BLE001 - whatever is wrong with it, it is made anew
                path.unlink()
            else:
                return
        found = WanEngine(self._weights, cache=self._cache).embeddings([prompt, ""], self._device, **watch)
        with atomic_path(path) as temporary:
            tensors = {"prompt": found[0][0], "empty": found[1][0]}
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
