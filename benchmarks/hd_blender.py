"""A large clip in Blender: what importing, keeping, saving, editing and playing it cost.

    python benchmarks/hd_blender.py [--width 1920] [--height 1080] [--frames 240] [--side 640]
                                    [--changes 30] [--baseline CHECKOUT] [--output FILE]

Prints JSON, one row per figure, for this checkout and, in the same run, for ``--baseline``. Each runs in a Blender of
its own (``bpy``) against a backend of its own. ``import_cpu_s`` is processor time of Blender and the backend;
``first_frame_s`` when the shot is in the scene and ``import_s`` when all of it is; ``longest_block_ms`` the longest
that Blender did not come back, in wall and in processor time of its thread; ``kept_bytes`` and ``peak_bytes`` what lies
beside the .blend at the end and at most, the backend's data not counted; ``backend_peak_bytes`` its data at most,
scratch files that have a name among them. ``live_first_s`` is from switching live views on to the first picture,
``live_p95_ms`` from a change of the camera to its picture at the clip's full size, ``live_bytes`` the memory of the
process that draws them, at most, and ``live_cpu_ms`` its processor time for a picture. ``bars`` says which of the
figures keep to what 240 frames may cost on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from live import cpu_of  # the benchmark beside this one

ROOT = Path(__file__).resolve().parents[1]
MEASURE = "--measure"
BARS: dict[str, float] = {
    "first_frame_s": 3,
    "import_s": 20,
    "kept_bytes": 700e6,
    "longest_block_ms": 50,
    "blend_bytes": 40e6,
    "edit_mode_bytes": 300e6,
    "frame_step_ms": 5,
    "live_p95_ms": 150,
    "live_bytes": 1e9,
}
"""What 240 frames of 1920x1080 may cost on two idle cores."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--side", type=int, default=640, help="vertices along the mesh's long side; 0: one per pixel")
    parser.add_argument("--changes", type=int, default=30, help="of the camera in a live view; 0: no live view")
    parser.add_argument("--baseline", type=Path, help="another checkout, measured in the same run")
    parser.add_argument("--output", type=Path, help="also write the JSON there")
    parser.add_argument(MEASURE, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.side, options.changes)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_clip(Path(folder), options.frames, options.height, options.width)
        checkouts = {"this": ROOT} | ({"baseline": options.baseline.resolve()} if options.baseline else {})
        result: dict[str, Any] = {"width": options.width, "height": options.height, "frames": options.frames}
        for name, checkout in checkouts.items():
            result[name] = run(checkout, Path(folder), name, options)
        result["bars"] = {
            name: {"bar": bar, "is": result["this"][name], "within": result["this"][name] <= bar}
            for name, bar in BARS.items()
            if name in result["this"]
        }
    text = json.dumps(result, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


def run(checkout: Path, source: Path, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one checkout, in a process of its own."""
    folder = source / name
    folder.mkdir()
    path = os.pathsep.join(str(checkout / sub) for sub in ("", "backend", "protocol"))
    command = [sys.executable, str(Path(__file__).resolve()), MEASURE, str(folder)]
    command += ["--side", str(options.side), "--changes", str(options.changes)]
    environment = os.environ | {"PYTHONPATH": path, "EX4D_BACKEND_DATA_DIR": str(folder / "backend")}
    environment["EX4D_BACKEND_COMMAND"] = shlex.join([sys.executable, "-m", "ex4d_backend"])
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=folder, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_clip(folder: Path, frames: int, height: int, width: int) -> None:
    """A disc that moves before a wavy wall, as a video and an .npy of depth, frame by frame."""
    from ex4d.clip.writing import video_writer

    rows, columns = np.mgrid[:height, :width]
    wall = (8 + 0.5 * np.sin(columns / 40) + 0.5 * np.cos(rows / 35)).astype(np.float32)
    colour = np.stack([columns * 255 // width, rows * 255 // height, (columns // 24 + rows // 24) % 2 * 160], axis=-1)
    depth = np.lib.format.open_memmap(folder / "depth.npy", "w+", np.float32, (frames, height, width))
    with video_writer(folder / "clip.mp4", fps=24) as write:
        for t in range(frames):
            disc = np.hypot(columns - width * (0.3 + 0.4 * t / frames), rows - height / 2) < height / 5
            depth[t] = np.where(disc, np.float32(3.5), wall)
            write(np.where(disc[..., None], (240, 60, 160), colour).astype(np.uint8))
    depth.flush()


class Watched:
    """What grows while something runs: bytes below folders, looked at ten times a second."""

    def __init__(self, **folders: Path) -> None:
        self.most = dict.fromkeys(folders, 0)
        self._folders, self._end = folders, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.1):
            for name, folder in self._folders.items():
                self.most[name] = max(self.most[name], size_of(folder))


def size_of(folder: Path) -> int:
    """Bytes that the files below a folder take, each once however many names it has."""
    sizes: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(Path(place, name))
            except OSError:
                continue  # it has just gone
            sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())


def measure(folder: Path, side: int, changes: int) -> dict[str, Any]:
    """Every figure, in one Blender without a window."""
    import bpy
    import psutil

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    bpy.ops.preferences.addon_enable(module="blender_addon")
    bpy.ops.ex4d.connect()
    myself = psutil.Process()
    before = cpu_of(myself)
    with Watched(beside=folder / "scene_ex4d", backend=folder / "backend") as watched:
        figures = import_clip(bpy, folder.parent, side)
    figures["import_cpu_s"] = round(cpu_of(myself) - before, 1)
    figures |= {"peak_bytes": watched.most["beside"], "backend_peak_bytes": watched.most["backend"]}
    figures["kept_bytes"] = size_of(folder / "scene_ex4d")
    if changes:
        figures |= live_pictures(bpy, changes)
    bpy.ops.ex4d.disconnect()
    bpy.ops.wm.save_mainfile()
    figures["blend_bytes"] = (folder / "scene.blend").stat().st_size
    figures |= frame_steps(bpy)
    resident = myself.memory_info().rss
    bpy.context.scene.frame_set(2)
    started = time.process_time()
    bpy.ops.ex4d.edit_frame(enter_edit_mode=True)
    figures["edit_begin_cpu_s"] = round(time.process_time() - started, 2)
    figures["edit_mode_bytes"] = myself.memory_info().rss - resident
    figures["blender"] = bpy.app.version_string
    return figures


def live_pictures(bpy: Any, changes: int) -> dict[str, Any]:
    """Live views of a camera move at the clip's full size, one change of the camera at a time."""
    import live
    import psutil

    from blender_addon.live import views
    from blender_addon.work import preferences

    bpy.ops.ex4d.add_camera_move(preset="30")
    bpy.context.scene.frame_set(bpy.context.scene.frame_end // 2)
    preferences.get(bpy.context).live_limit_ms = 10_000
    live.wait_for_coverage(3600.0)
    start = time.perf_counter()
    bpy.context.window_manager.ex4d_live.enabled = True
    live.spin(live.settled)
    first = time.perf_counter() - start
    if hasattr(views.current, "place"):  # a baseline may not look for it; found once, it is no part of a picture
        live.spin(lambda: not views.current.place.is_finding)
    cam = bpy.context.scene.ex4d.shot.ex4d.camera
    drawing = [p for p in psutil.Process().children(recursive=True) if "ex4d_backend.live_process" in p.cmdline()]
    before = sum(map(cpu_of, drawing))
    seen = live.one_by_one(bpy, cam, cam.matrix_world.copy(), np.random.default_rng(1), changes, moving=False)
    used = sum(map(cpu_of, drawing)) - before
    memory = max(most_resident(process) for process in drawing)
    views.current.stop()
    return {
        "live_first_s": round(first, 2),
        "live_picture": seen["picture"],
        "live_p50_ms": round(seen["p50_ms"], 1),
        "live_p95_ms": round(seen["p95_ms"], 1),
        "live_cpu_ms": round(1000 * used / changes, 1),
        "live_bytes": memory,
    }


def most_resident(process: Any) -> int:
    """Bytes of memory that a process has held at most; where the system does not say, what it holds now."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return process.memory_info().rss
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def import_clip(bpy: Any, source: Path, side: int) -> dict[str, Any]:
    """One import through the operator, as the timer drives it in a window."""
    from blender_addon.work import delivery, session

    current: Any = session.get()
    blocks: list[tuple[float, float]] = []
    first: list[float] = []
    tick, put, started = current.tick, delivery.put, time.perf_counter()

    def timed_call(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            start, cpu = time.perf_counter(), time.thread_time()
            try:
                return work(*given)
            finally:
                blocks.append((1000 * (time.perf_counter() - start), 1000 * (time.thread_time() - cpu)))

        return run

    def timed(_budget_s: float = session.TICK_BUDGET_S) -> bool:
        start, cpu = time.perf_counter(), time.thread_time()
        worked = tick(session.TICK_BUDGET_S)
        blocks.append((1000 * (time.perf_counter() - start), 1000 * (time.thread_time() - cpu)))
        for task in current.tasks:
            if task.arrival is not None:
                timed_call(task.arrival.update)(bpy.context)
        if not first and bpy.context.scene.ex4d.shot is not None:
            first.append(time.perf_counter() - started)
        return worked

    current.tick, delivery.put = timed, timed_call(put)
    asked: dict[str, Any] = {"video_path": str(source / "clip.mp4"), "depth_path": str(source / "depth.npy")}
    if "grid_side" in bpy.ops.ex4d.import_clip.get_rna_type().properties:
        asked["grid_side"] = side
    try:
        bpy.ops.ex4d.import_clip(**asked)
    finally:
        current.tick, delivery.put = tick, put
    took = time.perf_counter() - started
    return {
        "first_frame_s": round(first[0] if first else took, 2),
        "import_s": round(took, 2),
        "longest_block_ms": round(max(wall for wall, _ in blocks), 1),
        "longest_block_cpu_ms": round(max(cpu for _, cpu in blocks), 1),
    }


def frame_steps(bpy: Any) -> dict[str, float]:
    """Median milliseconds of a frame step."""
    scene, took = bpy.context.scene, []
    for frame in range(1, min(scene.frame_end, 40) + 1):
        start, cpu = time.perf_counter(), time.process_time()
        scene.frame_set(frame)
        bpy.context.view_layer.update()
        took.append((1000 * (time.perf_counter() - start), 1000 * (time.process_time() - cpu)))
    wall, used = (float(np.median(column)) for column in zip(*took[2:], strict=True))
    return {"frame_step_ms": round(wall, 2), "frame_step_cpu_ms": round(used, 2)}


if __name__ == "__main__":
    main()
