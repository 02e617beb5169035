"""Whole clips of guides on a GPU, a batch of frames at a time, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ex4d.dwmesh import DWMesh
from ex4d.errors import RasterError, SettingError
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.raster.base import Rasterizer
from ex4d.raster.gpu.batch import CameraBatch, DrawnBatch, SurfaceBatch
from ex4d.raster.gpu.build import DeviceMesh
from ex4d.raster.gpu.device import has_triton, interpreted
from ex4d.types import Guides, RasterOptions, Trajectory

STAGE = "guides"
MOST_FRAMES = 64  # a batch: the more, the fewer launches a frame
BATCH_BYTES = 4 * 2**30  # device memory a batch may take
AHEAD = 2  # batches handed to the device before the oldest must be done: bounds memory and the answer to cancel


@dataclass(frozen=True)
class GpuGuides:
    """Guides left on the device."""

    colour: Tensor  # [N, H, W, 3] uint8, zero where the mask is false
    mask: Tensor  # [N, H, W] bool
    depth: Tensor | None = None  # [N, H, W] float32 z-depth of the visible surface, 0 where the mask is false

    @property
    def coverage(self) -> Tensor:  # [N] float32
        """Share of each frame's pixels that the source shows."""
        return self.mask.flatten(1).float().mean(dim=1)

    def to_host(self) -> Guides:
        """The same as arrays, copied through page-locked memory."""
        host = [None if t is None else _on_host(t) for t in (self.colour, self.mask, self.depth)]
        if self.colour.device.type == "cuda":
            torch.cuda.current_stream(self.colour.device).synchronize()
        colour, mask, depth = (None if t is None else t.numpy() for t in host)
        assert colour is not None
        assert mask is not None
        return Guides(colour, mask, depth)


class BatchRasterizer(Rasterizer, Protocol):
    """What the GPU rasterizers share."""

    device: torch.device

    @staticmethod
    def bytes_per_frame(num_vertices: int, num_triangles: int, pixels: int) -> int:
        """Device memory that one frame of a batch takes."""
        ...

    def draw_batch(
        self,
        surfaces: SurfaceBatch,
        cameras: CameraBatch,
        options: RasterOptions = RasterOptions(),
        *,
        depth: bool = False,
    ) -> DrawnBatch:
        """Each surface as its camera sees it."""
        ...


def get_batch_rasterizer(name: str, device: torch.device | str | None = None) -> BatchRasterizer:
    """A GPU rasterizer by name. Raises RasterError where it cannot run, SettingError for an unknown name."""
    if name == "triton":
        from ex4d.raster.gpu.device import check_device

        check_device(name, device)
        from ex4d.raster.gpu.triton_raster import TritonRasterizer

        return TritonRasterizer(device)
    if name == "nvdiffrast":
        from ex4d.raster.gpu.nvdiffrast_raster import NvdiffrastRasterizer

        return NvdiffrastRasterizer(device)
    raise SettingError(f"There is no GPU rasterizer {name!r}; choose one of: nvdiffrast, triton.")


