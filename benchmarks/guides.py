"""Guides per second: mesh building and rasterizing a clip, beside Embree ray casting of the same meshes.

    python benchmarks/guides.py --size 512 512 --frames 49 --output guides.json
    python benchmarks/guides.py --rasterizer nvdiffrast,triton --upstream ../EX-4D --golden tests/golden/recon

Prints JSON. With rasterizers of a GPU it measures each size of --sizes on the device instead: the clip from depth to
colour and mask, its stages by CUDA events, memory, one frame, copies; how well rasterizers agree; with --golden the
published program's pictures, and with --upstream its own loop in the same process on the same depth.

On the CPU, compiling happens in a warm-up on a small clip and is reported apart. Embree (the embreex wheel) builds
and traces two of the frames in the same run; its time per frame times the frame count is what the ratio compares.
--mode chooses endless or solid meshes. With both (the default on a GPU), the two are measured one after the other and
the ratio of their times is reported; peak memory on the CPU then counts what ran before. Embree traces endless meshes
only. On a GPU a clip full of edges is measured besides.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.guides import FrameRenderer, render_guides
from ex4d.raster import Camera, get_rasterizer
from ex4d.types import Clip, Guides
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions, OccluderMode

NEAR = 2.5  # depth of the nearest thing in the synthetic clip, and about the radius of the move


def synthetic_depth(frames: int, height: int, width: int, seed: int = 0) -> Float32:  # [T, H, W]
    """A tilted background with depth steps, a resting ball and a rippled one that moves across."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = x / width, y / height
    still = 9.0 - 2.0 * v
    still[(u > 0.6) & (v > 0.2)] = 6.0
    still[np.hypot(u - 0.23, v - 0.6) < 0.16] = 4.0
    depth = np.repeat(still[None], frames, axis=0)
    for t in range(frames):
        ball = np.hypot(u - 0.2 - 0.5 * t / frames, v - 0.4) < 0.12
        depth[t][ball] = NEAR + 0.2 * np.sin(40 * u[ball])
    return depth + 0.003 * rng.random(depth.shape, dtype=np.float32)


def synthetic_clip(frames: int, height: int, width: int, seed: int = 0) -> Clip:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    depth = synthetic_depth(frames, height, width, seed)
    return Clip(picture, depth, Intrinsics.from_fov(width, height))


def arc(clip: Clip, degrees: float) -> Trajectory:
    """From the source camera sideways around a point at the nearest depth, which stays in view."""
    n, k, radius = clip.num_frames, clip.intrinsics, NEAR + 0.15
    angle = np.radians(degrees) * np.linspace(0, 1, n)
    poses = np.tile(np.eye(4), (n, 1, 1))
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angle)
    poses[:, 0, 2], poses[:, 2, 0] = -np.sin(angle), np.sin(angle)
    poses[:, 0, 3], poses[:, 2, 3] = radius * np.sin(angle), radius * (1 - np.cos(angle))
    lens = np.tile([k.fx, k.fy, k.cx, k.cy], (n, 1))
    return Trajectory(poses, lens, np.arange(n, dtype=float), clip.width, clip.height, name=f"arc {degrees:g}")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def peak_rss_mib() -> float:
    """Largest resident memory so far (kibibytes on Linux, bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def warm_up(rasterizer: str, options: MeshOptions) -> float:
    """Compile (or load from the cache) everything the measurement will call; seconds."""
    small = synthetic_clip(2, 16, 16)
    trajectory = arc(small, 60)

    def run() -> None:
        render_guides(DWMesh(small, options), trajectory, rasterizer=rasterizer, threads=1)
        with FrameRenderer(DWMesh(small, options), rasterizer="cpu", threads=1) as live:
            live.render(0, Camera.of(trajectory, 0))

    return timed(run)[0]


def stage_seconds(clip: Clip, trajectory: Trajectory, rasterizer: str, options: MeshOptions) -> dict[str, float]:
    """Each stage alone on one thread, summed over the clip."""
    mesh, raster = DWMesh(clip, options), get_rasterizer(rasterizer)
    build = draw = 0.0
    for i in range(len(trajectory)):
        seconds, surface = timed(lambda t=i: mesh.surface(t))
        build += seconds
        camera = Camera.of(trajectory, i)
        draw += timed(lambda s=surface, c=camera: raster.draw(s, c))[0]
    return {"mesh_build": build, "raster": draw}


def single_frame_ms(clip: Clip, trajectory: Trajectory, threads: int, options: MeshOptions) -> dict[str, float]:
    """Latency of one frame for live display, median over the clip's frames, milliseconds."""
    new_frame, new_camera = [], []
    with FrameRenderer(DWMesh(clip, options), rasterizer="cpu", threads=threads) as live:
        for i in range(len(trajectory)):
            camera = Camera.of(trajectory, i)
            new_frame.append(timed(lambda t=i, c=camera: live.render(t, c))[0])
            new_camera.append(timed(lambda t=i, c=camera: live.render(t, c))[0])
    return {
        "new_frame": 1e3 * float(np.median(new_frame)),
        "new_camera": 1e3 * float(np.median(new_camera)),
        "new_camera_worst": 1e3 * max(new_camera),
    }


