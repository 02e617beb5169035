"""Guides of a whole move, on the CPU or on a GPU, as arrays."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.guides.objects import GuideObject, with_objects
from ex4d.guides.request import GuideRequest, OnGuide, device_bytes, thread_count
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.raster import Camera, Rasterizer, choose_rasterizer, get_rasterizer
from ex4d.types import Clip, Guides
from ex4d_ground import stages
from ex4d_ground.cameras import Trajectory
from ex4d_ground.options import MeshOptions, RasterOptions


def render_guides(
    mesh: DWMesh | Clip,
    trajectory: Trajectory,
    *,
    rasterizer: str = "",
    options: RasterOptions = RasterOptions(),
    source_first_frame: bool = False,
    objects: Sequence[GuideObject] = (),
    on_frame: OnGuide | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
    threads: int | None = None,
) -> Guides:
    """Render the clip along ``trajectory``; each output frame shows the source frame nearest its ``source_time``.

    A clip gets a mesh with solid occluders. ``rasterizer`` and ``source_first_frame`` stand in
    for those of ``options``. The latter is the published rule: output frame 0 is the source
    picture itself with a full mask, wherever its camera stands. ``objects`` stand in the scene beside the mesh.
    ``threads`` defaults to the cores at hand; the result does not depend on it. A camera that sees nothing gives an
    empty frame, not an error: see ``Guides.empty_frames``.

    "auto" draws on a CUDA device with Triton where there is one, else on the CPU (see
    :func:`ex4d.raster.choose_rasterizer`); ``Guides.rasterizer`` says which it was. To keep the guides on the device
    see ``ex4d.guides.gpu.render_guides_gpu``.

    Raises TrajectoryError for a source time outside the clip, SettingError for an unknown rasterizer, RasterError for
    one that cannot run here, ShapeError for objects that do not fit, Cancelled soon after ``cancel`` (on the CPU asked
    several times a frame).
    """
    mesh = DWMesh(mesh, MeshOptions(mode="solid")) if isinstance(mesh, Clip) else mesh
    first = source_first_frame or options.source_first_frame
    request, workers = GuideRequest(mesh, trajectory, options, first, objects), thread_count(threads)
    choice = choose_rasterizer(rasterizer or options.rasterizer, device_bytes=device_bytes(mesh))
    if choice.on_gpu:
        from ex4d.guides.gpu import GpuGuideRenderer

        with GpuGuideRenderer(mesh, choice.name) as renderer:  # a model that this process runs next needs the memory
            return renderer.render_to_host(request, on_frame, on_progress, cancel)
    guides = Guides(np.zeros((*request.shape, 3), np.uint8), np.zeros(request.shape, np.bool_), rasterizer=choice.name)
    own = threading.local()

    def render(i: int) -> None:
        check(cancel)
        if first and i == 0:
            guides.colour[0], guides.mask[0] = mesh.clip.frames[request.times[0]], True
            return
        if not hasattr(own, "rasterizer"):
            own.rasterizer = get_rasterizer(choice.name, lambda: check(cancel))
        drawn: Rasterizer = own.rasterizer
        camera = Camera.of(trajectory, i)
        surface = with_objects(mesh.surface(request.times[i]), objects, i, camera)
        guides.colour[i], guides.mask[i] = drawn.draw(surface, camera, options)

    report(on_progress, stages.GUIDES, 0, len(trajectory))
    for i in _in_order(render, len(trajectory), workers, cancel):
        if on_frame is not None:
            on_frame(i, guides.colour[i], guides.mask[i])
        report(on_progress, stages.GUIDES, i + 1, len(trajectory))
    return guides


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
