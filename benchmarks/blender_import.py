"""Importing and playing a clip in Blender: seconds for 49 frames of 512x512, and what a frame step costs.

    python benchmarks/blender_import.py [--frames 49] [--size 512] [--output FILE]

Prints JSON. ``import_s`` is the whole operator (upload, mesh, transfer, files, scene) against a real backend
process on this machine; ``tick_ms`` what one tick of the add-on's timer took meanwhile, in wall time and in CPU
time of its own thread (they differ on a busy machine). ``frame_step_ratio``
compares a frame step of the shot with that of a bare mesh of the same size under a PC2 Mesh Cache alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3, help="times each clip is played")
    parser.add_argument("--output", type=Path, help="also write the JSON there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.frames, options.size, options.rounds)
    text = json.dumps(result, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


def measure(folder: Path, frames: int, size: int, rounds: int) -> dict[str, Any]:
    """Everything, in one Blender without a window."""
    import bpy

    os.environ.setdefault("EX4D_BACKEND_COMMAND", shlex.join([sys.executable, "-m", "ex4d_backend"]))
    os.environ["EX4D_BACKEND_DATA_DIR"] = str(folder / "backend")
    video, depth = write_clip(folder, frames, size)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    bpy.ops.preferences.addon_enable(module="blender_addon")
    bpy.ops.ex4d.connect()
    ticks: list[tuple[float, float]] = []
    try:
        seconds = [import_once(bpy, video, depth, ticks) for _ in range(2)]
    finally:
        bpy.ops.ex4d.disconnect()
    shot = bpy.context.scene.ex4d.shot
    bodies = (shot.ex4d.mesh, bare_mesh(bpy, shot.ex4d.mesh))
    rounds_ms = [[frame_steps(bpy, body) for body in bodies] for _ in range(rounds)]  # in turns: both see the same load
    step, bare = (statistics.median(column) for column in zip(*rounds_ms, strict=True))
    return {
        "frames": frames,
        "size": size,
        "import_s": round(seconds[0], 3),
        "import_again_s": round(seconds[1], 3),
        "tick_ms": summary([wall for wall, _ in ticks]),
        "tick_cpu_ms": summary([cpu for _, cpu in ticks]),
        "frame_step_ms": round(step, 3),
        "bare_pc2_frame_step_ms": round(bare, 3),
        "frame_step_ratio": round(step / bare, 3),
        "blender": bpy.app.version_string,
        "machine": {"cpus": os.cpu_count(), "processor": platform.processor() or platform.machine()},
    }


def import_once(bpy: Any, video: Path, depth: Path, ticks: list[tuple[float, float]]) -> float:
    """One import through the operator; returns its seconds and notes how long each tick was busy."""
    from blender_addon.work import session

    current = session.get()
    tick = current.tick

    def timed(_budget_s: float = session.TICK_BUDGET_S) -> bool:
        start, cpu = time.perf_counter(), time.thread_time()
        worked = tick(session.TICK_BUDGET_S)  # as the timer does in a window
        ticks.append(((time.perf_counter() - start) * 1000, (time.thread_time() - cpu) * 1000))
        return worked

    current.tick = timed
    try:
        start = time.perf_counter()
        bpy.ops.ex4d.import_clip(video_path=str(video), depth_path=str(depth))
        return time.perf_counter() - start
    finally:
        current.tick = tick


def summary(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and largest of milliseconds, and how many there are."""
    return {
        "median": round(statistics.median(values), 3),
        "p99": round(float(np.percentile(values, 99)), 3),
        "max": round(max(values), 3),
        "count": len(values),
    }


def frame_steps(bpy: Any, body: Any) -> float:
    """Median milliseconds of a frame step with only ``body`` (and its parents) in the scene."""
    scene = bpy.data.scenes.new("Steps")
    obj = body
    while obj is not None:
        scene.collection.objects.link(obj)
        obj = obj.parent
    scene.frame_end = bpy.context.scene.frame_end
    layer = scene.view_layers[0]
    took: list[float] = []
    for frame in range(1, scene.frame_end + 1):
        start = time.perf_counter()
        scene.frame_set(frame)
        layer.update()
        took.append((time.perf_counter() - start) * 1000)
    bpy.data.scenes.remove(scene)
    return statistics.median(took)


def bare_mesh(bpy: Any, body: Any) -> Any:
    """The same vertices and faces under a Mesh Cache and nothing else: no UVs, no materials, no parent."""
    data = bpy.data.meshes.new("Bare")
    faces = np.empty(len(body.data.loops), np.int32)
    body.data.loops.foreach_get("vertex_index", faces)
    data.vertices.add(len(body.data.vertices))
    data.loops.add(len(faces))
    data.polygons.add(len(faces) // 3)
    data.polygons.foreach_set("loop_start", np.arange(0, len(faces), 3, dtype=np.int32))
    data.loops.foreach_set("vertex_index", faces)
    data.update(calc_edges=True)
    bare = bpy.data.objects.new("Bare", data)
    cache = bare.modifiers.new("Cache", "MESH_CACHE")
    cache.cache_format, cache.filepath = "PC2", body.modifiers[0].filepath
    cache.deform_mode, cache.interpolation, cache.frame_start = "OVERWRITE", "NONE", 1
    return bare


def write_clip(folder: Path, frames: int, size: int) -> tuple[Path, Path]:
    """A disc moving before a wavy wall, as a video and an .npz of depth."""
    from ex4d.clip import write_video

    rows, columns = np.mgrid[:size, :size]
    depth = np.empty((frames, size, size), np.float32)
    colour = np.zeros((frames, size, size, 3), np.uint8)
    for t in range(frames):
        depth[t] = 8 + 0.5 * np.sin(columns / 40) + 0.5 * np.cos(rows / 35)
        colour[t] = np.stack(
            [columns * 255 // size, rows * 255 // size, (columns // 24 + rows // 24) % 2 * 160], axis=-1
        )
        disc = np.hypot(columns - size * (0.3 + 0.4 * t / frames), rows - size / 2) < size / 6
        depth[t][disc], colour[t][disc] = 3.5, (240, 60, 160)
    np.savez(folder / "depth.npz", depth=depth)
    write_video(folder / "clip.mp4", colour, fps=15)
    return folder / "clip.mp4", folder / "depth.npz"


if __name__ == "__main__":
    main()
