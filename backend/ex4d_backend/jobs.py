"""What each kind of job does, with the library's parts; runs in a worker process."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal

import msgspec
import numpy as np

from ex4d.clip.depth_hints import border_hint
from ex4d.clip.players import frames_for_players
from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.proxy import ProxyGrid
from ex4d.engines import Engine, get_engine
from ex4d.engines.plane_share import PlaneShares
from ex4d.engines.shot import KEEP_LOADED, ShotPlan, loaded_once
from ex4d.frames import bounds_of
from ex4d.frames.ahead import in_order, thread_count
from ex4d.guides import OnGuide
from ex4d.progress import reported
from ex4d.shots.draw import Drawing, RenderedShot, draw_shot
from ex4d.shots.take import joined_eyes, run_engine, source_camera_of
from ex4d.takes import describe_take
from ex4d.trajectory import near_depth_of
from ex4d.types import Clip, Guides, Take
from ex4d_backend.blobs import blob_path
from ex4d_backend.edited_grid import EditedGrid
from ex4d_backend.estimating import estimate
from ex4d_backend.exporting import export, record_layers
from ex4d_backend.objects import read_objects
from ex4d_backend.recording import JobContext
from ex4d_backend.solving import solve
from ex4d_backend.sources import LoadedSource, Sources, WarmCache, drawn_by, read_edits
from ex4d_backend.web_pages import record_page
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.errors import InputError, SettingError, in_words
from ex4d_ground.grids import PROXY_SIDE, is_full
from ex4d_ground.takes import TakeInfo
from ex4d_protocol.requests import (
    BuildMesh,
    ClipSpec,
    EstimateDepth,
    ExportTake,
    Generate,
    MeshSpec,
    RenderGuides,
    Request,
    SolveCamera,
    TrajectorySpec,
    WebPage,
    blobs_of,
)

_MESHES_AT_ONCE = 2
"""Frames whose mesh is made side by side: writing them takes the rest of the time, and a full 4K grid much memory."""


class Runner:
    """Runs jobs one after the other and keeps the last clip, mesh and guides warm."""

    def __init__(self, *, threads: int | None = None, rasterizer: str = "auto") -> None:
        """``rasterizer`` draws where a request leaves it open."""
        self._threads, self._rasterizer = threads, rasterizer
        self._sources = Sources()
        self._guides: WarmCache[Guides] = WarmCache(1)

    def run(self, request: Request, context: JobContext) -> None:
        """Do what ``request`` asks. Raises the library's errors, Cancelled among them."""
        match request:
            case BuildMesh():
                self._build_mesh(request, context)
            case RenderGuides():
                self._render_guides(request, context)
            case Generate():
                self._generate(request, context)
            case EstimateDepth():
                estimate(request, context)
            case ExportTake():
                export(request, context)
            case SolveCamera():
                source = self._source(request.clip, context)
                solve(request, source.clip, context)
            case WebPage():
                record_page(request, self._mesh(request.clip, request.mesh, context)[1], context)

    def let_go(self) -> None:
        """Keep nothing warm any more."""
        self._sources.let_go()
        self._guides.clear()

    def _mesh(
        self, clip: ClipSpec, mesh: MeshSpec, context: JobContext, *, keep_plate: bool = False
    ) -> tuple[LoadedSource, DWMesh]:
        source = self._source(clip, context, keep_plate=keep_plate)
        return source, self._sources.mesh(source, clip, mesh, context.blobs)

    def _source(self, clip: ClipSpec, context: JobContext, *, keep_plate: bool = False) -> LoadedSource:
        source = self._sources.clip(
            clip,
            context.blobs,
            context.scratch,
            clip_pixels=context.clip_pixels,
            keep_plate=keep_plate,
            **context.watch,
        )
        context.log(f"clip: {source.clip.num_frames} frames of {source.clip.width}x{source.clip.height}")
        return source

    def _build_mesh(self, request: BuildMesh, context: JobContext) -> None:
        # What is edited is the grid of the endless mesh, without thickness; solid ones are made when they are drawn.
        options = msgspec.structs.replace(request.mesh.options, mode="endless", other_frames=False, world_memory=False)
        edits = tuple(msgspec.structs.replace(edit, thickness=None) for edit in request.mesh.edits)
        spec = msgspec.structs.replace(request.mesh, options=options, thickness=None, edits=edits)
        source, grid = self._grid(request.clip, spec, context)
        if request.visible_only:
            _record_visible(tuple(dict.fromkeys(request.visible_only)), grid, context)
            return
        footage = _footage(request, source.clip, context)
        context.recorder.document("clip_info", clip_info(source, grid) | {"footage": footage})
        context.recorder.array("faces", -1, grid.faces)
        workers = min(thread_count(self._threads), _MESHES_AT_ONCE)
        made = in_order(grid.vertices_and_visible, range(grid.num_frames), workers, context.watch.get("cancel"))
        for t, (vertices, visible) in enumerate(reported(made, stages.MESH, grid.num_frames, **context.watch)):
            if footage != "video":
                context.recorder.picture("colour", t, source.clip.frames[t], encoding=footage)
            context.recorder.array("vertices", t, vertices)
            context.recorder.picture("visible", t, visible)

    def _grid(self, clip: ClipSpec, mesh: MeshSpec, context: JobContext) -> tuple[LoadedSource, EditedGrid]:
        """The grid that a client edits, with its edits; that of a proxy is made of the mesh that has none."""
        plain = msgspec.structs.replace(mesh, edits=()) if mesh.grid_side else mesh
        source, full = self._mesh(clip, plain, context)
        if is_full(full.width, full.height, mesh.grid_side):
            return source, EditedGrid(self._mesh(clip, mesh, context)[1])
        return source, EditedGrid(full, ProxyGrid(full, mesh.grid_side), *read_edits(mesh, context.blobs))

    def _render_guides(self, request: RenderGuides, context: JobContext) -> None:
        recorder = context.recorder
        _, mesh = self._mesh(request.clip, request.mesh, context)
        planes = None
        if request.on_plane:
            planes = PlaneShares(mesh.clip, request.trajectory.unpack(), planes=request.planes, **context.watch)

        def on_frame(i: int, colour: np.ndarray, mask: np.ndarray) -> None:
            recorder.picture("colour", i, colour)
            recorder.picture("mask", i, mask.astype(np.uint8) * np.uint8(255))
            if planes is not None:
                planes.add(i, colour, mask)

        shot = self._draw(request, mesh, {}, context, on_frame)
        if planes is not None and planes.shares is not None:
            recorder.document("planes", msgspec.to_builtins(planes.planes))
            recorder.array("on_plane", -1, planes.shares)
        recorder.array("coverage", -1, shot.guides.coverage)

    def _draw(
        self,
        request: RenderGuides | Generate,
        mesh: DWMesh,
        settings: Mapping[str, Any],
        context: JobContext,
        on_frame: OnGuide | None = None,
    ) -> RenderedShot:
        """The guides for an engine with these ``settings``, the last ones if they are the same."""

        raster, took_s = drawn_by(request.raster, self._rasterizer), 0.0

        def timed(i: int, colour: UInt8, mask: Bool) -> None:
            nonlocal took_s
            if on_frame is not None:
                started = time.perf_counter()
                on_frame(i, colour, mask)
                took_s -= time.perf_counter() - started  # keeping what is drawn is not drawing

        def timed_draw(draw: Callable[[], Guides]) -> Guides:
            nonlocal took_s
            started = time.perf_counter()
            guides = draw()
            took_s += time.perf_counter() - started
            return guides

        def keep(plan: ShotPlan, draw: Callable[[], Guides]) -> Guides:
            moves = (request.trajectory, plan.trim, plan.source_first_frame)
            parts = (request.clip, request.mesh, raster, *moves, request.objects)
            return self._guides.get(msgspec.msgpack.encode(parts), lambda: timed_draw(draw))

        drawing = Drawing(
            raster,
            objects=read_objects(request.objects, context.blobs, num_frames=request.trajectory.num_frames),
            threads=self._threads,
        )
        shot = draw_shot(
            mesh,
            request.trajectory.unpack(),
            drawing,
            settings=settings,
            keep=keep,
            on_frame=timed if on_frame is not None else None,
            **context.watch,
        )
        context.log(f"guides: drawn by the rasterizer '{shot.rasterizer}' in {1000 * took_s:.1f} ms")
        if shot.plan.message:
            context.log(shot.plan.message)
        return shot

    def _generate(self, request: Generate, context: JobContext) -> None:
        engine = get_engine(request.engine)
        info = engine.info()
        settings = info.validated(request.settings)
        if not info.available:
            text = f"The {info.name} engine cannot run on this backend: {info.missing}"
            raise SettingError(text, remedy=info.remedy)
        source, mesh = self._mesh(request.clip, request.mesh, context, keep_plate=request.layers != "none")
        shots = [self._draw(each, mesh, settings, context) for each in _eyes_of(request)]
        context.recorder.array("coverage", -1, np.minimum.reduce([shot.guides.coverage for shot in shots]))
        with loaded_once(engine, settings if len(shots) > 1 else {KEEP_LOADED: True}) as keep:
            takes = self._takes(engine, shots, request, settings, context, keep=keep)
        take = takes[0] if request.eyes is None else joined_eyes(request.eyes, *takes)
        context.recorder.document("take", msgspec.to_builtins(take_info(request, take, source.clip)))

    @staticmethod
    def _takes(
        engine: Engine,
        shots: list[RenderedShot],
        request: Generate,
        settings: dict[str, Any],
        context: JobContext,
        *,
        keep: bool,
    ) -> list[Take]:
        """Each eye's take, recorded as it comes: the left eye's items have the usual names."""
        takes: list[Take] = []
        for shot, (frames, layers) in zip(shots, (("frame", "layers"), ("right", "right_layers")), strict=False):
            take = run_engine(
                engine,
                shot,
                settings=settings,
                seed=request.seed,
                fps=request.fps,
                keep_loaded=keep,
                layers=request.layers == "all",
                beside=(shots[0], takes[0]) if takes else None,
                on_frame=partial(context.recorder.picture, frames),
                **context.watch,
            )
            if request.layers == "none":
                take = replace(take, layers=None)  # the clip may be a warm one that has its plate
            record_layers(take, context, layers)
            takes.append(take)
        return takes


