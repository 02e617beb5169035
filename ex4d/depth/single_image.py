"""Single-image models through transformers: Depth Anything V2 and Depth Pro, loaded from local folders.

Each frame is estimated alone, so the result flickers; :mod:`ex4d.depth.steady` mends that. Preprocessing follows each
folder's ``preprocessor_config.json`` and is done here in torch, so that the result does not depend on which image
library transformers finds.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import numpy as np

from ex4d.depth.base import DepthEstimate, MemoryEstimate
from ex4d.depth.estimator import DepthEstimator, EstimateRun
from ex4d.depth.fallback import on_the_cpu
from ex4d.depth.models import (
    Device,
    Dtype,
    ModelDir,
    ModelTooLargeError,
    larger_memory,
    loading,
    memory_guard,
    model_folder,
    pick_device,
    pick_dtype,
    require_extra,
    require_model,
    require_parts,
)
from ex4d.progress import reported
from ex4d.settings import About, settings_of
from ex4d.weights.catalogue import fetch_remedy
from ex4d_ground import stages
from ex4d_ground.arrays import Float32, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.descriptions import EstimatorInfo, Meaning
from ex4d_ground.errors import EngineError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

MODULES = ("torch", "transformers", "safetensors")


@dataclass(frozen=True)
class DepthProSettings:
    """Depth Pro's settings, which every single-image model has."""

    model_dir: ModelDir = ""
    device: Device = "auto"
    dtype: Dtype = "auto"


@dataclass(frozen=True)
class DepthAnythingSettings:
    """Depth Anything V2's settings, in the order people see them."""

    model: Annotated[
        Literal["small", "base", "large"],
        About("small is Apache-2.0; base and large are CC BY-NC 4.0, not for commercial work"),
    ] = "small"
    model_input: Annotated[int, About("Shorter side the model sees, in pixels", 28, 2072)] = 518
    model_dir: ModelDir = ""
    device: Device = "auto"
    dtype: Dtype = "auto"


S = TypeVar("S", DepthProSettings, DepthAnythingSettings)


@dataclass
class _Loaded(Generic[S]):
    """A model on its device and how its folder wants frames prepared."""

    model: Any
    processor: dict[str, Any]
    folder: Path
    settings: S


