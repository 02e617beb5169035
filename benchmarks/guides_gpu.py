"""The GPU's part of benchmarks/guides.py: stages by CUDA events, memory, agreement, the published program's loop."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import statistics
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from guides_solid import building
from msgspec import structs

from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides, source_frames
from ex4d.guides.gpu import GpuGuideRenderer
from ex4d.guides.request import GuideRequest
from ex4d.raster.gpu.batch import CameraBatch
from ex4d.trajectory import near_depth_of, preset
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions, OccluderMode, RasterOptions
from ex4d_ground.poses import poses_from_view


class Report:
    """Results that reach the file section by section, so that a later failure loses nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.data: dict[str, Any] = {"device": describe_device(), "sections": {}}
        self.failed: list[str] = []

    def section(self, name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - the next section may still run; this one is recorded as failed
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"}
            self.failed.append(name)
        self.data["sections"][name] = result
        self.data["failed"] = self.failed
        print(f"{name}: {json.dumps(result)}  [{time.perf_counter() - start:.1f} s]", flush=True)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(".part")
            partial.write_text(json.dumps(self.data, indent=2) + "\n")
            partial.replace(self._path)
        return result


def describe_device() -> dict[str, Any]:
    versions = {"python": sys.version.split()[0], "torch": torch.__version__}
    with contextlib.suppress(ImportError):
        versions["triton"] = __import__("triton").__version__
    with contextlib.suppress(ImportError):
        versions["nvdiffrast"] = __import__("nvdiffrast").__version__
    if not torch.cuda.is_available():
        return {"name": "none", **versions}
    properties = torch.cuda.get_device_properties(0)
    return {"name": properties.name, "memory_gib": properties.total_memory / 2**30, **versions}


def milliseconds(work: Callable[[], Any], repeat: int = 10, warm_up: int = 2) -> dict[str, float]:
    """Time on the device by events around each call, and on the clock, medians of ``repeat`` calls."""
    for _ in range(warm_up):
        work()
    torch.cuda.synchronize()
    device, wall = [], []
    for _ in range(repeat):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        clock = time.perf_counter()
        start.record()
        work()
        end.record()
        end.synchronize()
        wall.append(1e3 * (time.perf_counter() - clock))
        device.append(start.elapsed_time(end))
    return {
        "median_ms": statistics.median(device),
        "best_ms": min(device),
        "worst_ms": max(device),
        "wall_median_ms": statistics.median(wall),
    }


def measure_size(
    mesh: DWMesh, trajectory: Trajectory, rasterizer: str, options: RasterOptions, repeat: int
) -> dict[str, Any]:
    """A whole clip from depth on the device to colour and mask on the device, and its stages."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    free_before = torch.cuda.mem_get_info()[0]
    renderer = GpuGuideRenderer(mesh, rasterizer)
    result: dict[str, Any] = {"frames": len(trajectory), "height": trajectory.height, "width": trajectory.width}
    clock = time.perf_counter()
    request = GuideRequest(mesh, trajectory, options)
    guides = renderer.render(request)
    torch.cuda.synchronize()
    result["first_call_s"] = time.perf_counter() - clock
    torch.cuda.reset_peak_memory_stats()
    result["frames_per_batch"] = renderer.frames_per_batch(trajectory.height * trajectory.width)
    result["clip"] = milliseconds(lambda: renderer.render(request), repeat)
    result["peak_allocated_gib"] = (torch.cuda.max_memory_allocated() - before) / 2**30
    result["taken_from_device_gib"] = (free_before - torch.cuda.mem_get_info()[0]) / 2**30  # nvdiffrast's own too
    result["coverage"] = float(guides.mask.float().mean())
    result["stages"] = stages(renderer, trajectory, options, repeat)
    if result["frames_per_batch"] > 16:
        fewer = dataclasses.replace(request, frames_per_batch=16)
        result["clip_16_at_once"] = milliseconds(lambda: renderer.render(fewer), repeat)
    result["from_host_arrays"] = milliseconds(lambda: GpuGuideRenderer(mesh, rasterizer).render(request), 3)
    result["to_host_arrays"] = milliseconds(
        lambda: render_guides(mesh, trajectory, rasterizer=rasterizer, options=options), 3
    )
    step = max(1, len(trajectory) // 2)
    one = Trajectory(
        trajectory.world_from_camera[step : step + 1], trajectory.intrinsics[step : step + 1],
        trajectory.source_time[step : step + 1], trajectory.width, trajectory.height,
    )  # fmt: skip
    result["one_frame"] = milliseconds(lambda: renderer.render(GuideRequest(mesh, one, options)), repeat)
    return result


def stages(renderer: GpuGuideRenderer, trajectory: Trajectory, options: RasterOptions, repeat: int) -> dict[str, Any]:
    """Each stage alone over the clip, batch by batch."""
    step = renderer.frames_per_batch(trajectory.height * trajectory.width)
    times = [int(t) for t in source_frames(trajectory, renderer.mesh.num_frames)]
    ranges = [(n, min(n + step, len(times))) for n in range(0, len(times), step)]
    cameras = CameraBatch.along(trajectory, options, renderer.device)
    surfaces = renderer.surfaces
    result: dict[str, Any] = {}
    if renderer.mesh.options.mode == "endless":
        result["vertices"] = milliseconds(lambda: [surfaces.vertices(times[a:b]) for a, b in ranges], repeat)
        lifted = [surfaces.vertices(times[a:b]) for a, b in ranges]
        pairs = list(zip(ranges, lifted, strict=True))
        result["occlusion"] = milliseconds(
            lambda: [surfaces.face_occluded(times[a:b], v) for (a, b), v in pairs], repeat
        )
        hidden = [surfaces.face_occluded(times[a:b], v) for (a, b), v in pairs]
        both = list(zip(ranges, hidden, strict=True))
        result["colours"] = milliseconds(lambda: [surfaces.colors(times[a:b], o) for (a, b), o in both], repeat)
        del lifted, hidden, pairs, both
    elif surfaces.solid is not None:
        result.update(building(surfaces.solid, [times[a:b] for a, b in ranges], milliseconds, repeat))
    raster = renderer.rasterizer

    def draw() -> None:
        for (a, b), batch in held:
            raster.draw_batch(batch, cameras.part(a, b), options)

    held = [((a, b), surfaces.surfaces(times[a:b])) for a, b in ranges]
    result["raster"] = milliseconds(draw, repeat)
    if raster.name == "triton":
        result["raster_passes"] = triton_passes(renderer, held[0][1], cameras.part(*ranges[0]), repeat)
    result["cameras"] = milliseconds(lambda: CameraBatch.along(trajectory, options, renderer.device), repeat)
    return result


def triton_passes(renderer: GpuGuideRenderer, batch: Any, cameras: CameraBatch, repeat: int) -> dict[str, Any]:
    """The passes of our rasterizer over one batch."""
    raster: Any = renderer.rasterizer
    points = raster._project(batch, cameras)
    keys = raster._draw(batch, cameras, points)
    return {
        "frames": batch.size,
        "project": milliseconds(lambda: raster._project(batch, cameras), repeat)["median_ms"],
        "draw": milliseconds(lambda: raster._draw(batch, cameras, points), repeat)["median_ms"],
        "resolve": milliseconds(lambda: raster._resolve(batch, cameras, points, keys, False), repeat)["median_ms"],
    }


def tuning(mesh: DWMesh, trajectory: Trajectory, repeat: int) -> dict[str, float]:
    """Milliseconds of drawing the clip for other sizes of our rasterizer's parts."""
    from ex4d.raster.gpu import triton_raster

    usual = {
        key: getattr(triton_raster, key) for key in ("SMALL", "ROWS", "COLUMNS", "PROGRAMS", "SPILL_TILES", "BLOCK")
    }
    variants = [{}, {"COLUMNS": 16}, {"ROWS": 16, "COLUMNS": 16}, {"ROWS": 32, "COLUMNS": 4}, {"SMALL": 8},
                {"SMALL": 32}, {"PROGRAMS": 16384}, {"SPILL_TILES": 16}, {"BLOCK": 256}]  # fmt: skip
    renderer, request, result = GpuGuideRenderer(mesh, "triton"), GuideRequest(mesh, trajectory), {}
    try:
        for variant in variants:
            for key, value in {**usual, **variant}.items():
                setattr(triton_raster, key, value)
            name = ", ".join(f"{key}={value}" for key, value in variant.items()) or "as it is"
            result[name] = milliseconds(lambda: renderer.render(request), repeat)["median_ms"]
    finally:
        for key, value in usual.items():
            setattr(triton_raster, key, value)
    return result


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def both_modes(
    report: Report, title: str, clip: Clip, trajectory: Trajectory, name: str, repeat: int, modes: list[OccluderMode]
) -> None:
    """Endless and solid meshes of one clip, and the ratio of their times."""
    clip_ms: dict[str, float] = {}
    for mode in modes:

        def measure(options: MeshOptions = MeshOptions(mode=mode)) -> dict[str, Any]:
            result = measure_size(DWMesh(clip, options), trajectory, name, RasterOptions(), repeat)
            clip_ms[options.mode] = result["clip"]["median_ms"]
            if len(clip_ms) == 2:
                result["times_endless"] = clip_ms["solid"] / clip_ms["endless"]
            return result

        report.section(f"{title}/{name}{'/solid' if mode == 'solid' else ''}", measure)


def agreement(mesh: DWMesh, trajectory: Trajectory, names: list[str]) -> dict[str, Any]:
    """Least IoU over the frames, and colour difference, between each pair of rasterizers."""
    guides = {name: render_guides(mesh, trajectory, rasterizer=name) for name in names}
    result: dict[str, Any] = {}
    for n, first in enumerate(names):
        for second in names[n + 1 :]:
            a, b = guides[first], guides[second]
            both = a.mask & b.mask
            overlap = [iou(a.mask[i], b.mask[i]) for i in range(len(a.mask))]
            result[f"{first}/{second}"] = {
                "least_iou": min(overlap),
                "mean_iou": float(np.mean(overlap)),
                "colour_error": float(np.abs(a.colour[both].astype(int) - b.colour[both]).mean()),
                "different_masks": int((a.mask != b.mask).sum()),
                "pass": min(overlap) >= 0.995,
            }
    return result


def golden(folder: Path, rasterizer: str, antialias: bool) -> dict[str, Any]:
    """The published program's pictures (recon_*.npz): the bars of the tests, with the numbers."""
    config = json.loads((folder / "config.json").read_text())
    result: dict[str, Any] = {}
    for cam in config["presets"]:
        with np.load(folder / f"recon_{cam}.npz") as data:
            wanted = dict(data)
        k, (_, height, width, _) = wanted["K"], wanted["frames"].shape
        lens = Intrinsics(float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), width, height)
        options = structs.replace(
            MeshOptions.ex4d_parity(), border_depth=config["border_depth"], min_angle_deg=config["min_angle_deg"]
        )
        mesh = DWMesh(Clip(wanted["frames"], wanted["depth"], lens), options)
        poses = poses_from_view(wanted["view"].astype(np.float64))
        n = len(poses)
        trajectory = Trajectory(
            poses, np.tile([lens.fx, lens.fy, lens.cx, lens.cy], (n, 1)), np.arange(n, dtype=float), width, height
        )
        raster = structs.replace(
            RasterOptions.ex4d_parity(), near=config["near"], far=config["far"],
            mask_threshold=config["mask_threshold"], antialias=antialias,
        )  # fmt: skip
        guides = render_guides(mesh, trajectory, rasterizer=rasterizer, options=raster, source_first_frame=True)
        result[cam] = against(guides.mask, guides.colour, wanted["rgba"])
        if rasterizer != "cpu":
            renderer = GpuGuideRenderer(mesh, rasterizer)
            surface = renderer.surfaces.surfaces([0])
            error = np.abs(surface.vertices[0].cpu().numpy() - wanted["vertices0"]).max()
            result[cam]["vertex_error"] = float(error)
            result[cam]["colours_identical"] = bool((surface.colors[0].cpu().numpy() == wanted["colors0"]).all())
            result[cam]["pass"] &= result[cam]["colours_identical"] and bool(error <= 1e-5)
    return result


