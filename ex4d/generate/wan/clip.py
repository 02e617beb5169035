"""One request run through a loaded pipeline: its passes, and frames handed out as they become final."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ex4d.generate.base import GenerateRequest, OnFrame
from ex4d.generate.composite import Compositor
from ex4d.generate.wan.costs import workload
from ex4d.generate.wan.passes import Pass, enlarged, smaller_guides
from ex4d.generate.wan.pipeline import WanPipeline
from ex4d.generate.wan.plan import Workload
from ex4d.generate.wan.tiles import layout
from ex4d.generate.wan.windows import pad_sides, windows
from ex4d.progress import CancelToken, OnProgress
from ex4d.types import UInt8


class ClipRun:
    """The request, cut into passes and windows; call it with a pipeline to get the frames."""

    def __init__(self, request: GenerateRequest, settings: dict[str, Any], contexts: Sequence[Tensor]):
        self._settings, self._guides = settings, request.guides
        colour, mask = pad_sides(request.guides.colour), pad_sides(request.guides.mask)
        count, self._height, self._width = request.guides.mask.shape
        self._way = layout(self._width, self._height, two_pass=settings["two_pass"])
        self._windows = windows(count, window=settings["window"], overlap=settings["overlap"])
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
        return workload(self._windows, self._way, self._branches, cached=self._settings["cache_threshold"] > 0)

    def describe(self) -> str:
        """The request's size, for messages."""
        tiles = len(self._way.tiles)
        in_tiles = f" in {tiles} tiles" if tiles > 1 else ""
        return f"{max(w.padded for w in self._windows)} frames of {self._width}x{self._height}{in_tiles}"

    def __call__(
        self,
        pipe: WanPipeline,
        *,
        on_frame: OnFrame | None = None,
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
    ) -> UInt8:  # [N, H, W, 3]
        """All frames; with another plan after a failure, frames already handed out are not handed out again.

        Raises Cancelled, and whatever the device raises.
        """
        # Windows build on the model's own frames; what people get may have the source's pixels in it.
        final = np.zeros_like(self._guides.colour)
        compositor = self._compositor()

        def finish(position: int, frame: UInt8) -> None:
            done = frame[: self._height, : self._width]
            done = done if compositor is None else compositor(position, done)
            final[position] = done
            if on_frame is not None and position not in self._sent:
                self._sent.add(position)
                on_frame(position, done.copy())

        start = None
        if self._first is not None:
            small = self._first(pipe, on_progress=on_progress, cancel=cancel)
            start = enlarged(small, (self._way.width, self._way.height))
        self._last(pipe, start, on_final=finish, on_progress=on_progress, cancel=cancel)
        return final

    def _compositor(self) -> Compositor | None:
        if not self._settings["composite"]:
            return None
        return Compositor(self._guides.colour, self._guides.mask, feather=self._settings["feather"])
