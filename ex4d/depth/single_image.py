"""Single-image models through transformers: Depth Anything V2 and Depth Pro, loaded from local folders.

Each frame is estimated alone, so the result flickers; :mod:`ex4d.depth.steady` mends that. Preprocessing follows each
folder's ``preprocessor_config.json`` and is done here in torch, so that the result does not depend on which image
library transformers finds.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ex4d.depth.base import DepthEstimate, EstimatorInfo, FrameSource, Meaning, MemoryEstimate, Smaller
from ex4d.depth.fallback import on_the_cpu
from ex4d.depth.models import (
    DEVICE,
    DTYPE,
    ModelTooLargeError,
    larger_memory,
    loading,
    memory_guard,
    missing_parts,
    model_folder,
    pick_device,
    pick_dtype,
    require_extra,
    require_model,
)  # fmt: skip
from ex4d.depth.store import new_values
from ex4d.errors import EngineError, WeightsError
from ex4d.generate.base import Setting
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.types import Float32, Intrinsics, UInt8
from ex4d.weights.catalogue import fetch_command

if TYPE_CHECKING:
    from torch import Tensor

MODULES = ("torch", "transformers", "safetensors")
MODEL_DIR = Setting("model_dir", "str", "", "Folder of the model; empty: the weights folder")


@dataclass
class _Loaded:
    """A model on its device and how its folder wants frames prepared."""

    model: Any
    processor: dict[str, Any]
    folder: Path


class _SingleImage(ABC):
    """What the single-image estimators share: loading, the loop over frames, resizing, checks."""

    name: str
    parameters: float

    @abstractmethod
    def info(self) -> EstimatorInfo:
        """See :class:`~ex4d.depth.base.DepthEstimator`."""

    @abstractmethod
    def repository(self, values: Mapping[str, Any]) -> str:
        """The published repository that the settings choose."""

    @abstractmethod
    def _model_class(self) -> Any: ...

    @abstractmethod
    def _prepare(self, loaded: _Loaded, pixels: Tensor) -> Tensor: ...

    @abstractmethod
    def _read(self, loaded: _Loaded, output: Any, width: int) -> tuple[Tensor, float | None]:
        """One frame's values [h, w] and, if the model knows it, the focal length for ``width`` pixels."""

    @abstractmethod
    def _meaning(self, loaded: _Loaded) -> tuple[Meaning, bool]:
        """What the loaded model's values mean, and whether disparity 0 is infinity."""

    def estimate(
        self,
        frames: FrameSource,
        *,
        out: Float32 | None = None,  # [T, H, W]
        settings: Mapping[str, Any] | None = None,
        seed: int = 42,
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
    ) -> DepthEstimate:
        """Estimate every frame alone. ``seed`` has no effect: nothing here is random."""
        values = self.info().validated(settings or {})
        require_extra(f"The {self.name} estimator", *MODULES)
        import torch

        device = pick_device(values["device"])
        shape = (frames.num_frames, frames.height, frames.width)
        out = new_values(shape) if out is None else out
        focals: list[float] = []
        remedy = f"use a smaller model, or {larger_memory(device)}"
        with memory_guard(f"The model of {self.name}", remedy, kind=ModelTooLargeError):
            loaded = self._load(values, device)
        with memory_guard(self.name, remedy), torch.inference_mode():
            for index, frame in enumerate(frames):
                check(cancel)
                value, focal = self._frame(loaded, frame)
                if not np.isfinite(value).all():
                    raise EngineError(
                        f"{self.name} produced NaN in frame {index}; use dtype float32, or fetch the weights again."
                    )
                out[index] = value
                focals += [] if focal is None else [focal]
                report(on_progress, "depth: estimate", index + 1, shape[0])
        meaning, zero = self._meaning(loaded)
        lens, notes = _median_lens(focals, shape, self.name)
        details = {"model": loaded.folder.name, "device": device.type}
        return DepthEstimate(out, meaning, lens, zero, notes, details=details)

    def smaller(self, settings: Mapping[str, Any], num_frames: int, *, weights_alone: bool = False) -> Smaller | None:
        """The CPU: frames are estimated one at a time already. See :class:`~ex4d.depth.base.DepthEstimator`."""
        return on_the_cpu(settings)

    def memory(self, height: int, width: int, settings: Mapping[str, Any] | None = None) -> MemoryEstimate:
        """Weights plus one frame's activations, whatever the clip's length."""
        values = self.info().validated(settings or {})
        size = 4 if values["dtype"] == "float32" or values["device"] == "cpu" else 2
        return MemoryEstimate(int(self._parameters(values) * size * 2 + 2**28), height * width * 64)

    def _missing(self, values: Mapping[str, Any]) -> str:
        repository = self.repository(values)
        return missing_parts(MODULES, ((model_folder("", repository), "config.json", repository),))

    def _parameters(self, values: Mapping[str, Any]) -> float:
        return self.parameters

    def _load(self, values: Mapping[str, Any], device: Any) -> _Loaded:
        repository = self.repository(values)
        folder = model_folder(values["model_dir"], repository)
        require_model(folder, repository, files=("config.json", "preprocessor_config.json"))
        with loading(f"The model {repository}", folder, repository):
            kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
            expected = self._model_class().config_class.model_type
            if kind != expected:
                raise WeightsError(
                    f"{folder} holds a model of type {kind!r}, {self.name} needs {expected!r}; "
                    f"run: {fetch_command(repository, folder)}"
                )
            processor = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
            dtype = pick_dtype(values["dtype"], device)
            model, found = self._model_class().from_pretrained(
                folder, dtype=dtype, local_files_only=True, output_loading_info=True
            )
        if found["missing_keys"]:
            raise WeightsError(
                f"The weights in {folder} lack {len(found['missing_keys'])} tensors, such as "
                f"{sorted(found['missing_keys'])[0]}; run: {fetch_command(repository, folder)}"
            )
        return _Loaded(model.to(device).eval(), processor, folder)

    def _frame(self, loaded: _Loaded, frame: UInt8) -> tuple[Float32, float | None]:
        import torch

        height, width = frame.shape[:2]
        parameter = next(loaded.model.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].to(parameter.device).float()
        prepared = self._prepare(loaded, pixels).to(parameter.dtype)
        value, focal = self._read(loaded, loaded.model(pixel_values=prepared), width)
        full = torch.nn.functional.interpolate(value[None, None].float(), size=(height, width), mode="bilinear")
        return self._final(full[0, 0]).cpu().numpy(), focal

    def _final(self, values: Tensor) -> Tensor:  # [H, W]
        """Values in the units of the meaning, from what was brought to the frame's size."""
        return values