class _SingleImage(DepthEstimator[S]):
    """What the single-image estimators share: loading, the loop over frames, resizing, checks."""

    @abstractmethod
    def repository(self, settings: S) -> str:
        """The published repository (transformers' edition) that the settings choose."""

    @abstractmethod
    def _parameters(self, settings: S) -> float: ...

    @abstractmethod
    def _model_class(self) -> Any: ...

    @abstractmethod
    def _prepare(self, loaded: _Loaded[S], pixels: Tensor) -> Tensor: ...

    @abstractmethod
    def _read(self, output: Any, width: int) -> tuple[Tensor, float | None]:
        """One frame's values [h, w] and, if the model knows it, the focal length for ``width`` pixels."""

    @abstractmethod
    def _meaning(self, model: Any) -> tuple[Meaning, bool]:
        """What the loaded model's values mean, and whether disparity 0 is infinity."""

    def require(self) -> None:
        """Raise if packages, or the weights of the model that is used unless another is chosen, are missing."""
        repository = self.repository(self.settings_type())
        require_parts(
            f"The {self.about.name} estimator", MODULES, ((model_folder("", repository), "config.json", repository),)
        )

    def _estimate(self, run: EstimateRun, settings: S) -> DepthEstimate:
        """Estimate every frame alone. The seed has no effect: nothing here is random."""
        name = self.about.name
        require_extra(f"The {name} estimator", *MODULES)
        import torch

        device = pick_device(settings.device)
        out = run.values()
        focals: list[float] = []
        remedy = f"use a smaller model, or {larger_memory(device)}"
        with memory_guard(f"The model of {name}", remedy, kind=ModelTooLargeError):
            loaded = self._load(settings, device)
        with memory_guard(name, remedy), torch.inference_mode():
            for index, frame in enumerate(reported(run.frames, stages.DEPTH_ESTIMATE, run.shape[0], **run.watch)):
                out[index], focal = self._frame(loaded, frame)
                if not np.isfinite(out[index]).all():
                    raise EngineError(
                        f"{name} produced NaN in frame {index + 1}; use dtype float32, or fetch the weights again."
                    )
                focals += [] if focal is None else [focal]
        meaning, zero = self._meaning(loaded.model)
        lens, notes = _median_lens(focals, run.shape, name)
        details = {"model": loaded.folder.name, "device": device.type}
        return DepthEstimate(out, meaning, lens, zero, notes, details=details)

    def _smaller(self, settings: S, num_frames: int, weights_alone: bool) -> tuple[S, str] | None:
        """The CPU: frames are estimated one at a time already."""
        return on_the_cpu(settings)

    def _memory(self, height: int, width: int, settings: S) -> MemoryEstimate:
        """Weights plus one frame's activations, whatever the clip's length."""
        size = 4 if settings.dtype == "float32" or settings.device == "cpu" else 2
        return MemoryEstimate(int(self._parameters(settings) * size * 2 + 2**28), height * width * 64)

    def _load(self, settings: S, device: Any) -> _Loaded[S]:
        repository = self.repository(settings)
        folder = model_folder(settings.model_dir, repository)
        require_model(folder, repository, files=("config.json", "preprocessor_config.json"))
        with loading(f"The model {repository}", folder, repository):
            kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
            expected = self._model_class().config_class.model_type
            if kind != expected:
                text = f"{folder} holds a model of type {kind!r}, {self.about.name} needs {expected!r}."
                raise WeightsError(text, remedy=fetch_remedy((repository, folder)))
            processor = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
            dtype = pick_dtype(settings.dtype, device)
            model, loading_info = self._model_class().from_pretrained(
                folder, dtype=dtype, local_files_only=True, output_loading_info=True
            )
        lacking = sorted(loading_info["missing_keys"])
        if lacking:
            text = f"The weights in {folder} lack {len(lacking)} tensors, such as {lacking[0]}."
            raise WeightsError(text, remedy=fetch_remedy((repository, folder)))
        return _Loaded(model.to(device).eval(), processor, folder, settings)

    def _frame(self, loaded: _Loaded[S], frame: UInt8) -> tuple[Float32, float | None]:
        import torch

        height, width = frame.shape[:2]
        parameter = next(loaded.model.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].to(parameter.device).float()
        prepared = self._prepare(loaded, pixels).to(parameter.dtype)
        value, focal = self._read(loaded.model(pixel_values=prepared), width)
        full = torch.nn.functional.interpolate(value[None, None].float(), size=(height, width), mode="bilinear")
        return self._final(full[0, 0]).cpu().numpy(), focal

    def _final(self, values: Tensor) -> Tensor:  # [H, W]
        """Values in the units of the meaning, from what was brought to the frame's size."""
        return values


class DepthAnythingV2(_SingleImage[DepthAnythingSettings]):
    """Depth Anything V2: fast, sharp, scale-free; the small model is Apache-2.0 and the default."""

    settings_type = DepthAnythingSettings
    about = EstimatorInfo(
        name="depth-anything-v2",
        title="Depth Anything V2",
        meaning="disparity",
        licence="Apache-2.0 (small); base and large are CC BY-NC 4.0",
        zero_is_infinity=True,
        settings=settings_of(DepthAnythingSettings),
        research_only_with=("model=base", "model=large"),
    )

    def repository(self, settings: DepthAnythingSettings) -> str:
        """That of the chosen size."""
        return f"depth-anything/Depth-Anything-V2-{settings.model.title()}-hf"

    def _estimate(self, run: EstimateRun, settings: DepthAnythingSettings) -> DepthEstimate:
        """As the others; notes a licence that forbids commercial use."""
        result = super()._estimate(run, settings)
        if not self.about.restricts(asdict(settings)):
            return result
        note = f"The {settings.model} model's licence is CC BY-NC 4.0: not for commercial work."
        return replace(result, notes=(*result.notes, note), details=result.details | {"research_only": True})

    def _parameters(self, settings: DepthAnythingSettings) -> float:
        return {"small": 24.8e6, "base": 97.5e6, "large": 335.3e6}[settings.model]

    def _model_class(self) -> Any:
        from transformers import DepthAnythingForDepthEstimation

        return DepthAnythingForDepthEstimation

    def _prepare(self, loaded: _Loaded[DepthAnythingSettings], pixels: Tensor) -> Tensor:
        import torch

        height, width = pixels.shape[2:]
        multiple = int(loaded.processor.get("ensure_multiple_of") or loaded.model.config.patch_size)
        scale = loaded.settings.model_input / min(height, width)
        size = tuple(max(multiple, round(side * scale / multiple) * multiple) for side in (height, width))
        resized = torch.nn.functional.interpolate(pixels, size=size, mode="bicubic", antialias=True).clamp(0, 255)
        return _normalised(resized, loaded.processor)

    def _read(self, output: Any, width: int) -> tuple[Tensor, float | None]:
        return output.predicted_depth[0], None

    def _meaning(self, model: Any) -> tuple[Meaning, bool]:
        metric = model.config.depth_estimation_type == "metric"
        return ("metric", False) if metric else ("disparity", True)


