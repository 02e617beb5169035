"""Playing a shot with edit layers in Blender without a window: milliseconds a frame.

    python benchmarks/blender_layers.py [--frames 49] [--size 512] [--layers 3] [--output FILE]

Prints JSON. Every second layer is along the ray, all act on every frame with a keyed weight. ``ratio`` compares with
the bare mesh cache in the same run, ``within_bar`` says whether the median frame takes at most ``bar_ms``, by the clock
and in processor time. ``edit_s`` is what beginning and finishing one edit takes, ``collect_s`` finding and storing the
frames that differ from the cache. Ends with status 1 if a frame takes longer than the bar in processor time, which
a busy machine changes little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ex4d_ground.files import frame_name

ROOT = Path(__file__).resolve().parents[1]
BAR_MS = 20.0
"""A shot must play this fast, or 24 frames a second leave no room for drawing it."""
for place in (ROOT, ROOT / "protocol"):
    sys.path.insert(0, str(place))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5, help="times the shot is played")
    parser.add_argument("--output", type=Path, help="also write the JSON there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options)
    text = json.dumps(result, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    sys.exit(0 if result["within_bar"]["cpu"] else 1)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything, in one Blender without a window and without a backend."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    bpy.ops.preferences.addon_enable(module="blender_addon")
    from blender_addon.edit import collect as edit_collect
    from blender_addon.edit import state as edit_state
    from blender_addon.scene import layers
    from blender_addon.scene import mesh as scene_mesh

    shot, body = build_shot(bpy, folder, options.frames, options.size)
    bare = play(bpy, options.rounds)
    edits = []
    for number in range(options.layers):
        start = time.perf_counter()
        edit_state.begin(shot, number + 1)
        positions = scene_mesh.positions(body.data)
        positions *= np.linspace(1, 1.01, len(positions), dtype=np.float32)[:, None]
        scene_mesh.set_positions(body.data, positions)
        mode = "RAY" if number % 2 else "OFFSET"
        frames = layers.FrameRange(1, 1, every_frame=True)
        layer = edit_state.finish(body, name=f"Layer {number}", mode=mode, frames=frames)
        edits.append(time.perf_counter() - start)
        assert layer is not None
        for frame, weight in ((1, 0.2), (options.frames, 1.0)):
            layers.set_input(layer, "Weight", weight)
            body.keyframe_insert(layers.object_path(layer, "Weight"), frame=frame)
    layered = play(bpy, options.rounds)
    start = time.perf_counter()
    found = edit_collect.collect(shot, folder)
    collected = time.perf_counter() - start
    assert len(found) == options.frames
    return {
        "frames": options.frames,
        "size": options.size,
        "layers": options.layers,
        "frame_ms": layered,
        "frame_without_layers_ms": bare,
        "ratio": {name: round(layered[name] / bare[name], 2) for name in ("median", "cpu_median")},
        "bar_ms": BAR_MS,
        "within_bar": {"wall": layered["median"] <= BAR_MS, "cpu": layered["cpu_median"] <= BAR_MS},
        "edit_s": round(statistics.median(edits), 3) if edits else None,
        "collect_s": round(collected, 3),
        "blender": bpy.app.version_string,
        "machine": {"cpus": os.cpu_count(), "processor": platform.processor() or platform.machine()},
    }


def build_shot(bpy: Any, folder: Path, frames: int, size: int) -> tuple[Any, Any]:
    """A wavy wall as a shot, made from files as an import leaves them."""
    from blender_addon.scene import shot as shots
    from blender_addon.scene.clip import ClipFacts
    from blender_addon.work import files, pc2

    rows, columns = np.mgrid[:size, :size]
    pictures = [folder / sub for sub in (files.COLOUR_FOLDER, files.VISIBLE_FOLDER)]
    with pc2.Pc2Writer(folder / files.CACHE_FILE, points=size * size, samples=frames) as writer:
        for t in range(frames):
            z = 8 + 0.5 * np.sin((columns + t) / 40) + 0.5 * np.cos(rows / 35)
            x, y = (columns + 0.5 - size / 2) / size * z, (rows + 0.5 - size / 2) / size * z
            writer.write(t, np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32))
        writer.close()
    for picture in pictures:
        picture.mkdir()
        image = bpy.data.images.new("Grey", size, size)
        image.file_format, image.filepath_raw = "PNG", str(picture / frame_name(0))
        image.save()
        bpy.data.images.remove(image)
    grid = np.arange(size * size).reshape(size, size)
    upper = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:]], -1).reshape(-1, 3)
    lower = np.stack([grid[1:, 1:], grid[:-1, 1:], grid[1:, :-1]], -1).reshape(-1, 3)
    last = size * size - 1
    caps = np.array([[size - 1, 0, last], [last, 0, last - size + 1]])
    facts = ClipFacts(
        name="clip",
        num_frames=frames,
        width=size,
        height=size,
        fps=24.0,
        intrinsics=(float(size), float(size), size / 2, size / 2),
        intrinsics_source="given",
        near_depth=7.0,
        clip_json="{}",
        video_path="",
        depth_path="",
    )
    faces = np.concatenate([upper, lower, caps]).astype(np.int32)
    made = shots.build(bpy.context, facts, faces, folder, shot_id="0" * 32, frame_start=1)
    shots.fit_scene(bpy.context.scene, made)
    return made, made.ex4d.mesh


def play(bpy: Any, rounds: int) -> dict[str, float]:
    """Milliseconds a frame of stepping through the whole scene, after one round to warm up.

    ``median`` and ``p99`` are over all rounds, ``quietest_round_median`` is the best round's.

    ``cpu`` is processor time of all threads, which a busy machine changes less than wall time.
    """
    scene = bpy.context.scene
    wall, cpu = [], []
    for number in range(rounds + 1):
        took: list[tuple[float, float]] = []
        for frame in range(scene.frame_start, scene.frame_end + 1):
            start = time.perf_counter(), time.process_time()
            scene.frame_set(frame)
            bpy.context.view_layer.update()
            took.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        if number:
            wall.append([seconds * 1000 for seconds, _ in took])
            cpu.append([seconds * 1000 for _, seconds in took])
    every, used = [ms for one in wall for ms in one], [ms for one in cpu for ms in one]
    return {
        "median": round(statistics.median(every), 3),
        "p99": round(float(np.percentile(every, 99)), 3),
        "quietest_round_median": round(min(statistics.median(one) for one in wall), 3),
        "cpu_median": round(statistics.median(used), 3),
        "cpu_p99": round(float(np.percentile(used, 99)), 3),
    }


if __name__ == "__main__":
    main()