def against(mask: np.ndarray, colour: np.ndarray, rgba: np.ndarray) -> dict[str, Any]:
    wanted = rgba[..., 3] > 0
    overlap = [iou(mask[t], wanted[t]) for t in range(1, len(mask))]
    errors = []
    for t in range(1, len(mask)):
        both = mask[t] & wanted[t]
        errors.append(float(np.abs(colour[t].astype(int) - rgba[t, ..., :3])[both].mean()) if both.any() else 0.0)
    good = min(overlap) >= 0.99 and float(np.mean(overlap)) >= 0.997 and max(errors) <= 1.0
    return {
        "least_iou": min(overlap), "mean_iou": float(np.mean(overlap)), "colour_error": max(errors), "pass": good
    }  # fmt: skip


class Published:
    """The published program's own loop (its recon.py), run as it stands on a depth that is given to it.

    Its module is imported from ``folder``; what it loads for depth estimation and video files is not needed for the
    loop, so where those imports are missing they are replaced by empty modules, and its video reader and depth
    estimator by the clip at hand. Video files are not written.
    """

    def __init__(self, folder: Path, clip: Clip, cam: str) -> None:
        sys.path.insert(0, str(folder))
        for name in ("depthcrafter", "depthcrafter.depth_crafter_ppl", "depthcrafter.unet", "utils.depth_utils"):
            sys.modules.setdefault(name, types.ModuleType(name))
        vars(sys.modules["utils.depth_utils"]).setdefault("DepthCrafterDemo", object)
        for name in ("einops", "torchvision", "imageio", "matplotlib", "matplotlib.cm", "trimesh", "decord"):
            try:
                __import__(name)
            except ImportError:
                sys.modules[name] = types.ModuleType(name)
        self.module: Any = __import__("recon")
        self.args = argparse.Namespace(
            num_frames=clip.num_frames, only_first_frame=0, save_depth=0, cam=cam, save_camera=False, save_mesh=False,
            filter_type="angle", use_dwmesh=1,
        )  # fmt: skip
        self.pictures: list[np.ndarray] = []
        depth = torch.from_numpy(clip.depth)[:, None].cuda()  # on the device, as its depth estimator leaves it
        k = clip.intrinsics
        lens = torch.tensor([[k.fx, 0.0, k.width // 2], [0.0, k.fy, k.height // 2], [0.0, 0.0, 1.0]])
        self.module.args = self.args
        self.module.read_video_frames = lambda *_, **__: (clip.frames, 15)
        self.module.run_depth_crafter = lambda *_, **__: (depth, lens)
        self.module.imwrite = lambda _path, frames, **__: self.pictures.append(frames)
        self.module.tqdm = lambda items: items

    def run(self, output: Path) -> tuple[np.ndarray, np.ndarray]:  # [T, H, W, 3], [T, H, W]
        self.pictures.clear()
        with contextlib.redirect_stdout(io.StringIO()):
            self.module.run_render("clip", str(output), self.args, None)
        colour, mask = self.pictures
        return colour, mask[..., 0] > 0


def published(folder: Path, clip: Clip, names: list[str], repeat: int, cam: str = "60") -> dict[str, Any]:
    """Its loop and ours in one process on the same depth, the same move, and its settings."""
    fixed = Intrinsics.from_focal(clip.width, clip.height, 500.0)
    clip = Clip(clip.frames, clip.depth, fixed, clip.fps)
    program = Published(folder, clip, cam)
    output = Path(tempfile.mkdtemp(prefix="ex4d-published-"))
    theirs: list[float] = []
    for _ in range(max(2, min(repeat, 4))):
        torch.cuda.synchronize()
        start = time.perf_counter()
        colour, mask = program.run(output)
        torch.cuda.synchronize()
        theirs.append(time.perf_counter() - start)
    result: dict[str, Any] = {"seconds": min(theirs[1:]), "all_seconds": theirs, "cam": cam}
    mesh = DWMesh(clip, MeshOptions.ex4d_parity())
    near = near_depth_of(clip, border_depth=mesh.options.border_depth)
    trajectory = preset(cam, num_frames=clip.num_frames, intrinsics=fixed, near_depth=near, overshoot=True)
    for name in names:
        options = RasterOptions.ex4d_parity()
        renderer, request = GpuGuideRenderer(mesh, name), GuideRequest(mesh, trajectory, options, True)
        ours = milliseconds(lambda r=renderer, q=request: r.render(q), repeat)
        guides = renderer.render(request).to_host()
        overlap = [iou(guides.mask[t], mask[t]) for t in range(1, len(mask))]
        both = guides.mask & mask
        both[0] = False
        result[name] = {
            **ours,
            "times_faster": 1e3 * result["seconds"] / ours["wall_median_ms"],
            "least_iou": min(overlap),
            "mean_iou": float(np.mean(overlap)),
            "colour_error": float(np.abs(guides.colour[both].astype(int) - colour[both]).mean()),
        }
    return result
