"""Guides of a whole move, on the CPU or on a GPU, as arrays."""

import threading
from collections.abc import Callable, Collection, Sequence

import numpy as np

from ex4d.allocation import give_back_kept
from ex4d.dwmesh import DWMesh
from ex4d.frames import Frames, FrameStack, SomeFrames
from ex4d.frames.ahead import in_order, thread_count, workers_within
from ex4d.guides.known import KnownBeside
from ex4d.guides.objects import GuideObject, with_objects
from ex4d.guides.request import GuideRequest, OnGuide, device_bytes
from ex4d.needs import WORKING_BYTES_PER_PIXEL
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.raster import Camera, Rasterizer, choose_rasterizer, get_rasterizer
from ex4d.raster.cpu import CpuRasterizer
from ex4d.types import Clip, Guides
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, UInt8
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
    kept: Collection[int] | None = None,
    known: bool = False,
) -> Guides:
    """Render the clip along ``trajectory``; each output frame shows the source frame nearest its ``source_time``.

    The move is in the world, also where the source camera moves (``Clip.source_camera``). A clip gets a mesh with solid
    occluders. ``rasterizer`` and ``source_first_frame`` stand in for those of ``options``. The latter is the published
    rule: output frame 0 is the source picture itself with a full mask, wherever its camera stands. ``objects`` stand in
    the scene beside the mesh. ``threads`` defaults to the cores at hand; the result does not depend on it. A camera
    that sees nothing gives an empty frame, not an error: see ``Guides.empty_frames``. ``on_frame`` is told each frame,
    in order, as soon as it is drawn; of those that are not ``kept`` (on the CPU) only the coverage is. ``known`` asks
    for what else the clip shows (``Guides.known``), if that is to be had in passing; else
    :func:`ex4d.guides.render_known` draws it.

    "auto" draws on a CUDA device with Triton where there is one, else on the CPU (see
    :func:`ex4d.raster.choose_rasterizer`); ``Guides.rasterizer`` says which it was. To keep the guides on the device
    see ``ex4d.guides.gpu.render_guides_gpu``.

    Raises TrajectoryError for a source time outside the clip, SettingError for an unknown rasterizer, RasterError for
    one that cannot run here, ShapeError for objects that do not fit, Cancelled soon after ``cancel`` (on the CPU asked
    several times a frame).
    """
    mesh = DWMesh(mesh, MeshOptions(mode="solid")) if isinstance(mesh, Clip) else mesh
    first = source_first_frame or options.source_first_frame
    request = GuideRequest(mesh, trajectory, options, first, objects)
    workers = workers_within(thread_count(threads), WORKING_BYTES_PER_PIXEL * mesh.height * mesh.width)
    choice = choose_rasterizer(rasterizer or options.rasterizer, device_bytes=device_bytes(mesh))
    if choice.on_gpu:
        from ex4d.guides.gpu import GpuGuideRenderer

        with GpuGuideRenderer(mesh, choice.name) as renderer:  # a model that this process runs next needs the memory
            return renderer.render_to_host(request, on_frame, on_progress, cancel)
    count = len(trajectory)
    report(on_progress, stages.GUIDES, 0, count)
    beside = KnownBeside(request, cancel) if known and KnownBeside.fits(request, choice.name) else None
    draw = _drawn_by(choice.name, request, beside, cancel)
    colours, masks = (FrameStack(expected=count if kept is None else len(kept), label="The guides") for _ in range(2))
    coverage = np.empty(count, np.float64)
    for i, (colour, mask) in enumerate(in_order(draw, range(count), workers, cancel)):
        if kept is None or i in kept:
            colours.append(colour)
            masks.append(mask)
        coverage[i] = np.count_nonzero(mask) / mask.size  # the mean, in a twentieth of its time
        if on_frame is not None:
            on_frame(i, colour, mask)
        report(on_progress, stages.GUIDES, i + 1, count)
    give_back_kept()  # larger than what comes next needs, and in its way
    guides = Guides(*(_stored(stack, kept, count) for stack in (colours, masks)), rasterizer=choice.name)
    guides.know_coverage(coverage)
    return guides if beside is None else guides.with_known(beside.known())


def _drawn_by(
    rasterizer: str, request: GuideRequest, beside: KnownBeside | None, cancel: CancelToken | None
) -> Callable[[int], tuple[UInt8, Bool]]:
    """What draws one frame by its index, from any thread: colour [H, W, 3] and mask [H, W]."""
    own = threading.local()

    def draw(i: int) -> tuple[UInt8, Bool]:
        check(cancel)
        mesh, t = request.mesh, request.times[i]
        if request.source_first_frame and i == 0 and beside is None:
            return mesh.clip.frames[t], np.ones(request.shape[1:], np.bool_)
        if not hasattr(own, "rasterizer"):
            own.rasterizer = get_rasterizer(rasterizer, lambda: check(cancel))
        drawn: Rasterizer = own.rasterizer
        if beside is not None and isinstance(drawn, CpuRasterizer):
            return beside.draw(drawn, i)
        camera = Camera.of(request.seen, i)
        surface = with_objects(mesh.surface(t), request.objects, i, camera, mesh.clip.mesh_from_world(t))
        return drawn.draw(surface, camera, request.options)

    return draw


def _stored(stack: FrameStack, kept: Collection[int] | None, count: int) -> Frames:
    return stack.frames() if kept is None else SomeFrames(stack.frames(), kept, count)
