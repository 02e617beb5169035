"""The ``depthcrafter`` estimator: sizes, streaming, normalisation and its description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ex4d.depth.base import DepthEstimate, EstimatorInfo, FrameSource, MemoryEstimate, Smaller
from ex4d.depth.fallback import on_the_cpu, smaller_window
from ex4d.depth.models import (
    DEVICE,
    DTYPE,
    ModelTooLargeError,
    larger_memory,
    memory_guard,
    missing_parts,
    model_folder,
    pick_device,
    pick_dtype,
    require_extra,
)  # fmt: skip
from ex4d.depth.store import new_values
from ex4d.errors import EngineError, SettingError
from ex4d.generate.base import Setting
from ex4d.progress import CancelToken, OnProgress, check
from ex4d.types import Float32, UInt8

LICENCE = (
    "DepthCrafter: Tencent licence, academic and research use; Stable Video Diffusion: Stability AI community licence"
)
UNET_REPOSITORY = "tencent/DepthCrafter"
BASE_REPOSITORY = "stabilityai/stable-video-diffusion-img2vid-xt"
MODULES = ("torch", "diffusers", "transformers", "safetensors")

SETTINGS = (
    Setting("model_dir", "str", "", "Folder of DepthCrafter's UNet, or of all parts; empty: the weights folder"),
    Setting("base_model_dir", "str", "", "Folder of Stable Video Diffusion's parts; empty: the weights folder"),
    Setting("num_steps", "int", 5, "Denoising steps", 1, 100),
    Setting("guidance_scale", "float", 1.0, "Above 1 the model runs twice a step", 1.0, 10.0),
    Setting("window", "int", 110, "Frames that are denoised together; fewer need less memory", 2, 1000),
    Setting("overlap", "int", 25, "Frames that neighbouring windows share", 1, 500),
    Setting("decode_chunk", "int", 8, "Frames that are decoded together; fewer need less memory", 1, 64),
    Setting("max_side", "int", 1024, "Longest side the model sees, in pixels", 64, 4096),
    DEVICE,
    DTYPE,
)


class DepthCrafter:
    """Video diffusion: the steadiest depth of those offered, at the highest cost. Research only."""

    def info(self) -> EstimatorInfo:
        """Describe the estimator; works without torch."""
        unet, base = model_folder("", UNET_REPOSITORY), model_folder("", BASE_REPOSITORY)
        missing = missing_parts(
            MODULES, ((unet, "config.json", UNET_REPOSITORY), (base, "vae/config.json", BASE_REPOSITORY))
        )
        return EstimatorInfo(
            name="depthcrafter",
            title="DepthCrafter (the estimator EX-4D was made with)",
            meaning="disparity",
            licence=LICENCE,
            research_only=True,
            temporally_steady=True,
            settings=SETTINGS,
            available=not missing,
            missing=missing,
        )

    def memory(self, height: int, width: int, settings: Mapping[str, Any] | None = None) -> MemoryEstimate:
        """Plan from the published model: 2.3 B parameters; activations grow with pixels and window."""
        values = self.info().validated(settings or {})
        h, w = fitted_size(height, width, values["max_side"], 64)
        half = 4 if values["dtype"] == "float32" or values["device"] == "cpu" else 2
        weights = 2.3e9 * half
        # 320 channels of the UNet's widest level, about 12 live copies, on 1/64 of the pixels of every frame
        activations = values["window"] * (h * w / 64) * 320 * 12 * half
        return MemoryEstimate(int(weights + activations), int(values["window"] * h * w / 64 * 8 * 4 + 64 * h * w * 3))

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
        """Relative disparity in 0..1, min-max normalised over the clip: 1 is nearest. See :class:`DepthEstimator`."""
        values = self.info().validated(settings or {})
        require_extra("The depthcrafter estimator", *MODULES)
        from ex4d.depth.depthcrafter.loading import load_components
        from ex4d.depth.depthcrafter.pipeline import Sampler, SamplerOptions

        options = SamplerOptions(
            values["num_steps"], values["guidance_scale"], values["window"], values["overlap"],
            decode_chunk=values["decode_chunk"], seed=seed,
        )  # fmt: skip
        options.plan(frames.num_frames)  # a clip too short is said before any weights are read
        device = pick_device(values["device"])
        unet = model_folder(values["model_dir"], UNET_REPOSITORY)
        base = model_folder(values["base_model_dir"], BASE_REPOSITORY)
        remedy = f"use windows shorter than {options.window} frames (window, overlap) or a smaller max_side"
        remedy += "" if device.type == "cpu" else ", or device cpu"
        shape = (frames.num_frames, frames.height, frames.width)
        out = new_values(shape) if out is None else out
        with memory_guard("DepthCrafter's model", larger_memory(device), kind=ModelTooLargeError):
            parts = load_components(unet, base, dtype=pick_dtype(values["dtype"], device), device=device)
        with memory_guard("DepthCrafter", remedy):
            size = fitted_size(*shape[1:], values["max_side"], parts.size_multiple)
            writer = _Normaliser(out)
            Sampler(parts, options, device=device).run(
                _resized(frames, size), (frames.num_frames, *size), writer.write, on_progress=on_progress, cancel=cancel
            )
        writer.finish(cancel)
        notes = () if size == shape[1:] else (f"The model saw {size[1]}x{size[0]} pixels; depth was scaled back.",)
        details = {
            "model_dir": str(Path(unet).name),
            "size": list(size),
            "windows": options.plan(shape[0]),
            "seed": seed,
        }
        return DepthEstimate(out, "disparity", notes=notes, details=details | _plain(values))

    def smaller(self, settings: Mapping[str, Any], num_frames: int, *, weights_alone: bool = False) -> Smaller | None:
        """Half the window, as often as that makes sense; then the CPU. See :class:`~ex4d.depth.base.DepthEstimator`."""
        halved = None if weights_alone else smaller_window(settings, num_frames)
        if halved is None:
            return on_the_cpu(settings)
        chunk = max(1, settings["decode_chunk"] // 2)  # the decoder knows nothing of windows
        what = f"{halved.what}, decoded {chunk} at a time"
        return Smaller({**halved.settings, "decode_chunk": chunk}, what)


class _Normaliser:
    """Collects raw values frame by frame, then maps the clip's range to 0..1 in place."""

    def __init__(self, out: Float32):
        self._out = out
        self._low, self._high = np.inf, -np.inf

    def write(self, first: int, values: Float32) -> None:  # [n, h, w]
        height, width = self._out.shape[1:]
        for index, value in enumerate(values, start=first):
            if not np.isfinite(value).all():
                raise EngineError(
                    f"DepthCrafter produced NaN in frame {index}; use dtype float32, or fetch the weights again."
                )
            self._low, self._high = min(self._low, float(value.min())), max(self._high, float(value.max()))
            if value.shape != (height, width):
                value = cv2.resize(value, (width, height), interpolation=cv2.INTER_LINEAR)
            self._out[index] = value

    def finish(self, cancel: CancelToken | None) -> None:
        span = np.float32(self._high) - np.float32(self._low)
        if span <= 0:
            raise EngineError(
                f"DepthCrafter's output is {self._low:g} everywhere, which is no depth; fetch the weights again."
            )
        for frame in self._out:
            check(cancel)
            frame[...] = np.clip((frame - np.float32(self._low)) / span, 0, 1)


def fitted_size(height: int, width: int, max_side: int, multiple: int) -> tuple[int, int]:
    """(h, w) the model sees: multiples of ``multiple``, at most ``max_side``, aspect kept as well as that allows.

    Raises SettingError if ``max_side`` is smaller than ``multiple``.
    """
    if max_side < multiple:
        raise SettingError(f"max_side must be at least {multiple} for this model, got {max_side}.")
    scale = min(1.0, max_side / max(height, width))

    def side(length: int) -> int:
        return int(np.clip(round(length * scale / multiple), 1, max_side // multiple)) * multiple

    return side(height), side(width)


def _resized(frames: FrameSource, size: tuple[int, int]) -> Iterator[UInt8]:
    for frame in frames:
        if frame.shape[:2] == size:
            yield frame
        else:
            shrinks = frame.shape[0] > size[0] or frame.shape[1] > size[1]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            yield cv2.resize(frame, (size[1], size[0]), interpolation=method).astype(np.uint8, copy=False)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for the record, without this machine's paths."""
    return {name: value for name, value in values.items() if not name.endswith("_dir")}
