"""World memory: time and memory of guides with it, beside other frames and the solid mesh alone.

    python benchmarks/world_memory.py [--output FILE] [--size 512x512] [--frames 49] [--threads 2] [--triton]

Boxes before a wall, filmed by a camera that trucks, pans and dollies; the new camera turns away by 30 degrees. Each way
runs in a process of its own after a small clip has compiled or loaded everything. ``peak_mib`` is what the process took
at most beyond the clip itself. ``--triton`` adds a row for the solid mesh and one for world memory on a CUDA device,
each beside the CPU's guides of the same process: ``upload_s`` is the clip's way there with all that is made once (the
vote of the memory, and how large each frame's part of it is), ``clip_ms`` the median of drawing all of it anew from
what lies there, ``iou`` the overlap of the two masks over all frames.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions
from ex4d_ground.poses import pose
from ex4d_ground.source_camera import SourceCamera

WAYS = {
    "solid": MeshOptions(mode="solid"),
    "other frames": MeshOptions(mode="solid", other_frames=True),
    "world memory": MeshOptions(mode="solid", other_frames=True, world_memory=True),
}
ON_DEVICE = ("solid", "world memory")
REPEATS = 7
WALL, BOXES, TURN_DEG = 12.0, 14, 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--triton", action="store_true", help="also on a CUDA device")
    parser.add_argument("--on_device", action="store_true", help="with --way: on a CUDA device")
    parser.add_argument("--way", choices=list(WAYS), help="one of them, in this process")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    if args.way:
        measure = measured_on_device if args.on_device else measured
        print(json.dumps(measure(WAYS[args.way], width, height, args.frames, args.threads)))
        return
    rows = {}
    on_device = [(way, True) for way in args.ways if args.triton and way in ON_DEVICE]
    for way, device in [(way, False) for way in args.ways] + on_device:
        given = ["--size", args.size, "--frames", str(args.frames), "--threads", str(args.threads), "--way", way]
        command = [sys.executable, __file__, *given, *(["--on_device"] if device else [])]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        name = f"{way}, triton" if device else way
        rows[name] = json.loads(run.stdout.splitlines()[-1])
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
    head = {"size": args.size, "frames": args.frames, "threads": args.threads, "cores": os.cpu_count()}
    result = {**head, "load_before": round(os.getloadavg()[0], 1), "ways": rows}
    text = json.dumps(result, indent=1)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")


def measured(options: MeshOptions, width: int, height: int, frames: int, threads: int) -> dict[str, float]:
    """Seconds, processor seconds and memory of one way."""
    small = filmed(64, 48, 9)
    render_guides(DWMesh(small, options), turning(small), rasterizer="cpu", threads=threads)
    clip = filmed(width, height, frames)
    move, before = turning(clip), _peak_mib()
    started, busy = time.perf_counter(), time.process_time()
    mesh = DWMesh(clip, options)
    built = time.perf_counter()
    guides = render_guides(mesh, move, rasterizer="cpu", threads=threads)
    ended = time.perf_counter()
    memory = mesh.solid.memory.memory if mesh.solid is not None and mesh.solid.memory is not None else None
    return {
        "build_s": round(built - started, 2),
        "seconds": round(ended - started, 2),
        "cpu_seconds": round(time.process_time() - busy, 2),
        "peak_mib": round(_peak_mib() - before),
        "coverage": round(float(guides.coverage.mean()), 4),
        "remembered_triangles": 0 if memory is None else len(memory.faces),
    }


def measured_on_device(options: MeshOptions, width: int, height: int, frames: int, threads: int) -> dict[str, object]:
    """The same on a CUDA device, and how far its guides are the CPU's."""
    import torch

    from ex4d.guides.gpu import GpuGuideRenderer
    from ex4d.guides.request import GuideRequest

    def wait() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    small = filmed(64, 48, 9)
    render_guides(DWMesh(small, options), turning(small), rasterizer="triton")
    clip = filmed(width, height, frames)
    move = turning(clip)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    started = wait()
    mesh = DWMesh(clip, options)
    built = wait()
    with GpuGuideRenderer(mesh) as renderer:
        uploaded = wait()
        request, clips = GuideRequest(mesh, move), []
        drawn = renderer.render(request)
        first = wait()
        for _ in range(REPEATS):
            before = wait()
            drawn = renderer.render(request)
            clips.append(1000 * (wait() - before))
        guides = drawn.to_host()
        held = renderer.surfaces.solid
        batch = renderer.frames_per_batch(width * height)
        peak = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0
        assert held is not None, "the surfaces were built on the host"
    wanted = render_guides(mesh, move, rasterizer="cpu", threads=threads)
    one, other = (np.asarray(each.mask) for each in (guides, wanted))
    both = one & other
    error = np.abs(np.asarray(guides.colour)[both].astype(int) - np.asarray(wanted.colour)[both])
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "interpreter",
        "build_s": round(built - started, 3),
        "upload_s": round(uploaded - built, 3),
        "first_clip_s": round(first - uploaded, 3),
        "clip_ms": round(statistics.median(clips), 2),
        "seconds": round(uploaded - started + statistics.median(clips) / 1000, 2),
        "frames_per_batch": batch,
        "device_mib": round(peak),
        "coverage": round(float(one.mean()), 4),
        "iou": round(float(both.sum() / max((one | other).sum(), 1)), 6),
        "colour_error": round(float(error.mean()), 4),
    }


