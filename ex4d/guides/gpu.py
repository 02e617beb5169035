"""Guides on a GPU: meshes built and drawn a batch of frames at a time, with bounded memory."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from ex4d.cuda import free_bytes, has_triton, interpreted
from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.gpu.build import DeviceMesh
from ex4d.guides.gpu_objects import DeviceObjects
from ex4d.guides.objects import GuideObject
from ex4d.guides.request import GuideRequest, OnGuide
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.raster.base import Camera
from ex4d.raster.gpu.batch import CameraBatch, DrawnBatch
from ex4d.raster.registry import get_batch_rasterizer
from ex4d.surface.batch import SurfaceBatch
from ex4d.types import Guides
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.errors import RasterError
from ex4d_ground.options import RasterOptions

MOST_FRAMES = 64  # a batch: the more, the fewer launches a frame
BATCH_BYTES = 4 * 2**30  # device memory a batch may take
MOST_PINNED = 2**30  # bytes of guides up to which they are made in page-locked memory
AHEAD = 2  # batches handed to the device before the oldest must be done: bounds memory and the answer to cancel


class GpuGuideRenderer(AbstractContextManager["GpuGuideRenderer"]):
    """A clip kept on the device, to render its guides again and again while a camera is being moved.

    Raises RasterError where the rasterizer cannot run. Use it from one thread; close it when other work needs the
    device's memory.
    """

    def __init__(self, mesh: DWMesh, rasterizer: str = "triton", *, device: torch.device | str | None = None) -> None:
        self.rasterizer = get_batch_rasterizer(rasterizer, device)
        self.device = self.rasterizer.device
        self.mesh = mesh
        usable = has_triton() and (self.device.type == "cuda" or interpreted())
        with _room_for("the clip"):
            self.surfaces = DeviceMesh(mesh, self.device, kernels=usable)

    def render(
        self, request: GuideRequest, on_progress: OnProgress | None = None, cancel: CancelToken | None = None
    ) -> DrawnBatch:
        """The guides as tensors on the device; they may still be being drawn when this returns.

        Raises RasterError where memory runs out, Cancelled within two batches of ``cancel``.
        """
        kinds = [(3, torch.uint8), (1, torch.bool), *([(1, torch.float32)] if request.depth else [])]
        targets = [torch.empty((*request.shape, n), dtype=kind, device=self.device) for n, kind in kinds]
        stream = torch.cuda.current_stream(self.device) if self.device.type == "cuda" else None

        def on_drawn(first: int, last: int) -> None:
            del first
            report(on_progress, stages.GUIDES, last, len(request.times))

        report(on_progress, stages.GUIDES, 0, len(request.times))
        _collect(self.batches(request, cancel), targets, stream, None if on_progress is None else on_drawn)
        colour, *rest = targets
        return DrawnBatch(colour, *(each.squeeze(-1) for each in rest))

    def render_to_host(
        self, request: GuideRequest, on_frame: OnGuide | None, report_to: OnProgress | None, cancel: CancelToken | None
    ) -> Guides:
        """What ``ex4d.guides.render_guides`` gives, with copies to the host behind the drawing."""
        on_cuda = self.device.type == "cuda"
        # Page-locked memory lets copies run beside the drawing, but is never given back: not for long clips.
        pinned = on_cuda and 4 * math.prod(request.shape) <= MOST_PINNED
        colour = torch.empty((*request.shape, 3), dtype=torch.uint8, pin_memory=pinned)
        mask = torch.empty(request.shape, dtype=torch.bool, pin_memory=pinned)
        guides = Guides(colour.numpy(), mask.numpy(), rasterizer=self.rasterizer.name)

        def deliver(first: int, last: int) -> None:
            for i in range(first, last):
                if on_frame is not None:
                    check(cancel)
                    on_frame(i, guides.colour[i], guides.mask[i])
                report(report_to, stages.GUIDES, i + 1, len(request.times))

        report(report_to, stages.GUIDES, 0, len(request.times))
        stream = torch.cuda.Stream(self.device) if on_cuda else None
        _collect(self.batches(request, cancel), [colour, mask[..., None]], stream, deliver)
        return guides

    def batches(self, request: GuideRequest, cancel: CancelToken | None) -> Iterator[tuple[int, int, DrawnBatch]]:
        """Frames ``first..last-1`` after one another, queued on the device as they are asked for."""
        times, (_, height, width) = request.times, request.shape
        cameras = CameraBatch.along(request.seen, request.options, self.device)
        objects = DeviceObjects(request.objects, self.device) if request.objects else None
        step = request.frames_per_batch or self.frames_per_batch(height * width, objects)
        for first in range(0, len(times), step):
            check(cancel)
            last = min(first + step, len(times))
            views = cameras.part(first, last)
            with _room_for(f"{last - first} frames of {width}x{height} at once"):
                surfaces = self.surfaces.surfaces(times[first:last])
                if objects is not None:
                    places = [self.mesh.clip.mesh_from_world(t) for t in times[first:last]]
                    surfaces = objects.join(surfaces, views, range(first, last), places)
                drawn = self.rasterizer.draw_batch(surfaces, views, request.options, depth=request.depth)
            if request.source_first_frame and first == 0:
                drawn.colour[0] = self.surfaces.frames[times[0]].reshape(drawn.colour.shape[1:])
                drawn.mask[0] = True
            yield first, last, drawn
        check(cancel)

    def frames_per_batch(self, pixels: int, objects: DeviceObjects | None = None) -> int:
        """Frames of ``pixels`` that are built and drawn at once, for the memory there is."""
        vertices, triangles = self.surfaces.sizes()
        each = self.surfaces.bytes_per_frame()
        if objects is not None:
            vertices, triangles = vertices + objects.num_vertices, triangles + objects.num_faces
            each += objects.bytes_per_frame
        each += self.rasterizer.bytes_per_frame(vertices, triangles, pixels)
        room = BATCH_BYTES
        if self.device.type == "cuda":
            room = min(room, free_bytes(self.device) // (AHEAD + 1))
        return max(1, min(MOST_FRAMES, room // each, (2**31 - 1) // (4 * triangles)))

    def close(self) -> None:
        """Give the device's memory back; nothing can be drawn any more."""
        vars(self).clear()
        torch.cuda.empty_cache()

    def __exit__(self, *_: object) -> None:
        self.close()


