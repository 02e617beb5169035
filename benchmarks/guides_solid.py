"""Solid meshes in benchmarks/guides.py on a GPU: stages of building, a clip full of edges, each kernel's time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ex4d.dwmesh import DWMesh
from ex4d.guides.gpu import GpuGuideRenderer
from ex4d.guides.request import GuideRequest
from ex4d.types import Clip
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions

if TYPE_CHECKING:
    from ex4d.dwmesh.gpu.solid import DeviceSolid

SOLID = MeshOptions(mode="solid")
NEAREST = 2.5  # depth of the nearest leaves, about which the camera moves

Timer = Callable[[Callable[[], Any], int], dict[str, float]]  # what to time, repeats -> milliseconds


def foliage_depth(frames: int, height: int, width: int, seed: int = 0) -> Float32:  # [T, H, W]
    """Leaves of some pixels before leaves before a wall, all moving: several times the edges of a usual picture."""
    rng = np.random.default_rng(seed)
    depth = np.full((frames, height, width), 9.0, np.float32)
    for near, far, size, share in ((6.0, 7.0, 12, 0.3), (4.0, 5.0, 7, 0.2), (NEAREST, 3.5, 4, 0.1)):
        rows, columns = -(-height // size) + 1, -(-(width + frames) // size) + 1
        value = np.where(rng.random((rows, columns)) < share, rng.uniform(near, far, (rows, columns)), np.inf)
        layer = np.repeat(np.repeat(value, size, 0), size, 1).astype(np.float32)
        for t in range(frames):
            depth[t] = np.minimum(depth[t], layer[:height, t : t + width])
    return depth + 0.003 * rng.random(depth.shape, dtype=np.float32)


def foliage_clip(frames: int, height: int, width: int, seed: int = 0) -> Clip:
    picture = np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    return Clip(picture, foliage_depth(frames, height, width, seed), Intrinsics.from_fov(width, height))


def building(solid: DeviceSolid, batches: list[list[int]], timer: Timer, repeat: int) -> dict[str, Any]:
    """Each step of building the clip's surfaces alone, batch by batch, and what was counted when it was uploaded."""
    parts = [solid.parts(times) for times in batches]
    thickness = [solid.thickness(part) for part in parts]
    pairs = list(zip(parts, thickness, strict=True))
    sides, quads, strips = (int(n) for n in solid._counts.max(axis=0))
    return {
        "cuts": timer(lambda: [solid.parts(times) for times in batches], repeat),
        "thickness": timer(lambda: [solid.thickness(part) for part in parts], repeat),
        "pieces": timer(lambda: [solid.build_pieces(part, thick) for part, thick in pairs], repeat),
        "bridges": timer(lambda: [solid.build_bridges(part) for part in parts], repeat),
        "build": timer(lambda: [solid.surfaces(times) for times in batches], repeat),
        "count_at_upload": timer(solid._counted, repeat),
        "largest_frame": {"cut_sides": sides, "cut_quads": quads, "possible_bridges": strips},
    }


def kernel_times(mesh: DWMesh, trajectory: Trajectory, rasterizer: str, most: int = 24) -> dict[str, Any]:
    """Milliseconds on the device of each kernel while the clip is rendered once, the longest first."""
    renderer, request = GpuGuideRenderer(mesh, rasterizer), GuideRequest(mesh, trajectory)
    for _ in range(3):
        renderer.render(request)
    torch.cuda.synchronize()
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        renderer.render(request)
        torch.cuda.synchronize()
    spent = [(e.self_device_time_total / 1e3, e.count, e.key) for e in profile.key_averages()]
    spent = sorted((entry for entry in spent if entry[0] > 0), reverse=True)
    return {name[:60]: {"ms": round(ms, 4), "calls": calls} for ms, calls, name in spent[:most]}