class DepthAnythingV2(_SingleImage):
    """Depth Anything V2: fast, sharp, scale-free; the small model is Apache-2.0 and the default."""

    name = "depth-anything-v2"
    _SIZES = {"small": 24.8e6, "base": 97.5e6, "large": 335.3e6}

    def info(self) -> EstimatorInfo:
        """Describe the estimator; works without torch."""
        missing = self._missing({"model": "small"})
        help_text = "small is Apache-2.0; base and large are CC BY-NC 4.0, not for commercial work"
        return EstimatorInfo(
            name=self.name,
            title="Depth Anything V2",
            meaning="disparity",
            licence="Apache-2.0 (small); base and large are CC BY-NC 4.0",
            zero_is_infinity=True,
            settings=(
                Setting("model", "choice", "small", help_text, choices=tuple(self._SIZES)),
                Setting("model_input", "int", 518, "Shorter side the model sees, in pixels", 28, 2072),
                MODEL_DIR,
                DEVICE,
                DTYPE,
            ),
            available=not missing,
            missing=missing,
        )

    def repository(self, values: Mapping[str, Any]) -> str:
        """The transformers edition of the chosen size."""
        return f"depth-anything/Depth-Anything-V2-{values['model'].title()}-hf"

    def estimate(self, frames: FrameSource, **kwargs: Any) -> DepthEstimate:
        """See :class:`~ex4d.depth.base.DepthEstimator`; notes a licence that forbids commercial use."""
        values = self.info().validated(kwargs.get("settings") or {})
        self._shorter_side = values["model_input"]
        result = super().estimate(frames, **kwargs)
        if values["model"] == "small":
            return result
        note = f"The {values['model']} model's licence is CC BY-NC 4.0: not for commercial work."
        return replace(result, notes=(*result.notes, note), details=result.details | {"research_only": True})

    def _parameters(self, values: Mapping[str, Any]) -> float:
        return self._SIZES[values["model"]]

    def _model_class(self) -> Any:
        from transformers import DepthAnythingForDepthEstimation

        return DepthAnythingForDepthEstimation

    def _prepare(self, loaded: _Loaded, pixels: Tensor) -> Tensor:
        import torch

        height, width = pixels.shape[2:]
        multiple = int(loaded.processor.get("ensure_multiple_of") or loaded.model.config.patch_size)
        scale = self._shorter_side / min(height, width)
        size = tuple(max(multiple, round(side * scale / multiple) * multiple) for side in (height, width))
        resized = torch.nn.functional.interpolate(pixels, size=size, mode="bicubic", antialias=True).clamp(0, 255)
        return _normalised(resized, loaded.processor)

    def _read(self, loaded: _Loaded, output: Any, width: int) -> tuple[Tensor, float | None]:
        return output.predicted_depth[0], None

    def _meaning(self, loaded: _Loaded) -> tuple[Meaning, bool]:
        metric = loaded.model.config.depth_estimation_type == "metric"
        return ("metric", False) if metric else ("disparity", True)


class DepthPro(_SingleImage):
    """Depth Pro: sharp metric depth and a focal length from a single image. Research only."""

    name = "depth-pro"
    parameters = 952e6

    def info(self) -> EstimatorInfo:
        """Describe the estimator; works without torch."""
        missing = self._missing({})
        return EstimatorInfo(
            name=self.name,
            title="Depth Pro (also estimates the lens)",
            meaning="metric",
            licence="Apple machine learning research model licence",
            research_only=True,
            gives_intrinsics=True,
            settings=(MODEL_DIR, DEVICE, DTYPE),
            available=not missing,
            missing=missing,
        )

    def repository(self, values: Mapping[str, Any]) -> str:
        """The transformers edition."""
        return "apple/DepthPro-hf"

    def _model_class(self) -> Any:
        from transformers import DepthProForDepthEstimation

        return DepthProForDepthEstimation

    def _prepare(self, loaded: _Loaded, pixels: Tensor) -> Tensor:
        import torch

        size = loaded.processor["size"]
        normal = _normalised(pixels, loaded.processor)
        # normalised first and without antialiasing, as the model was published
        return torch.nn.functional.interpolate(normal, size=(size["height"], size["width"]), mode="bilinear")

    def _read(self, loaded: _Loaded, output: Any, width: int) -> tuple[Tensor, float | None]:
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

    def _meaning(self, loaded: _Loaded) -> tuple[Meaning, bool]:
        return ("metric" if loaded.model.config.use_fov_model else "scale-free"), False


def _normalised(pixels: Tensor, processor: Mapping[str, Any]) -> Tensor:  # [1, 3, h, w] in 0..255
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