class DepthPro(_SingleImage[DepthProSettings]):
    """Depth Pro: sharp metric depth and a focal length from a single image. Research only."""

    settings_type = DepthProSettings
    about = EstimatorInfo(
        name="depth-pro",
        title="Depth Pro (also estimates the lens)",
        meaning="metric",
        licence="Apple machine learning research model licence",
        research_only=True,
        gives_intrinsics=True,
        settings=settings_of(DepthProSettings),
    )

    def repository(self, settings: DepthProSettings) -> str:
        """The same for all settings."""
        return "apple/DepthPro-hf"

    def _parameters(self, settings: DepthProSettings) -> float:
        return 952e6

    def _model_class(self) -> Any:
        from transformers import DepthProForDepthEstimation

        return DepthProForDepthEstimation

    def _prepare(self, loaded: _Loaded[DepthProSettings], pixels: Tensor) -> Tensor:
        import torch

        size = loaded.processor["size"]
        normal = _normalised(pixels, loaded.processor)
        # normalised first and without antialiasing, as the model was published
        return torch.nn.functional.interpolate(normal, size=(size["height"], size["width"]), mode="bilinear")

    def _read(self, output: Any, width: int) -> tuple[Tensor, float | None]:
        inverse, focal = output.predicted_depth[0].float(), None
        if output.field_of_view is not None:
            # the network gives inverse depth for an image one focal length wide
            fov = float(output.field_of_view.reshape(-1)[0])
            focal = 0.5 * width / math.tan(0.5 * math.radians(min(max(fov, 1.0), 170.0)))
            inverse = inverse * width / focal
        return inverse, focal

    def _final(self, values: Tensor) -> Tensor:  # [H, W]
        """Depth from inverse depth; inverted after resizing, as published: edges stay sharper."""
        return 1.0 / values.clamp(1e-4, 1e4)

    def _meaning(self, model: Any) -> tuple[Meaning, bool]:
        return ("metric" if model.config.use_fov_model else "scale-free"), False


def _normalised(pixels: Tensor, processor: dict[str, Any]) -> Tensor:  # [1, 3, h, w] in 0..255
    mean, std = (pixels.new_tensor(processor[key]).view(1, 3, 1, 1) for key in ("image_mean", "image_std"))
    return (pixels * float(processor.get("rescale_factor", 1 / 255)) - mean) / std


def _median_lens(
    focals: list[float], shape: tuple[int, int, int], name: str
) -> tuple[Intrinsics | None, tuple[str, ...]]:
    """One lens for the clip: the median of its frames' estimates, with a note if they disagree."""
    if not focals:
        return None, ()
    middle = float(np.median(focals))
    spread = float(np.percentile(np.abs(np.array(focals) / middle - 1), 90))
    note = f"The focal length estimates of the frames differ by up to {spread:.0%}; a zoom is not followed."
    lens = Intrinsics.from_focal(shape[2], shape[1], middle, f"estimated by {name}")
    return lens, (note,) if spread > 0.1 else ()
