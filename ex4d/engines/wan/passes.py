"""One run over a clip at one size, window after window; large pictures take two."""

from collections.abc import Callable, Sequence
from typing import Unpack

import cv2
import numpy as np
import torch
from torch import Tensor

from ex4d.engines.kept_windows import PassWindows
from ex4d.engines.wan.conditioning import GuideVideos, latent_shape
from ex4d.engines.wan.erosion import erode, erosion_kernels
from ex4d.engines.wan.pipeline import WanPipeline
from ex4d.engines.wan.sampling import initial_noise
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.settings import WanSettings
from ex4d.engines.wan.tiles import Layout
from ex4d.engines.wan.video import to_uint8
from ex4d.engines.wan.windows import Window, blend, pad_frames, window_guides, window_seed
from ex4d.progress import OnProgress, Progress, Watch
from ex4d_ground.arrays import Bool, UInt8

OnFinal = Callable[[int, UInt8], None]
"""Called with (index, frame [H, W, 3]) in order, when no later window changes it any more."""

_REFINING = 1 << 20  # windows of the second pass are numbered from here: noise of their own


class Pass:
    """Guides at one size, sides in sixteens; call it with a pipeline to get the frames."""

    def __init__(
        self,
        colour: UInt8,  # [N, H, W, 3]
        mask: Bool,  # [N, H, W]
        windows: Sequence[Window],
        contexts: Sequence[Tensor],
        settings: WanSettings,
        seed: int,
        *,
        way: Layout | None = None,
        name: str = "",
    ):
        if settings.erode_mask:
            mask = erode(mask.astype(np.uint8) * np.uint8(255), erosion_kernels(seed, len(mask))) > 127
        self._colour, self._mask, self._windows, self._contexts = colour, mask, windows, contexts
        self._settings, self._seed, self._way, self._name = settings, seed, way, name

    def __call__(
        self,
        pipe: WanPipeline,
        start: UInt8 | None = None,  # [N, H, W, 3] to refine in the pass's tiles; None begins with noise alone
        *,
        kept: PassWindows | None = None,
        on_final: OnFinal | None = None,
        **watch: Unpack[Watch],
    ) -> UInt8:  # [N, H, W, 3]
        """All frames. Raises Cancelled, Paused, OutputError, and whatever the device raises."""
        frames, done = (np.zeros_like(self._colour), 0) if kept is None else kept.begun(self._colour)
        if on_final is not None and done:
            for position in range(self._following(done - 1)):
                on_final(position, frames[position])
        for index, window in enumerate(self._windows):
            if index < done:
                continue
            named = _named(watch.get("on_progress"), self._name, index, len(self._windows))
            told: Watch = {"on_progress": named, "cancel": watch.get("cancel")}
            colour, mask = window_guides(window, self._colour, self._mask, frames)
            noise = initial_noise(
                window_seed(self._seed, index + (0 if start is None else _REFINING)), latent_shape(*mask.shape)
            )
            if start is None:
                latents = self._made(pipe, colour, mask, noise, told)
            else:
                begun = start[window.start : window.stop].copy()
                begun[: window.given] = frames[window.start : window.start + window.given]
                begun = pad_frames(begun, window.padded)
                latents = self._refined(pipe, colour, mask, begun, noise, told)
            self._decode(pipe, latents, window, frames, self._following(index), on_final, told)
            if kept is not None:
                kept.keep(frames, index + 1)
        return frames

    def _following(self, index: int) -> int:
        """Where the window after this one starts: frames before it are final."""
        return self._windows[index + 1].start if index + 1 < len(self._windows) else len(self._colour)

    def _made(self, pipe: WanPipeline, colour: UInt8, mask: Bool, noise: Tensor, watch: Watch) -> Tensor:
        encoded = pipe.encode(GuideVideos.from_guides(colour, mask), **watch)
        settings = self._settings
        return pipe.latents(
            encoded,
            self._contexts,
            noise,
            Schedule.shifted(settings.step_count, settings.shift),
            cfg_scale=settings.cfg_scale,
            cache_threshold=settings.cache_threshold,
            **watch,
        )

    def _refined(
        self, pipe: WanPipeline, colour: UInt8, mask: Bool, start: UInt8, noise: Tensor, watch: Watch
    ) -> Tensor:
        assert self._way is not None
        videos = GuideVideos.from_guides(colour, mask)
        encoded = pipe.encode(videos, geometry=False, **watch)
        del videos
        settings = self._settings
        begun = torch.from_numpy(start).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        schedule = Schedule.shifted(settings.step_count, settings.shift).last(settings.refining_steps)
        return pipe.refined(
            encoded, self._contexts, begun, noise, schedule, self._way, cfg_scale=settings.cfg_scale, **watch
        )

    def _decode(
        self,
        pipe: WanPipeline,
        latents: Tensor,
        window: Window,
        frames: UInt8,
        following: int,
        on_final: OnFinal | None,
        watch: Watch,
    ) -> None:
        """Take the window's frames in; those before ``following``, where the next window starts, are final."""
        position = window.start
        for part in pipe.frames(latents, **watch):
            for frame in to_uint8(part):
                if position >= window.stop:  # padding
                    return
                offset = position - window.start
                if offset < window.given:
                    frame = blend(frames[position], frame, offset, window.given)
                frames[position] = frame
                if position < following and on_final is not None:
                    on_final(position, frame)
                position += 1


def smaller_guides(
    colour: UInt8,  # [N, H, W, 3]
    mask: Bool,  # [N, H, W]
    size: tuple[int, int],  # width, height
) -> tuple[UInt8, Bool]:
    """Guides at a smaller size: means of what is visible, visible where at least half of a pixel is."""
    colours, masks = [], []
    for frame, shown in zip(colour, mask, strict=True):
        share = cv2.resize(shown.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        light = cv2.resize(frame.astype(np.float32) * shown[..., None], size, interpolation=cv2.INTER_AREA)
        visible = share >= 0.5
        mean = light / np.maximum(share, 1e-6)[..., None] * visible[..., None]
        colours.append(np.rint(mean).clip(0, 255).astype(np.uint8))
        masks.append(visible)
    return np.stack(colours), np.stack(masks)


def enlarged(frames: UInt8, size: tuple[int, int]) -> UInt8:  # [N, h, w, 3] -> [N, height, width, 3]
    """Frames at a larger size (width, height)."""
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in frames]).astype(
        np.uint8, copy=False
    )


def _named(on_progress: OnProgress | None, name: str, index: int, count: int) -> OnProgress | None:
    """Progress that says which pass and window it is about, where there are several."""
    about = [name] if name else []
    if count > 1:
        about.append(f"window {index + 1} of {count}")
    if on_progress is None or not about:
        return on_progress

    def named(progress: Progress) -> None:
        stage = f"{progress.stage} ({', '.join(about)})"
        on_progress(Progress(stage, progress.done, progress.total, progress.message))

    return named
