"""GPU guides as arrays: the same call as on the CPU, with copies to the host behind the drawing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.raster.gpu.guides import AHEAD, STAGE, GpuGuideRenderer
from ex4d.types import Guides, RasterOptions, Trajectory

if TYPE_CHECKING:
    from ex4d.dwmesh import DWMesh
    from ex4d.guides import OnGuide


def render_guides_to_host(
    mesh: DWMesh,
    trajectory: Trajectory,
    *,
    rasterizer: str,
    options: RasterOptions = RasterOptions(),
    source_first_frame: bool = False,
    frames_per_batch: int | None = None,
    on_frame: OnGuide | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Guides:
    """What ``ex4d.guides.render_guides`` does for a GPU rasterizer; the same arguments and errors."""
    renderer = GpuGuideRenderer(mesh, rasterizer)
    shape = (len(trajectory), trajectory.height, trajectory.width)
    pinned = renderer.device.type == "cuda"  # page-locked, so that copies run behind the drawing
    colour = torch.empty((*shape, 3), dtype=torch.uint8, pin_memory=pinned)
    mask = torch.empty(shape, dtype=torch.bool, pin_memory=pinned)
    guides = Guides(colour.numpy(), mask.numpy())
    copies = _Copies(renderer.device)

    def deliver(first: int, last: int) -> None:
        for i in range(first, last):
            if on_frame is not None:
                check(cancel)
                on_frame(i, guides.colour[i], guides.mask[i])
            report(on_progress, STAGE, i + 1, len(trajectory))

    report(on_progress, STAGE, 0, len(trajectory))
    batches = renderer.batches(
        trajectory, options=options, source_first_frame=source_first_frame,
        frames_per_batch=frames_per_batch, cancel=cancel,
    )  # fmt: skip
    for first, last, drawn in batches:
        copies.start(first, last, [(drawn.colour, colour[first:last]), (drawn.mask, mask[first:last])])
        if len(copies) > AHEAD:
            deliver(*copies.finish())
    while len(copies):
        deliver(*copies.finish())
    return guides


class _Copies:
    """Copies from the device on a stream of their own, finished in the order they were started."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._waiting: deque[tuple[int, int, torch.cuda.Event | None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self, first: int, last: int, pairs: list[tuple[Tensor, Tensor]]) -> None:
        if self._stream is None:
            for source, target in pairs:
                target.copy_(source)
            self._waiting.append((first, last, None))
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        done = torch.cuda.Event()
        with torch.cuda.stream(self._stream):
            for source, target in pairs:
                target.copy_(source, non_blocking=True)
                source.record_stream(self._stream)  # its memory must not be used again before the copy is done
            done.record()
        self._waiting.append((first, last, done))

    def finish(self) -> tuple[int, int]:
        first, last, done = self._waiting.popleft()
        if done is not None:
            done.synchronize()
        return first, last
