"""Building the model's parts from their files, strictly and with little memory.

Modules are made without storage and get their tensors one by one, straight into the wanted dtype and device: the peak
is the finished part plus one tensor, so the 14B transformer loads on machines that could not hold it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ex4d.progress import Watch, reported
from ex4d.weights import configs
from ex4d.weights.layout import Part, WanWeights
from ex4d.weights.mapping import (
    IMAGE_ENCODER,
    TEXT_ENCODER,
    TRANSFORMER,
    Op,
    Rule,
    Target,
    map_keys,
    name_some,
    vae_rules,
)
from ex4d.weights.tensors import TensorFiles, apply_op, shard_paths
from ex4d_ground.errors import MissingExtraError, WeightsError
from ex4d_ground.parsing import parse_json
from ex4d_ground.remedies import fetch_weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Prepare = Callable[[Any], None]
"""Called with the empty module before anything is stored; may replace layers."""
Store = Callable[[Any, str, "Tensor"], None]
"""Called with (module, name, tensor): fuses, casts, places and stores one tensor."""


@dataclass(frozen=True)
class PartFiles:
    """An opened part: its files, its configuration, and where each of the model's tensors comes from."""

    part: Part
    files: TensorFiles
    config: dict[str, Any]
    sources: Mapping[str, tuple[str, Op]]  # target name -> (key in the files, what is done to it)
    shapes: dict[str, tuple[int, ...]]  # target name -> shape

    def get(self, name: str) -> Tensor:
        """The tensor for target ``name``, on the CPU in its stored dtype."""
        key, op = self.sources[name]
        return apply_op(self.files.get(key), op)


RULES: Mapping[Part, Sequence[Rule]] = {
    "transformer": TRANSFORMER,
    "vae": vae_rules(),
    "text_encoder": TEXT_ENCODER,
    "image_encoder": IMAGE_ENCODER,
}
_CONFIGS: Mapping[Part, Callable[..., dict[str, Any]]] = {
    "transformer": configs.transformer_config,
    "vae": configs.vae_config,
    "text_encoder": configs.text_encoder_config,
    "image_encoder": configs.image_encoder_config,
}


def open_part(weights: WanWeights, part: Part) -> PartFiles:
    """Open one part in either layout. Raises WeightsError for missing, truncated, or unknown content."""
    path = weights.path_of(part)
    if weights.layout_of(part) == "diffusers":
        return _open_diffusers(path, part)
    if path.is_dir():
        files = TensorFiles(shard_paths(path, "diffusion_pytorch_model", remedy=fetch_weights("wan")))
    else:
        files = TensorFiles([path], remedy=fetch_weights("wan"))
    return open_original(files, part, configs.hints_beside(path if path.is_dir() else path.parent))


def open_original(files: TensorFiles, part: Part, hints: Mapping[str, Mapping[str, Any]]) -> PartFiles:
    """A part whose tensors carry the original Wan names; ``hints`` are settings that shapes do not show."""
    sources = map_keys(RULES[part], files.shapes, what=files.what)
    shapes = {name: Target("", op).shape(files.shapes[key]) for name, (key, op) in sources.items()}
    config = _CONFIGS[part](shapes, hints.get(part, {}), files.what)
    return PartFiles(part, files, config, sources, shapes)


def _open_diffusers(folder: Path, part: Part) -> PartFiles:
    stem = "diffusion_pytorch_model" if part in ("transformer", "vae") else "model"
    files = TensorFiles(shard_paths(folder, stem, remedy=fetch_weights("wan")))
    try:
        config = parse_json((folder / "config.json").read_text())
    except ValueError as error:
        text = f"{folder}/config.json is not valid JSON ({error})."
        raise WeightsError(text, remedy=fetch_weights("wan")) from error
    # transformers' CLIP vision model was once nested in "vision_model"; T5's two names for one embedding are one here.
    names = {name.removeprefix("vision_model."): name for name in files.shapes}
    if part == "text_encoder" and "encoder.embed_tokens.weight" in names:
        tied = names.pop("encoder.embed_tokens.weight")
        names.setdefault("shared.weight", tied)
    if part == "image_encoder":
        names.pop("embeddings.position_ids", None)
        names.pop("visual_projection.weight", None)
    sources: dict[str, tuple[str, Op]] = {name: (key, "copy") for name, key in names.items()}
    shapes = {name: files.shapes[key] for name, key in names.items()}
    return PartFiles(part, files, config, sources, shapes)