def _eyes_of(request: Generate) -> list[Generate]:
    """The request, and the right eye's where there are two. Raises ShapeError where eyes and frames do not fit."""
    if request.eyes is None:
        return [request]
    right = TrajectorySpec.pack(request.eyes.right(request.trajectory.unpack()))
    return [request, msgspec.structs.replace(request, trajectory=right)]


def _footage(request: BuildMesh, clip: Clip, context: JobContext) -> Literal["png", "jpeg", "video"]:
    """How the client gets the footage: as pictures, or not at all, because it plays the same from the video."""
    if request.footage == "png" or max(clip.width, clip.height) <= PROXY_SIDE:
        return "png"
    video = request.clip.video
    if request.plays_frames and video.kind == "video":
        path = blob_path(context.blobs, video.blobs[0].sha256)
        if frames_for_players(path) == request.plays_frames:
            return "video"
    return "jpeg"


def _record_visible(frames: tuple[int, ...], grid: EditedGrid, context: JobContext) -> None:
    """Only which vertices of ``frames`` are visible. Raises InputError for a frame the clip does not have."""
    outside = [t for t in frames if t >= grid.num_frames]
    if outside:
        raise InputError(
            f"Frame {outside[0] + 1} is asked for, but the clip ends at {grid.num_frames}; ask for frames within it."
        )
    for t in reported(frames, "visible", len(frames), **context.watch):
        context.recorder.picture("visible", t, grid.visible(t))


