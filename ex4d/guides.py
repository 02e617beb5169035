"""Guides: what a moved camera sees of a clip's DW-mesh, frame by frame, and where it sees nothing."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.errors import RasterError, SettingError, TrajectoryError
from ex4d.objects import GuideObject, check_objects, with_objects
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.raster import Camera, Rasterizer, Surface, get_rasterizer
from ex4d.raster.bands import Bands
from ex4d.raster.cpu import CpuRasterizer
from ex4d.raster.gpu import GPU_RASTERIZERS
from ex4d.types import Bool, Guides, Int32, RasterOptions, Trajectory, UInt8

OnGuide = Callable[[int, UInt8, Bool], None]
"""Called with (output frame, colour [H, W, 3], mask [H, W]), in order, from the caller's thread."""

STAGE = "guides"


def render_guides(
    mesh: DWMesh,
    trajectory: Trajectory,
    *,
    rasterizer: str = "cpu",
    options: RasterOptions = RasterOptions(),
    source_first_frame: bool = False,
    objects: Sequence[GuideObject] = (),
    on_frame: OnGuide | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
    threads: int | None = None,
) -> Guides:
    """Render the clip along ``trajectory``; each output frame shows the source frame nearest its ``source_time``.

    ``source_first_frame`` is the published rule: output frame 0 is the source picture itself with a full mask,
    wherever its camera stands. ``objects`` stand in the scene beside the mesh. ``threads`` defaults to the cores at
    hand; the result does not depend on it. A camera that sees nothing gives an empty frame, not an error: see
    ``Guides.empty_frames``.

    "triton" and "nvdiffrast" build and draw on a CUDA device, many frames at once; to keep the guides there see
    ``ex4d.raster.gpu.guides.render_guides_gpu``.

    Raises TrajectoryError for a source time outside the clip, SettingError for an unknown rasterizer, RasterError for
    one that cannot run here or cannot draw ``objects``, ShapeError for objects that do not fit, Cancelled soon after
    ``cancel`` (asked several times a frame).
    """
    times = source_frames(trajectory, mesh.num_frames)
    workers = thread_count(threads)
    check_first_frame(mesh, trajectory, source_first_frame)
    check_objects(objects, len(trajectory))
    if objects and rasterizer in GPU_RASTERIZERS:
        raise RasterError(
            f"The rasterizer '{rasterizer}' draws the clip's mesh alone, but {len(objects)} objects stand beside it; "
            "use the rasterizer 'cpu', or leave them out."
        )
    get_rasterizer(rasterizer)  # an unknown name is told before any work
    if rasterizer in GPU_RASTERIZERS:
        from ex4d.raster.gpu.host import render_guides_to_host

        return render_guides_to_host(
            mesh, trajectory, rasterizer=rasterizer, options=options, source_first_frame=source_first_frame,
            on_frame=on_frame, on_progress=on_progress, cancel=cancel,
        )  # fmt: skip
    shape = (len(trajectory), trajectory.height, trajectory.width)
    guides = Guides(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.bool_))
    own = threading.local()

    def render(i: int) -> None:
        check(cancel)
        if source_first_frame and i == 0:
            guides.colour[0], guides.mask[0] = mesh.clip.frames[times[0]], True
            return
        if not hasattr(own, "rasterizer"):
            own.rasterizer = get_rasterizer(rasterizer, lambda: check(cancel))
        drawn: Rasterizer = own.rasterizer
        camera = Camera.of(trajectory, i)
        surface = with_objects(mesh.surface(int(times[i])), objects, i, camera)
        guides.colour[i], guides.mask[i] = drawn.draw(surface, camera, options)

    report(on_progress, STAGE, 0, len(trajectory))
    for i in _in_order(render, len(trajectory), workers, cancel):
        if on_frame is not None:
            on_frame(i, guides.colour[i], guides.mask[i])
        report(on_progress, STAGE, i + 1, len(trajectory))
    return guides


class FrameRenderer:
    """One guide as soon as possible, again and again: all threads work on the same frame, in bands of rows.

    For live display while a camera is being moved: the mesh of the frame drawn last is kept, so only the camera's
    part is done again. Pictures equal those of :func:`render_guides`. Use it from one thread; close it when done.
    """

    def __init__(
        self,
        mesh: DWMesh,
        options: RasterOptions = RasterOptions(),
        *,
        threads: int | None = None,
        bands: Bands | None = None,
    ) -> None:
        """``bands`` are threads to borrow, of whoever has several renderers; without them it has its own."""
        self._mesh = mesh
        self._options = options
        self._is_own = bands is None
        self._bands = bands if bands is not None else Bands(thread_count(threads))
        self._rasterizer = CpuRasterizer(self._bands)
        self._held: tuple[int, Surface] | None = None

    def render(
        self, t: int, camera: Camera, objects: Sequence[GuideObject] = (), *, index: int = 0
    ) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """Colour and mask of source frame ``t`` as ``camera`` sees it, with ``objects`` as in output frame ``index``.

        Raises SettingError for a frame not there.
        """
        if self._held is None or self._held[0] != t:
            self._held = t, self._mesh.surface(t, self._bands)
        surface = with_objects(self._held[1], objects, index, camera)
        return self._rasterizer.draw(surface, camera, self._options)

    def close(self) -> None:
        """End the threads, unless they were borrowed."""
        if self._is_own:
            self._bands.close()

    def __enter__(self) -> FrameRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def source_frames(trajectory: Trajectory, num_frames: int) -> Int32:  # [N]
    """The source frame nearest each ``source_time`` (halves go to the later one). Raises TrajectoryError."""
    nearest = np.floor(trajectory.source_time + 0.5)
    outside = np.flatnonzero((nearest < 0) | (nearest >= num_frames))
    if outside.size:
        i = int(outside[0])
        raise TrajectoryError(
            f"Output frame {i} asks for source time {trajectory.source_time[i]:g}, but the clip has frames 0 to "
            f"{num_frames - 1}; keep the source time within them."
        )
    return nearest.astype(np.int32)


def check_first_frame(mesh: DWMesh, trajectory: Trajectory, source_first_frame: bool) -> None:
    """Raise SettingError where the first frame shall be the source picture but has another size."""
    if source_first_frame and (trajectory.height, trajectory.width) != (mesh.height, mesh.width):
        raise SettingError(
            f"The first frame can only be the source picture at the source's size {mesh.width}x{mesh.height}, "
            f"not {trajectory.width}x{trajectory.height}; render at that size or leave source_first_frame off."
        )


def thread_count(threads: int | None = None) -> int:
    """``threads``, or the cores at hand. Raises SettingError for less than one."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise SettingError(f"At least one thread is needed, got {threads}.")
    return threads


def _in_order(work: Callable[[int], None], count: int, workers: int, cancel: CancelToken | None) -> Iterator[int]:
    """Run ``work(0..count-1)`` on ``workers`` threads, few ahead at a time, and yield each index in order when done."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ex4d-guides")
    waiting: deque[Future[None]] = deque()
    submitted = 0
    try:
        for i in range(count):
            while submitted < min(count, i + 2 * workers):
                waiting.append(pool.submit(work, submitted))
                submitted += 1
            waiting.popleft().result()
            check(cancel)
            yield i
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
