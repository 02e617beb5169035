"""The ``depthcrafter`` estimator: sizes, streaming, normalisation and its description."""

from collections.abc import Iterator
from dataclasses import asdict, replace

import cv2
import numpy as np

from ex4d.depth.base import DepthEstimate, FrameSource, MemoryEstimate
from ex4d.depth.depthcrafter.settings import BASE_REPOSITORY, UNET_REPOSITORY, DepthCrafterSettings
from ex4d.depth.estimator import DepthEstimator, EstimateRun, recorded
from ex4d.depth.fallback import on_the_cpu
from ex4d.depth.models import (
    ModelTooLargeError,
    larger_memory,
    memory_guard,
    model_folder,
    pick_device,
    pick_dtype,
    require_extra,
    require_parts,
)
from ex4d.progress import CancelToken, check
from ex4d.settings import settings_of
from ex4d_ground.arrays import Float32, UInt8
from ex4d_ground.descriptions import EstimatorInfo
from ex4d_ground.errors import EngineError, SettingError

LICENCE = (
    "DepthCrafter: Tencent licence, academic and research use; Stable Video Diffusion: Stability AI community licence"
)
MODULES = ("torch", "diffusers", "transformers", "safetensors")
SMALLEST_WINDOW = 8
"""Windows are not halved below this: what they share would be too little to join them."""


class DepthCrafter(DepthEstimator[DepthCrafterSettings]):
    """Video diffusion: the steadiest depth of those offered, at the highest cost. Research only."""

    settings_type = DepthCrafterSettings
    about = EstimatorInfo(
        name="depthcrafter",
        title="DepthCrafter (the estimator EX-4D was made with)",
        meaning="disparity",
        licence=LICENCE,
        research_only=True,
        temporally_steady=True,
        settings=settings_of(DepthCrafterSettings),
    )

    def require(self) -> None:
        """Packages, or either model's weights."""
        unet, base = model_folder("", UNET_REPOSITORY), model_folder("", BASE_REPOSITORY)
        needed = ((unet, "config.json", UNET_REPOSITORY), (base, "vae/config.json", BASE_REPOSITORY))
        require_parts("The depthcrafter estimator", MODULES, needed)

    def _memory(self, height: int, width: int, settings: DepthCrafterSettings) -> MemoryEstimate:
        """Plan from the published model: 2.3 B parameters; activations grow with pixels and window."""
        h, w = fitted_size(height, width, settings.max_side, 64)
        half = 4 if settings.dtype == "float32" or settings.device == "cpu" else 2
        weights = 2.3e9 * half
        # 320 channels of the UNet's widest level, about 12 live copies, on 1/64 of the pixels of every frame
        activations = settings.window * (h * w / 64) * 320 * 12 * half
        return MemoryEstimate(int(weights + activations), int(settings.window * h * w / 64 * 8 * 4 + 64 * h * w * 3))

    def _estimate(self, run: EstimateRun, settings: DepthCrafterSettings) -> DepthEstimate:
        """Relative disparity in 0..1, min-max normalised over the clip: 1 is nearest."""
        require_extra("The depthcrafter estimator", *MODULES)
        from ex4d.depth.depthcrafter.loading import load_components
        from ex4d.depth.depthcrafter.pipeline import Sampler, SamplerOptions

        shape = run.shape
        options = SamplerOptions(
            settings.num_steps,
            settings.guidance_scale,
            settings.window,
            settings.overlap,
            decode_chunk=settings.decode_chunk,
            seed=run.seed,
        )
        windows = options.plan(shape[0])  # a clip too short is said before any weights are read
        device = pick_device(settings.device)
        unet = model_folder(settings.model_dir, UNET_REPOSITORY)
        base = model_folder(settings.base_model_dir, BASE_REPOSITORY)
        remedy = f"use windows shorter than {options.window} frames (window, overlap) or a smaller max_side"
        remedy += "" if device.type == "cpu" else ", or device cpu"
        out = run.values()
        with memory_guard("DepthCrafter's model", larger_memory(device), kind=ModelTooLargeError):
            parts = load_components(unet, base, dtype=pick_dtype(settings.dtype, device), device=device)
        with memory_guard("DepthCrafter", remedy):
            size = fitted_size(*shape[1:], settings.max_side, parts.size_multiple)
            normaliser, frames = _Normaliser(out), _resized(run.frames, size)
            sampler = Sampler(parts, options, device=device)
            sampler.run(frames, (shape[0], *size), normaliser.write, **run.watch)
        normaliser.finish(run.watch.get("cancel"))
        notes = () if size == shape[1:] else (f"The model saw {size[1]}x{size[0]} pixels; depth was scaled back.",)
        details = {"model_dir": unet.name, "size": list(size), "windows": windows, "seed": run.seed}
        return DepthEstimate(out, "disparity", notes=notes, details=details | recorded(asdict(settings)))

    def _smaller(
        self, settings: DepthCrafterSettings, num_frames: int, weights_alone: bool
    ) -> tuple[DepthCrafterSettings, str] | None:
        """Half the window, with the overlap in proportion, as often as that makes sense; then the CPU."""
        window = min(settings.window, num_frames) // 2
        if weights_alone or window < SMALLEST_WINDOW:
            return on_the_cpu(settings)
        overlap = max(1, min(settings.overlap * window // settings.window, window - 1))
        chunk = max(1, settings.decode_chunk // 2)  # the decoder knows nothing of windows
        smaller = replace(settings, window=window, overlap=overlap, decode_chunk=chunk)
        return smaller, f"with windows of {window} frames, decoded {chunk} at a time"


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
                    f"DepthCrafter produced NaN in frame {index + 1}; use dtype float32, or fetch the weights again."
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