def clip_info(source: LoadedSource, grid: EditedGrid) -> dict[str, Any]:
    """What a person and the add-on want to know about a clip."""
    mesh = grid.mesh
    clip, border_depth = source.clip, mesh.options.border_depth
    k = clip.intrinsics
    behind = border_hint(clip.depth, border_depth, clip.sky_from)
    return {
        "name": clip.name,
        "num_frames": clip.num_frames,
        "width": clip.width,
        "height": clip.height,
        "fps": clip.fps,
        "intrinsics": [k.fx, k.fy, k.cx, k.cy],
        "intrinsics_source": k.source,
        "fov_deg": k.fov_deg,
        "near_depth": near_depth_of(clip, border_depth),
        "median_depth": float(np.median(mesh.clip.depth[0])),
        "max_depth": float(bounds_of(mesh.clip.depth)[:, 1].max()),
        "border_depth": border_depth,
        "depth_source": clip.depth_source,
        "depth_licence": clip.depth_licence,
        "filled_pixels": source.filled.count if source.filled else 0,
        "filled": source.filled.describe() if source.filled and source.filled.count else "",
        "notes": [*source.notes, *([in_words(*behind, "panel")] if behind else [])],
        "carries": msgspec.to_builtins(clip.footage) | {"colour": "" if clip.view is None else str(clip.view.space)},
        "num_faces": len(grid.faces),
        "grid_side": grid.side,
    }


def take_info(request: Generate, take: Take, clip: Clip) -> TakeInfo:
    """The take's description with the whole request in it, so that it can be made again."""
    own = describe_take(take)
    colour = own.colour
    ocio = None if request.clip.reading is None else request.clip.reading.ocio
    if colour is not None and colour.config and ocio is not None:
        colour = msgspec.structs.replace(colour, config=ocio.name)  # where it lies here is of no use there
    return msgspec.structs.replace(
        own,
        colour=colour,
        note=request.note,
        clip={
            "name": clip.name,
            "spec": msgspec.to_builtins(msgspec.structs.replace(request.clip, source_camera=None)),
            "intrinsics": asdict(clip.intrinsics),
            "depth_source": clip.depth_source,
            "depth_licence": clip.depth_licence,
            **source_camera_of(clip),
        },
        mesh=msgspec.to_builtins(request.mesh),
        objects=msgspec.to_builtins(request.objects),
        blobs={digest: blob.name for digest, blob in blobs_of(request).items()},
    )