def build_empty(part: Part, config: Mapping[str, Any]) -> Any:
    """The part's module with its configuration and no storage for parameters. Raises MissingExtraError."""
    try:
        import transformers
        from accelerate import init_empty_weights
        from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
        from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
    except ImportError as error:
        raise MissingExtraError("The wan engine", "wan") from error
    with init_empty_weights(include_buffers=False):
        if part == "transformer":
            return WanTransformer3DModel.from_config(dict(config))
        if part == "vae":
            return AutoencoderKLWan.from_config(dict(config))
        if part == "text_encoder":
            return transformers.UMT5EncoderModel(transformers.UMT5Config(**_plain(config)))
        return transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**_plain(config)))


def check_part(source: PartFiles) -> None:
    """Raise WeightsError naming keys that are unknown, missing or of the wrong shape; nothing is read."""
    check_keys(source.shapes, _wanted(source.part, build_empty(source.part, source.config)), what=source.files.what)


def _wanted(part: Part, model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The parameters that files must hold for the part's ``model``."""
    wanted = _parameter_shapes(model)
    if part == "text_encoder":
        wanted.pop("encoder.embed_tokens.weight", None)  # tied to shared.weight
    return wanted


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("architectures", "model_type", "torch_dtype")}


def load_part(
    source: PartFiles,
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    prepare: Prepare | None = None,
    store: Store | None = None,
    **watch: Unpack[Watch],
) -> Any:
    """The part as an eval-mode module without gradients. ``store`` replaces the plain cast to dtype and device.

    Raises WeightsError naming keys that are unknown, missing or of the wrong shape; nothing is loaded then.
    """
    model = build_empty(source.part, source.config)
    check_keys(source.shapes, _wanted(source.part, model), what=source.files.what)
    if prepare is not None:
        prepare(model)
    prefix = _module_prefix(model)
    names = sorted(source.sources, key=lambda name: source.sources[name][0])
    for name in reported(names, f"loading {source.part.replace('_', ' ')}", len(names), **watch):
        tensor = source.get(name)
        if store is not None:
            store(model, prefix + name, tensor)
        else:
            set_parameter(model, prefix + name, _cast(tensor, dtype, device))
    if source.part == "text_encoder":
        model.encoder.embed_tokens.weight = model.shared.weight
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
    return model.eval().requires_grad_(False)


def _cast(tensor: Tensor, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    # The copy ends the tensor's tie to the memory-mapped file.
    return tensor.to(device=device, dtype=dtype, copy=True) if tensor.is_floating_point() else tensor.to(device)


def _module_prefix(model: nn.Module) -> str:
    """transformers nested the CLIP vision model one level deeper before version 5."""
    return "vision_model." if hasattr(model, "vision_model") else ""


def _parameter_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    prefix = _module_prefix(model)
    return {name.removeprefix(prefix): tuple(p.shape) for name, p in model.named_parameters()}


def check_keys(actual: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], *, what: str) -> None:
    """Raise WeightsError unless both hold the same names with the same shapes."""
    unknown = sorted(set(actual) - set(wanted))
    if unknown:
        raise WeightsError(f"{what} holds {name_some(unknown)} unknown to this model; it is for another one.")
    missing = sorted(set(wanted) - set(actual))
    if missing:
        raise WeightsError(f"{what} lacks {name_some(missing)}; it is truncated or for another model.")
    wrong = [f"{n} is {list(actual[n])}, not {list(wanted[n])}" for n in sorted(wanted) if actual[n] != wanted[n]]
    if wrong:
        raise WeightsError(f"{what} has wrong shapes for {name_some(wrong)}; it is for another model.")


def set_parameter(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Put ``tensor`` in the place of parameter ``name``, storage and all."""
    from torch import nn

    owner_name, _, leaf = name.rpartition(".")
    owner = model.get_submodule(owner_name)
    owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