def embree(clip: Clip, trajectory: Trajectory, guides: Guides, frames: list[int]) -> dict[str, Any]:
    """Seconds a frame for Embree to build its tree over the same mesh and trace one ray per pixel."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    mesh, build, trace, agreement, cpu = DWMesh(clip), [], [], [], 0.0
    row, column = np.mgrid[0 : trajectory.height, 0 : trajectory.width] + 0.5
    for i in frames:
        k, pose = trajectory.frame_intrinsics(i), trajectory.world_from_camera[i]
        rays = np.stack([(column - k.cx) / k.fx, (row - k.cy) / k.fy, np.ones_like(row)], axis=-1)
        directions = (rays.reshape(-1, 3) @ pose[:3, :3].T).astype(np.float32)
        origins = np.broadcast_to(pose[:3, 3], directions.shape).astype(np.float32)
        surface = mesh.surface(i)

        def construct(vertices: Float32 = surface.vertices) -> EmbreeScene:
            scene = EmbreeScene()
            TriangleMesh(scene, vertices, mesh.faces)
            return scene

        start = time.process_time()
        seconds, scene = timed(construct)
        build.append(seconds)
        seconds, hit = timed(lambda s=scene, o=origins, d=directions: s.run(o, d, output=True))
        trace.append(seconds)
        cpu += time.process_time() - start
        agreement.append(iou(seen_by(hit, surface.colors[:, 3], mesh.faces), guides.mask[i].ravel()))
    return {
        "frames": frames,
        "build_s": float(np.mean(build)),
        "trace_s": float(np.mean(trace)),
        "frame_s": float(np.mean(build) + np.mean(trace)),
        "frame_cpu_s": cpu / len(frames),
        "mask_iou_with_ours": min(agreement),
    }


def seen_by(hit: dict[str, np.ndarray], alpha: np.ndarray, faces: np.ndarray) -> np.ndarray:  # [rays]
    """Where a ray's first hit shows colour: alpha interpolated on the face is above the mask's threshold."""
    found = hit["primID"] >= 0
    corner = alpha[faces[hit["primID"][found]]].astype(float)
    u, v = hit["u"][found], hit["v"][found]
    seen = np.zeros(len(found), bool)
    seen[found] = (1 - u - v) * corner[:, 0] + u * corner[:, 1] + v * corner[:, 2] > 125
    return seen


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    if args.mode != "both":
        return measure_mode(args, MeshOptions(mode=args.mode or "endless"))
    endless, solid = measure_mode(args, MeshOptions(mode="endless")), measure_mode(args, MeshOptions(mode="solid"))
    return {"endless": endless, "solid": solid, "solid_takes_times": solid["total_s"] / endless["total_s"]}


def measure_mode(args: argparse.Namespace, options: MeshOptions) -> dict[str, Any]:
    height, width = args.size
    compile_s = warm_up(args.rasterizer, options)
    clip = synthetic_clip(args.frames, height, width)
    trajectory = arc(clip, args.degrees)
    clip_mib = peak_rss_mib()

    def whole() -> Guides:
        return render_guides(DWMesh(clip, options), trajectory, rasterizer=args.rasterizer, threads=args.threads)

    runs, cpu = [], []
    for _ in range(args.repeat):
        start = time.process_time()
        runs.append(timed(whole))
        cpu.append(time.process_time() - start)
    total, guides = min(seconds for seconds, _ in runs), runs[0][1]
    result: dict[str, Any] = {
        "rasterizer": args.rasterizer,
        "mode": options.mode,
        "frames": args.frames,
        "height": height,
        "width": width,
        "trajectory": trajectory.name,
        "threads": args.threads,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "compile_s": compile_s,
        "total_s": total,
        "total_all_runs_s": [seconds for seconds, _ in runs],
        "cpu_s": min(cpu),
        "frame_ms": 1e3 * total / args.frames,
        "coverage": [float(guides.coverage.min()), float(guides.coverage.mean())],
        "peak_rss_mib": peak_rss_mib(),
        "peak_rss_with_clip_only_mib": clip_mib,
    }
    result["one_thread_s"] = stage_seconds(clip, trajectory, args.rasterizer, options)
    result["single_frame_ms"] = single_frame_ms(clip, trajectory, args.threads, options)
    if not args.no_embree and options.mode == "endless":
        frames = sorted({args.frames // 3, 2 * args.frames // 3})
        result["embree"] = embree(clip, trajectory, guides, frames)
        # By processor time as well, which other programs on the machine disturb less; threads taken as fully used.
        per_clip_cpu = result["embree"]["frame_cpu_s"] * args.frames
        result["times_faster_by_cpu_time"] = per_clip_cpu / (result["cpu_s"] / args.threads)
        result["times_faster_than_embree"] = result["embree"]["frame_s"] * args.frames / total
    return result


def measure_gpu(args: argparse.Namespace) -> int:
    """Every section reaches --output when it ends; a section that fails is recorded and the next one runs."""
    import guides_gpu as gpu

    from ex4d.raster import GPU_RASTERIZERS

    names, sizes = args.rasterizer.split(","), [size.split("x") for size in args.sizes.split(",")]
    report = gpu.Report(args.output)
    usable = [
        n for n in names if n not in GPU_RASTERIZERS or "error" not in report.section(f"load/{n}", lambda n=n: load(n))
    ]
    devices = [n for n in usable if n in GPU_RASTERIZERS]
    modes: list[OccluderMode] = ["endless", "solid"] if args.mode in (None, "both") else [args.mode]
    for n, (height, width) in enumerate((int(h), int(w)) for h, w in sizes):
        clip = synthetic_clip(args.frames, height, width)
        for name in devices:
            title = f"{height}x{width}"
            gpu.both_modes(report, title, clip, arc(clip, args.degrees), name, args.gpu_repeat, modes)
        if n == 0:
            agreements(args, report, devices, modes)
            leaves(args, report, devices, modes)
    if args.golden is not None:
        for name in [*devices, "cpu"]:
            for antialias in (False, True) if name == "nvdiffrast" else (False,):
                title = f"golden/{name}{'+antialias' if antialias else ''}"
                report.section(title, lambda n=name, a=antialias: gpu.golden(args.golden, n, a))
    for height, width in ((int(h), int(w)) for h, w in sizes if args.upstream is not None):
        if height * width <= 1024 * 1024:
            report.section(
                f"{height}x{width}/published",
                lambda h=height, w=width: gpu.published(
                    args.upstream, synthetic_clip(args.frames, h, w), devices, args.gpu_repeat
                ),
            )
    if args.tune and "triton" in devices:
        clip = synthetic_clip(args.frames, 512, 512)
        report.section("tuning/512x512", lambda: gpu.tuning(DWMesh(clip), arc(clip, args.degrees), args.gpu_repeat))
    return 1 if report.failed else 0


def agreements(args: argparse.Namespace, report: Any, devices: list[str], modes: list[OccluderMode]) -> None:
    """How well the rasterizers' pictures agree, of several scenes in each mode."""
    import guides_gpu as gpu
    from guides_solid import foliage_clip

    for mode in modes:
        clips = {f"seed {seed}": synthetic_clip(4, 256, 320, seed) for seed in range(3)}
        if mode == "solid":
            clips["foliage"] = foliage_clip(4, 256, 320)
        for title, clip in clips.items():
            report.section(
                f"agreement/{'solid/' if mode == 'solid' else ''}{title}",
                lambda c=clip, o=MeshOptions(mode=mode): gpu.agreement(
                    DWMesh(c, o), arc(c, args.degrees), [*devices, "cpu"]
                ),
            )