class GpuGuideRenderer:
    """A clip kept on the device, to render its guides again and again while a camera is being moved.

    Raises RasterError where the rasterizer cannot run. Use it from one thread.
    """

    def __init__(self, mesh: DWMesh, rasterizer: str = "triton", *, device: torch.device | str | None = None) -> None:
        self.rasterizer = get_batch_rasterizer(rasterizer, device)
        self.device = self.rasterizer.device
        self.mesh = mesh
        usable = has_triton() and (self.device.type == "cuda" or interpreted())
        self._surfaces = DeviceMesh(mesh, self.device, kernels=usable)

    def render(
        self,
        trajectory: Trajectory,
        *,
        options: RasterOptions = RasterOptions(),
        source_first_frame: bool = False,
        depth: bool = False,
        frames_per_batch: int | None = None,
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
    ) -> GpuGuides:
        """The guides along ``trajectory``, as tensors on the device; they may still be being drawn when this returns.

        See :func:`render_guides_gpu`.
        """
        shape = (len(trajectory), trajectory.height, trajectory.width)
        colour = torch.empty((*shape, 3), dtype=torch.uint8, device=self.device)
        mask = torch.empty(shape, dtype=torch.bool, device=self.device)
        far = torch.empty(shape, dtype=torch.float32, device=self.device) if depth else None
        report(on_progress, STAGE, 0, len(trajectory))
        pending: deque[tuple[int, Any]] = deque()
        for first, last, drawn in self.batches(
            trajectory, options=options, source_first_frame=source_first_frame, depth=depth,
            frames_per_batch=frames_per_batch, cancel=cancel,
        ):  # fmt: skip
            colour[first:last], mask[first:last] = drawn.colour, drawn.mask
            if far is not None and drawn.depth is not None:
                far[first:last] = drawn.depth
            pending.append((last, _event(self.device)))
            if len(pending) > AHEAD:
                done, event = pending.popleft()
                _wait(event)
                report(on_progress, STAGE, done, len(trajectory))
        for done, event in pending if on_progress is not None else ():
            _wait(event)
            report(on_progress, STAGE, done, len(trajectory))
        return GpuGuides(colour, mask, far)

    def batches(
        self,
        trajectory: Trajectory,
        *,
        options: RasterOptions = RasterOptions(),
        source_first_frame: bool = False,
        depth: bool = False,
        frames_per_batch: int | None = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[tuple[int, int, DrawnBatch]]:
        """Frames ``first..last-1`` after one another, queued on the device as they are asked for."""
        from ex4d.guides import check_first_frame, source_frames

        times = [int(t) for t in source_frames(trajectory, self.mesh.num_frames)]
        check_first_frame(self.mesh, trajectory, source_first_frame)
        cameras = CameraBatch.along(trajectory, options, self.device)
        step = self._frames_per_batch(trajectory, frames_per_batch)
        for first in range(0, len(times), step):
            check(cancel)
            last = min(first + step, len(times))
            try:
                surfaces = self._surfaces.surfaces(times[first:last])
                drawn = self.rasterizer.draw_batch(surfaces, cameras.part(first, last), options, depth=depth)
            except torch.cuda.OutOfMemoryError as error:
                raise RasterError(
                    f"The device has too little free memory for {last - first} frames of "
                    f"{trajectory.width}x{trajectory.height} at once; pass a frames_per_batch below {last - first}, or "
                    "use a smaller clip or --rasterizer cpu."
                ) from error
            if source_first_frame and first == 0:
                drawn.colour[0] = self._surfaces.frames[times[0]].reshape(drawn.colour.shape[1:])
                drawn.mask[0] = True
            yield first, last, drawn
        check(cancel)

    def _frames_per_batch(self, trajectory: Trajectory, wanted: int | None) -> int:
        if wanted is not None:
            if wanted < 1:
                raise SettingError(f"At least one frame a batch is needed, got {wanted}.")
            return wanted
        vertices, triangles = self._surfaces.sizes()
        each = self.rasterizer.bytes_per_frame(vertices, triangles, trajectory.height * trajectory.width)
        each += self._surfaces.bytes_per_frame()
        return max(1, min(MOST_FRAMES, BATCH_BYTES // each, (2**31 - 1) // (4 * triangles)))


def render_guides_gpu(
    mesh: DWMesh,
    trajectory: Trajectory,
    *,
    rasterizer: str = "triton",
    options: RasterOptions = RasterOptions(),
    source_first_frame: bool = False,
    depth: bool = False,
    device: torch.device | str | None = None,
    frames_per_batch: int | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> GpuGuides:
    """Render the clip along ``trajectory`` on a GPU and leave the guides there, for an engine on the same device.

    ``frames_per_batch`` frames are built and drawn at once; by default as many as fit about 4 GiB, up to 64. For
    several renderings of one clip keep a :class:`GpuGuideRenderer`. ``depth`` adds the z-depth of what is seen.

    Raises RasterError where the rasterizer cannot run or runs out of memory, TrajectoryError for a source time outside
    the clip, SettingError for an unknown name, Cancelled within two batches of ``cancel``.
    """
    renderer = GpuGuideRenderer(mesh, rasterizer, device=device)
    return renderer.render(
        trajectory, options=options, source_first_frame=source_first_frame, depth=depth,
        frames_per_batch=frames_per_batch, on_progress=on_progress, cancel=cancel,
    )  # fmt: skip


def _event(device: torch.device) -> Any:
    """A mark in the device's queue, or None where work is done at once."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event


def _wait(event: Any) -> None:
    if event is not None:
        event.synchronize()


def _on_host(tensor: Tensor) -> Tensor:
    """A copy in page-locked host memory, under way when this returns."""
    if tensor.device.type != "cuda":
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)
