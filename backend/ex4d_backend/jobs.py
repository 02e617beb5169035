"""What each kind of job does, with the library's parts; runs in a worker process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np

import ex4d
from ex4d.dwmesh import DWMesh
from ex4d.errors import InputError, SettingError
from ex4d.generate import get_engine
from ex4d.generate.shot import ShotPlan, generate_shot, plan_shot
from ex4d.guides import render_guides
from ex4d.progress import check, report
from ex4d.trajectory import near_depth_of
from ex4d.types import Clip, Guides
from ex4d_backend import sources
from ex4d_backend.context import JobContext
from ex4d_backend.estimating import estimate
from ex4d_backend.objects import read_objects
from ex4d_backend.sources import LoadedSource, Sources, WarmCache
from ex4d_protocol.requests import (
    BuildMesh,
    ClipSpec,
    EstimateDepth,
    Generate,
    MeshSpec,
    RenderGuides,
    Request,
    blobs_of,
)

decode_request: Callable[[bytes], Request] = msgspec.msgpack.Decoder(Request).decode


class Runner:
    """Runs jobs one after the other and keeps the last clip, mesh and guides warm."""

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads
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

    def _mesh(self, clip: ClipSpec, mesh: MeshSpec, context: JobContext) -> tuple[LoadedSource, DWMesh]:
        source = self._sources.clip(
            clip,
            context.blobs,
            context.scratch,
            clip_pixels=context.clip_pixels,
            on_progress=context.on_progress,
            cancel=context.cancel,
        )
        context.log(f"clip: {source.clip.num_frames} frames of {source.clip.width}x{source.clip.height}")
        return source, self._sources.mesh(source, clip, mesh, context.blobs)

    def _build_mesh(self, request: BuildMesh, context: JobContext) -> None:
        # What is edited is the grid of the endless mesh, without thickness; solid ones are made when they are drawn.
        options = msgspec.structs.replace(request.mesh.options, mode="endless", other_frames=False)
        edits = tuple(msgspec.structs.replace(edit, thickness=None) for edit in request.mesh.edits)
        spec = msgspec.structs.replace(request.mesh, options=options, thickness=None, edits=edits)
        source, mesh = self._mesh(request.clip, spec, context)
        if request.visible_only:
            _record_visible(request.visible_only, mesh, context)
            return
        context.recorder.document("clip_info", clip_info(source, mesh))
        context.recorder.array("faces", -1, mesh.faces)
        for t in range(mesh.num_frames):
            check(context.cancel)
            surface = mesh.surface(t)  # positions and visibility in one pass; alpha is 255 where visible
            visible = np.ascontiguousarray(surface.colors[:, 3].reshape(mesh.height, mesh.width))
            context.recorder.picture("colour", t, mesh.clip.frames[t])
            context.recorder.array("vertices", t, surface.vertices)
            context.recorder.picture("visible", t, visible)
            report(context.on_progress, "mesh", t + 1, mesh.num_frames)

    def _render_guides(self, request: RenderGuides, context: JobContext) -> None:
        recorder = context.recorder

        def on_frame(i: int, colour: np.ndarray, mask: np.ndarray) -> None:
            recorder.picture("colour", i, colour)
            recorder.picture("mask", i, mask.astype(np.uint8) * np.uint8(255))

        _, mesh = self._mesh(request.clip, request.mesh, context)
        guides = self._draw(request, mesh, ShotPlan(sources.trajectory(request.trajectory)), context, on_frame)
        recorder.array("coverage", -1, guides.coverage)

    def _draw(
        self,
        request: RenderGuides | Generate,
        mesh: DWMesh,
        plan: ShotPlan,
        context: JobContext,
        on_frame: Callable[[int, np.ndarray, np.ndarray], None] | None = None,
    ) -> Guides:
        drawn = [False]

        def draw() -> Guides:
            drawn[0] = True
            found = read_objects(request.objects, context.blobs, num_frames=request.trajectory.num_frames)
            return render_guides(
                mesh,
                plan.trajectory,
                rasterizer=request.raster.rasterizer,
                options=sources.raster_options(request.raster),
                source_first_frame=request.raster.source_first_frame or plan.source_first_frame,
                objects=[each.after(plan.trim) for each in found],
                on_frame=on_frame,
                on_progress=context.on_progress,
                cancel=context.cancel,
                threads=self._threads,
            )

        moves = (request.trajectory, plan.trim, plan.source_first_frame)
        parts = (request.clip, request.mesh, request.raster, *moves, request.objects)
        guides = self._guides.get(msgspec.msgpack.encode(parts), draw)
        if not drawn[0] and on_frame is not None:
            for i in range(len(guides.mask)):
                check(context.cancel)
                on_frame(i, guides.colour[i], guides.mask[i])
                report(context.on_progress, "guides", i + 1, len(guides.mask))
        return guides

    def _generate(self, request: Generate, context: JobContext) -> None:
        engine = get_engine(request.engine)
        info = engine.info()
        settings = info.validated(request.settings)
        if not info.available:
            raise SettingError(f"The {info.name} engine cannot run on this backend: {info.missing}")
        source, mesh = self._mesh(request.clip, request.mesh, context)
        trajectory = sources.trajectory(request.trajectory)
        plan = plan_shot(trajectory, source.clip, settings, border_depth=mesh.options.border_depth)
        if plan.message:
            context.log(plan.message)
        drawn = self._draw(request, mesh, plan, context)
        guides = plan.without_lead_in(drawn)
        context.recorder.array("coverage", -1, guides.coverage)
        fps = request.fps if request.fps is not None else source.clip.fps
        generate_shot(
            engine,
            plan,
            drawn,
            source.clip,
            settings=settings,
            seed=request.seed,
            fps=fps,
            on_frame=lambda i, frame: context.recorder.picture("frame", i, frame),
            on_progress=context.on_progress,
            cancel=context.cancel,
        )
        take = take_info(request, source.clip, settings, fps, info.licence, guides)
        context.recorder.document("take", {**take, "lead_in_frames": plan.trim})


def _record_visible(frames: tuple[int, ...], mesh: DWMesh, context: JobContext) -> None:
    """Only which vertices of ``frames`` are visible. Raises InputError for a frame the clip does not have."""
    outside = [t for t in frames if t >= mesh.num_frames]
    if outside:
        raise InputError(
            f"Frame {outside[0]} is asked for, but the clip ends at {mesh.num_frames - 1}; ask for frames within it."
        )
    for i, t in enumerate(frames):
        check(context.cancel)
        visible = mesh.vertex_visible(t).reshape(mesh.height, mesh.width)
        context.recorder.picture("visible", t, visible.astype(np.uint8) * np.uint8(255))
        report(context.on_progress, "visible", i + 1, len(frames))


def clip_info(source: LoadedSource, mesh: DWMesh) -> dict[str, Any]:
    """What a person and the add-on want to know about a clip."""
    clip = source.clip
    k = clip.intrinsics
    return {
        "name": clip.name,
        "num_frames": clip.num_frames,
        "width": clip.width,
        "height": clip.height,
        "fps": clip.fps,
        "intrinsics": [k.fx, k.fy, k.cx, k.cy],
        "intrinsics_source": k.source,
        "fov_deg": k.fov_deg,
        "near_depth": near_depth_of(clip, mesh.options.border_depth),
        "median_depth": float(np.median(clip.depth[0])),
        "max_depth": float(clip.depth.max()),
        "border_depth": mesh.options.border_depth,
        "depth_source": clip.depth_source,
        "depth_licence": clip.depth_licence,
        "filled_pixels": int(source.filled.count),
        "filled": source.filled.describe() if source.filled.count else "",
        "num_faces": len(mesh.faces),
    }


def take_info(
    request: Generate, clip: Clip, settings: dict[str, Any], fps: float, licence: str, guides: Guides
) -> dict[str, Any]:
    """Everything needed to make the take again: the whole request but for its arrays, which are given as numbers."""
    trajectory = request.trajectory
    poses, intrinsics, source_time = trajectory.arrays()
    return {
        "engine": request.engine,
        "engine_licence": licence,
        "settings": settings,
        "seed": request.seed,
        "fps": fps,
        "note": request.note,
        "version": ex4d.__version__,
        "clip": {
            "name": clip.name,
            "spec": msgspec.to_builtins(request.clip),
            "intrinsics": asdict(clip.intrinsics),
            "depth_source": clip.depth_source,
            "depth_licence": clip.depth_licence,
        },
        "mesh": msgspec.to_builtins(request.mesh),
        "raster": msgspec.to_builtins(request.raster),
        "objects": msgspec.to_builtins(request.objects),
        "camera": {
            "name": trajectory.name,
            "width": trajectory.width,
            "height": trajectory.height,
            "world_from_camera": poses.tolist(),
            "intrinsics": intrinsics.tolist(),
            "source_time": source_time.tolist(),
        },
        "coverage": guides.coverage.tolist(),
        "empty_frames": guides.empty_frames(),
        "blobs": {digest: blob.name for digest, blob in blobs_of(request).items()},
    }
