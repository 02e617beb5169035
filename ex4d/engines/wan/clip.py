"""One request run through a loaded pipeline: its passes, and frames handed out as they become final."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from torch import Tensor

from ex4d.engines.base import GenerateRequest, OnFrame
from ex4d.engines.composite import Compositor
from ex4d.engines.kept_windows import PassWindows
from ex4d.engines.wan.cost_model import PUBLISHED_HEADS, workload
from ex4d.engines.wan.passes import Pass, enlarged, smaller_guides
from ex4d.engines.wan.pipeline import WanPipeline
from ex4d.engines.wan.plan import Workload
from ex4d.engines.wan.settings import WanSettings
from ex4d.engines.wan.tiles import layout
from ex4d.engines.wan.windows import pad_sides, windows
from ex4d.progress import Watch
from ex4d_ground.arrays import UInt8


class ClipRun:
    """The request, cut into passes and windows; call it with a pipeline to get the frames.

    ``on_frame`` is told of each frame once, also where a second call with another plan makes it anew.
    """

    def __init__(
        self,
        request: GenerateRequest,
        settings: WanSettings,
        contexts: Sequence[Tensor],
        on_frame: OnFrame | None = None,
    ):
        self._on_frame, self._keep = on_frame, request.kept
        self._settings, self._guides = settings, request.guides.in_memory()
        colour, mask = pad_sides(np.asarray(self._guides.colour)), pad_sides(np.asarray(self._guides.mask))
        count, self._height, self._width = request.guides.mask.shape
        self._way = layout(self._width, self._height, two_pass=settings.two_pass)
        self._windows = windows(count, window=settings.window, overlap=settings.overlap)
        self._branches = len(contexts)
        shared = (self._windows, list(contexts), settings, request.seed)
        self._first: Pass | None = None
        if self._way.first is not None:
            self._first = Pass(*smaller_guides(colour, mask, self._way.first), *shared, name="first pass")
        name = "second pass" if self._first else ""
        self._last = Pass(colour, mask, *shared, way=self._way, name=name)
        self._sent: set[int] = set()

    @property
    def workload(self) -> Workload:
        """What the largest window and tile ask of the device."""
        return self.workload_of()

    def workload_of(self, gpus: int = 1, heads: int = PUBLISHED_HEADS) -> Workload:
        """The same of each of ``gpus`` devices, for a model with so many heads. Raises SettingError."""
        cached = self._settings.cache_threshold > 0
        return workload(self._windows, self._way, self._branches, cached=cached, gpus=gpus, heads=heads)

    def describe(self) -> str:
        """The request's size, for messages."""
        tiles = len(self._way.tiles)
        in_tiles = f" in {tiles} tiles" if tiles > 1 else ""
        return f"{max(w.padded for w in self._windows)} frames of {self._width}x{self._height}{in_tiles}"

    def __call__(self, pipe: WanPipeline, **watch: Unpack[Watch]) -> UInt8:  # [N, H, W, 3]
        """All frames. Raises Cancelled, Paused, OutputError, and whatever the device raises."""
        # Windows build on the model's own frames; what people get may have the source's pixels in it.
        final = np.zeros_like(self._guides.colour)
        compositor = self._compositor()

        def finish(position: int, frame: UInt8) -> None:
            done = frame[: self._height, : self._width]
            done = done if compositor is None else compositor(position, done)
            final[position] = done
            if self._on_frame is not None and position not in self._sent:
                self._sent.add(position)
                self._on_frame(position, done.copy())

        start, count = None, len(self._windows)
        if self._first is not None:
            small = self._first(pipe, kept=self._kept("first", 0, 2 * count), **watch)
            start = enlarged(small, (self._way.width, self._way.height))
        kept = self._kept("last", count if self._first else 0, 2 * count if self._first else count)
        self._last(pipe, start, kept=kept, on_final=finish, **watch)
        return final

    def _kept(self, name: str, before: int, total: int) -> PassWindows | None:
        return None if self._keep is None else self._keep.of_pass(name, before=before, total=total)

    def _compositor(self) -> Compositor | None:
        if not self._settings.composite:
            return None
        return Compositor(self._guides.colour, self._guides.mask, feather=self._settings.feather)
