"""One request run through a loaded pipeline: window after window, frames handed out as they become final."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ex4d.generate.base import GenerateRequest, OnFrame
from ex4d.generate.composite import Compositor
from ex4d.generate.wan.conditioning import GuideVideos, erode, erosion_kernels, latent_shape
from ex4d.generate.wan.constants import SPATIAL
from ex4d.generate.wan.pipeline import WanPipeline
from ex4d.generate.wan.plan import Workload
from ex4d.generate.wan.sampling import initial_noise
from ex4d.generate.wan.schedule import Schedule
from ex4d.generate.wan.settings import step_count
from ex4d.generate.wan.video import to_uint8
from ex4d.generate.wan.windows import Window, blend, pad_sides, window_guides, window_seed, windows
from ex4d.progress import CancelToken, OnProgress, Progress
from ex4d.types import UInt8


class ClipRun:
    """The request, cut into windows; call it with a pipeline to get the frames."""

    def __init__(self, request: GenerateRequest, settings: dict[str, Any], contexts: Sequence[Tensor]):
        self._settings, self._contexts, self._seed = settings, list(contexts), request.seed
        self._guides = request.guides
        colour, mask = request.guides.colour, request.guides.mask
        self._count, self._height, self._width = mask.shape
        if settings["erode_mask"]:
            kernels = erosion_kernels(request.seed, self._count)
            mask = erode(mask.astype(np.uint8) * np.uint8(255), kernels) > 127
        self._colour, self._mask = pad_sides(colour), pad_sides(mask)
        self._windows = windows(self._count, window=settings["window"], overlap=settings["overlap"])
        self._frames = np.zeros_like(self._colour)
        self._sent: set[int] = set()
        # Windows build on the model's own frames; what people get may have the source's pixels in it.
        self._final = np.zeros_like(colour)
        self._compositor = self._new_compositor()

    @property
    def workload(self) -> Workload:
        """What the largest window asks of the device."""
        shape = latent_shape(max(w.padded for w in self._windows), *self._colour.shape[1:3])
        tokens = shape[2] * shape[3] * shape[4] // 4
        return Workload(tokens, shape[3] * shape[4] * SPATIAL**2, len(self._contexts))

    def describe(self) -> str:
        """The request's size, for messages."""
        return f"{max(w.padded for w in self._windows)} frames of {self._width}x{self._height}"

    def forget(self) -> None:
        """Start over (with another plan). Frames already handed out stay as they are."""
        self._frames[:] = 0
        self._compositor = self._new_compositor()

    def _new_compositor(self) -> Compositor | None:
        if not self._settings["composite"]:
            return None
        return Compositor(self._guides.colour, self._guides.mask, feather=self._settings["feather"])

    def __call__(
        self,
        pipe: WanPipeline,
        *,
        on_frame: OnFrame | None = None,
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
    ) -> UInt8:  # [N, H, W, 3]
        """All frames. Raises Cancelled, and whatever the device raises."""
        for index, window in enumerate(self._windows):
            progress = _numbered(on_progress, index, len(self._windows))
            latents = self._latents(pipe, window, index, progress, cancel)
            following = self._windows[index + 1].start if index + 1 < len(self._windows) else self._count
            self._decode(pipe, latents, window, following, on_frame, progress, cancel)
        return self._final

    def _latents(
        self, pipe: WanPipeline, window: Window, index: int, on_progress: OnProgress | None, cancel: CancelToken | None
    ) -> Tensor:
        colour, mask = window_guides(window, self._colour, self._mask, self._frames)
        encoded = pipe.encode(GuideVideos.from_guides(colour, mask), on_progress=on_progress, cancel=cancel)
        settings = self._settings
        return pipe.latents(
            encoded,
            self._contexts,
            initial_noise(window_seed(self._seed, index), latent_shape(*mask.shape)),
            Schedule.shifted(step_count(settings), settings["shift"]),
            cfg_scale=settings["cfg_scale"],
            cache_threshold=settings["cache_threshold"],
            on_progress=on_progress,
            cancel=cancel,
        )

    def _decode(
        self,
        pipe: WanPipeline,
        latents: Tensor,
        window: Window,
        following: int,
        on_frame: OnFrame | None,
        on_progress: OnProgress | None,
        cancel: CancelToken | None,
    ) -> None:
        """Take the window's frames in; those before ``following``, where the next window starts, are final."""
        position = window.start
        for part in pipe.frames(latents, on_progress=on_progress, cancel=cancel):
            for frame in to_uint8(part):
                if position >= window.stop:  # padding
                    return
                offset = position - window.start
                if offset < window.given:
                    frame = blend(self._frames[position], frame, offset, window.given)
                self._frames[position] = frame
                if position < following:
                    self._finish(position, frame[: self._height, : self._width], on_frame)
                position += 1

    def _finish(self, position: int, frame: UInt8, on_frame: OnFrame | None) -> None:
        done = frame if self._compositor is None else self._compositor(position, frame)
        self._final[position] = done
        if on_frame is not None and position not in self._sent:
            self._sent.add(position)
            on_frame(position, done.copy())


def _numbered(on_progress: OnProgress | None, index: int, count: int) -> OnProgress | None:
    """Progress that says which window it is about, if there are several."""
    if on_progress is None or count == 1:
        return on_progress

    def numbered(progress: Progress) -> None:
        stage = f"{progress.stage} (window {index + 1} of {count})"
        on_progress(Progress(stage, progress.done, progress.total, progress.message))

    return numbered