def leaves(args: argparse.Namespace, report: Any, devices: list[str], modes: list[OccluderMode]) -> None:
    """A clip full of edges; with --kernels, what takes how long on the device."""
    import guides_gpu as gpu
    from guides_solid import SOLID, foliage_clip, kernel_times

    clips = {"512x512": synthetic_clip(args.frames, 512, 512), "foliage 512x512": foliage_clip(args.frames, 512, 512)}
    for name in devices:
        clip = clips["foliage 512x512"]
        gpu.both_modes(report, "foliage 512x512", clip, arc(clip, args.degrees), name, args.gpu_repeat, modes)
    for title, clip in clips.items() if args.kernels else ():
        for name in devices:
            report.section(
                f"kernels/{title}/{name}/solid",
                lambda c=clip, n=name: kernel_times(DWMesh(c, SOLID), arc(c, args.degrees), n),
            )


def load(name: str) -> dict[str, float]:
    return {"seconds": timed(lambda: get_rasterizer(name))[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=2, type=int, default=[512, 512], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--degrees", type=float, default=60.0, help="length of the camera's arc")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--mode", choices=("endless", "solid", "both"), help="meshes; by default endless on the CPU, both on a GPU"
    )
    parser.add_argument("--rasterizer", default="cpu", help="one or more of cpu, nvdiffrast, triton, with commas")
    parser.add_argument("--sizes", default="512x512,576x1024,1152x2048", help="HEIGHTxWIDTH, ..., for GPU rasterizers")
    parser.add_argument("--gpu-repeat", type=int, default=20, help="timed calls on the GPU; the median counts")
    parser.add_argument(
        "--kernels", action="store_true", help="also the time of each kernel on the GPU, of solid meshes"
    )
    parser.add_argument("--tune", action="store_true", help="also time other settings of our GPU rasterizer")
    parser.add_argument("--upstream", type=Path, metavar="PATH", help="a checkout of EX-4D, to time its own loop")
    parser.add_argument(
        "--golden", type=Path, metavar="DIR", help="folder of recon_*.npz to check GPU pictures against"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of the whole clip; the best counts")
    parser.add_argument("--no-embree", action="store_true", help="leave the comparison out")
    parser.add_argument("--output", type=Path, help="also write the JSON here")
    args = parser.parse_args()
    if args.rasterizer != "cpu":
        sys.exit(measure_gpu(args))
    text = json.dumps(measure(args), indent=2)
    print(text)
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