class GpuFrames:
    """Single frames of a clip kept on the device; the surface of the frame drawn last is kept besides."""

    def __init__(self, mesh: DWMesh, rasterizer: str, options: RasterOptions) -> None:
        self._renderer, self._options = GpuGuideRenderer(mesh, rasterizer), options
        self._device = self._renderer.device
        self._held: tuple[int, SurfaceBatch] | None = None
        self._objects: DeviceObjects | None = None

    def draw(self, t: int, camera: Camera, objects: Sequence[GuideObject], index: int) -> tuple[UInt8, Bool]:
        """See ``ex4d.guides.FrameRenderer.render``."""
        cameras = CameraBatch.of([camera], self._options, self._device)
        with _room_for(f"a frame of {cameras.width}x{cameras.height}"):
            if self._held is None or self._held[0] != t:
                self._held = t, self._renderer.surfaces.surfaces([t])
            surfaces = self._held[1]
            if objects:
                place = self._renderer.mesh.clip.mesh_from_world(t)
                surfaces = self._uploaded(objects).join(surfaces, cameras, [index], [place])
            drawn = self._renderer.rasterizer.draw_batch(surfaces, cameras, self._options)
        guides = drawn.to_host()
        return guides.colour[0], guides.mask[0]

    def close(self) -> None:
        """See :meth:`GpuGuideRenderer.close`."""
        self._held = self._objects = None
        self._renderer.close()

    def _uploaded(self, objects: Sequence[GuideObject]) -> DeviceObjects:
        held = self._objects
        if held is None or [id(each) for each in held.objects] != [id(each) for each in objects]:
            held = self._objects = DeviceObjects(tuple(objects), self._device)
        return held


def render_guides_gpu(
    request: GuideRequest,
    rasterizer: str = "triton",
    *,
    device: torch.device | str | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> DrawnBatch:
    """Render ``request`` on a GPU and leave the guides there, for an engine on the same device.

    For several renderings of one clip keep a :class:`GpuGuideRenderer`. Raises as that does.
    """
    return GpuGuideRenderer(request.mesh, rasterizer, device=device).render(request, on_progress, cancel)


def _collect(
    batches: Iterator[tuple[int, int, DrawnBatch]],
    targets: Sequence[Tensor],  # colour, mask and perhaps depth of all frames, with a last axis of channels
    stream: torch.cuda.Stream | None,  # that copies; None where work is done at once
    on_done: Callable[[int, int], None] | None,
) -> None:
    """Copy batches as they are drawn; ``on_done(first, last)`` is called in order, once those frames are there.

    Without it the last of them may still be on their way when this returns.
    """
    waiting: deque[tuple[int, int, torch.cuda.Event | None]] = deque()

    def finish(most: int) -> None:
        while len(waiting) > most:
            first, last, event = waiting.popleft()
            if event is not None:
                event.synchronize()
            if on_done is not None:
                on_done(first, last)

    for first, last, drawn in batches:
        waiting.append((first, last, _copy(drawn, [target[first:last] for target in targets], stream)))
        finish(AHEAD)
    if on_done is not None:
        finish(0)


def _copy(drawn: DrawnBatch, targets: Sequence[Tensor], stream: torch.cuda.Stream | None) -> torch.cuda.Event | None:
    """Copy a batch on ``stream``, behind its drawing; returns a mark in the stream behind the copy."""
    sources = [drawn.colour, drawn.mask[..., None], *([] if drawn.depth is None else [drawn.depth[..., None]])]
    if stream is None:
        for source, target in zip(sources, targets, strict=True):
            target.copy_(source)
        return None
    stream.wait_stream(torch.cuda.current_stream(stream.device))
    with torch.cuda.stream(stream):
        for source, target in zip(sources, targets, strict=True):
            target.copy_(source, non_blocking=True)
            source.record_stream(stream)  # its memory must not be used again before the copy is done
    event = torch.cuda.Event()
    event.record(stream)
    return event


@contextmanager
def _room_for(what: str) -> Iterator[None]:
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise RasterError(
            f"The device has too little free memory for {what}; use fewer frames at once, a smaller clip or the "
            "rasterizer 'cpu'."
        ) from error