def filmed(width: int, height: int, count: int) -> Clip:
    """The clip, ray-cast frame by frame."""
    rng = np.random.default_rng(0)
    boxes = np.stack([rng.uniform(4, 10, BOXES), rng.uniform(-5, 5, BOXES), rng.uniform(-2, 2, BOXES)], axis=1)
    lens = Intrinsics.from_focal(width, height, 0.94 * width)
    x, y = (np.arange(width) + 0.5 - width / 2) / lens.fx, (np.arange(height) + 0.5 - height / 2) / lens.fy
    rays = np.stack([*np.meshgrid(x, y), np.ones((height, width))], axis=-1)
    turns, places = np.stack([_turn(-0.3 * t) for t in range(count)]), np.outer(np.arange(count), [0.06, 0.01, 0.02])
    poses = pose(turns, places)
    frames, depth = np.empty((count, height, width, 3), np.uint8), np.empty((count, height, width), np.float32)
    for t in range(count):
        seen, z = rays @ poses[t, :3, :3].T, np.full((height, width), np.inf)
        for n, (far, left, top) in enumerate([(WALL, 0.0, 0.0), *boxes]):
            reach = (far - poses[t, 2, 3]) / seen[..., 2]
            at = poses[t, :2, 3] + seen[..., :2] * reach[..., None]
            size = np.array([0.35, 0.8]) if n else np.array([99.0, 99.0])
            hit = (np.abs(at - (left, top)) < size).all(axis=-1) & (reach < z)
            shade = 128 + 60 * np.stack([np.sin(2 * at[..., 0]), np.cos(1.7 * at[..., 1]), np.sin(at.sum(-1) + n)], -1)
            frames[t][hit], z = shade[hit].astype(np.uint8), np.where(hit, reach, z)
        depth[t] = z
    return Clip(frames, depth, lens, source_camera=SourceCamera.of(poses, lens))


def turning(clip: Clip) -> Trajectory:
    """Along with the source camera, and more and more away from it, up to ``TURN_DEG``."""
    k, count = clip.intrinsics, clip.num_frames
    poses = pose(np.stack([_turn(a) for a in np.linspace(0, TURN_DEG, count)]), np.zeros((count, 3)))
    rows = np.tile([k.fx, k.fy, k.cx, k.cy], (count, 1))
    relative = Trajectory(poses, rows, np.arange(count, dtype=float), k.width, k.height)
    return relative if clip.source_camera is None else clip.source_camera.in_world(relative)


def _turn(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
