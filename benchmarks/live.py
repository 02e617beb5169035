"""Live views in Blender: from a change of the camera to its picture in the add-on, over loopback.

    python benchmarks/live.py [--changes 120] [--baseline CHECKOUT] [--rounds 1] [--output FILE]

Prints JSON. A real backend process, a real Blender without a window, the example clip (512x512). Each change sets the
camera's matrix and updates the depsgraph; the add-on's own handler and timer do the rest, the timer called when it
asks to be, as Blender does. The clock stops when the overlay holds the picture of that camera. ``full`` is one change
at a time at the render's size, ``reduced`` at the size used while the camera moves; ``drag`` changes the camera all
the time and looks at how old the newest picture is when it arrives. ``preview`` is all of it once more with holes
filled as the preview fills them; ``found_s`` is from that choice to its first picture. ``cpu_ms`` is processor time of
Blender, the server and what draws, for a picture. ``bare_ms`` is the same frame drawn in this process, on the CPU and
without any of it. ``baseline`` is all of it for another checkout, measured in turn with this one, ``--rounds`` times
each in a Blender of its own; of several rounds each figure is the median. Ends with status 1 if the 95 % limit of
``full`` is above ``bar_ms``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
MEASURE = "--measure"
BAR_MS = 120.0
for place in (ROOT / "protocol", ROOT):
    if str(place) not in sys.path:  # another checkout's may come before it
        sys.path.append(str(place))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--changes", type=int, default=120, help="of the camera, for each part")
    parser.add_argument("--baseline", type=Path, help="another checkout, measured in the same run")
    parser.add_argument("--rounds", type=int, default=1, help="times that each is measured, in turn")
    parser.add_argument("--output", type=Path, help="also write the JSON there")
    parser.add_argument(MEASURE, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        with tempfile.TemporaryDirectory() as folder:
            options.measure.write_text(json.dumps(measure(Path(folder), options.changes)), encoding="utf-8")
        os._exit(0)  # Blender's module does not always survive its own destructors
    checkouts = {"now": ROOT} | ({"baseline": options.baseline.resolve()} if options.baseline else {})
    rounds: dict[str, list[Any]] = {name: [] for name in checkouts}
    for _ in range(options.rounds):
        for name, checkout in checkouts.items():
            rounds[name].append(run(checkout, options.changes))
    result = {**middle(rounds["now"]), **({"baseline": middle(rounds["baseline"])} if options.baseline else {})}
    result["within_bar"] = result["full"]["p95_ms"] <= BAR_MS
    text = json.dumps(result, indent=2)
    print(text, flush=True)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n", encoding="utf-8")
    sys.exit(0 if result["within_bar"] else 1)


def run(checkout: Path, changes: int) -> dict[str, Any]:
    """All figures of one checkout, in a process of its own."""
    path = os.pathsep.join(str(checkout / sub) for sub in ("", "backend", "protocol"))
    environment = os.environ | {"PYTHONPATH": path}
    environment["EX4D_BACKEND_COMMAND"] = shlex.join([sys.executable, "-m", "ex4d_backend"])
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "figures.json")
        command = [sys.executable, str(Path(__file__).resolve()), "--changes", str(changes), MEASURE, str(output)]
        subprocess.run(command, env=environment, cwd=checkout, stdout=sys.stderr, check=True)
        return json.loads(output.read_text(encoding="utf-8"))


def middle(rounds: list[Any]) -> Any:
    """Of figures measured several times the medians, of all else the first."""
    first = rounds[0]
    if isinstance(first, dict):
        return {name: middle([each[name] for each in rounds]) for name in first}
    return statistics.median(rounds) if isinstance(first, float) else first


def wait_for_coverage(rest_s: float) -> float:
    """Have the move's coverage wait until the camera has rested so long; returns for how long it did before."""
    from blender_addon.live import views

    try:
        from blender_addon.live import whole_move
    except ImportError:  # a baseline, which has both in one file
        before, views.REST_COVERAGE_S = views.REST_COVERAGE_S, rest_s
    else:
        before, whole_move.REST_S = whole_move.REST_S, rest_s
    return before


def measure(folder: Path, changes: int) -> dict[str, Any]:
    """All parts, one after the other."""
    bpy = prepare(folder)
    from blender_addon.live import views as live
    from blender_addon.work import preferences

    preferences.get(bpy.context).live_limit_ms = 10_000
    start = time.perf_counter()
    bpy.context.window_manager.ex4d_live.enabled = True
    spin(settled)
    first = time.perf_counter() - start
    knows_place = hasattr(live.current, "place")  # a baseline may look for none, and fill no holes
    spin(lambda: not (knows_place and live.current.place.is_finding))
    place = time.perf_counter() - start
    rng = np.random.default_rng(1)
    cam = bpy.context.scene.ex4d.shot.ex4d.camera
    rest = cam.matrix_world.copy()
    result: dict[str, Any] = {
        "width": bpy.context.scene.render.resolution_x,
        "height": bpy.context.scene.render.resolution_y,
        "changes": changes,
        "bar_ms": BAR_MS,
        "blender": bpy.app.version_string,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "first_picture_s": first,
        "place_s": place,
        "place": live.current.place.told if knows_place else "",
    }
    rest_s = wait_for_coverage(3600.0)  # not in between: it has a part of its own
    result |= from_changes(bpy, cam, rest, rng, changes)
    if hasattr(live.current, "holes"):
        result["preview"] = preview(bpy, cam, rest, rng, changes)
    result["bare_ms"] = bare()
    wait_for_coverage(rest_s)
    result["coverage_s"] = coverage_seconds(bpy, cam)
    live.current.stop()
    bpy.ops.ex4d.disconnect()
    return result


def from_changes(bpy: Any, cam: Any, rest: Any, rng: np.random.Generator, changes: int) -> dict[str, Any]:
    """From changes of the camera to their pictures, one at a time and while dragging."""
    return {
        "full": one_by_one(bpy, cam, rest, rng, changes, moving=False),
        "reduced": one_by_one(bpy, cam, rest, rng, changes, moving=True),
        "drag": drag(bpy, cam, rest, changes),
    }


def preview(bpy: Any, cam: Any, rest: Any, rng: np.random.Generator, changes: int) -> dict[str, Any]:
    """The same with holes filled; the switch is put back."""
    from blender_addon.live import overlay

    start = time.perf_counter()
    bpy.context.window_manager.ex4d_live.holes = "PREVIEW"
    spin(lambda: overlay.current.is_filled)
    found = time.perf_counter() - start
    measured = from_changes(bpy, cam, rest, rng, changes)
    bpy.context.window_manager.ex4d_live.holes = "STRIPED"
    spin(lambda: settled() and not overlay.current.is_filled)
    return {"found_s": found, **measured}


def prepare(folder: Path) -> Any:
    """A Blender with the example clip as a shot, a camera move, and a backend of its own."""
    import bpy

    os.environ["EX4D_BACKEND_DATA_DIR"] = str(folder / "data")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    bpy.ops.preferences.addon_enable(module="blender_addon")
    operators = bpy.ops.ex4d
    operators.connect()
    clip, depth = ROOT / "examples" / "clip.mp4", ROOT / "examples" / "depth.npz"
    operators.import_clip(video_path=str(clip), depth_path=str(depth))
    operators.add_camera_move(preset="30")
    bpy.context.scene.frame_set(25)
    return bpy


def cpu_of(process: Any) -> float:
    """Processor time of a process and of those below it that live, or have ended and were waited for."""
    own = [process, *process.children(recursive=True)]
    times = [each.cpu_times() for each in own]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def spin(done: Any, seconds: float = 300.0) -> None:
    """Call the add-on's timer when it asks to be called, until ``done``."""
    from blender_addon.live import views as live
    from blender_addon.work import timer

    end = time.perf_counter() + seconds
    while not done():
        if time.perf_counter() > end:
            raise SystemExit(f"live.py: no picture came within {seconds:g} s: {live.current.note}")
        delay = timer.tick()
        if not done():
            time.sleep(delay)


def settled() -> bool:
    """Whether the sharp picture of the present camera is there and no request is under way."""
    from blender_addon.live import views as live

    state = live.current
    if state.paused or state.note_is_error:
        raise SystemExit(f"live.py: {state.paused or state.note}")
    return state.is_sharp and not state.waiting


def nudge(bpy: Any, cam: Any, rest: Any, offset: np.ndarray) -> None:
    """A change as a user's drag makes it."""
    pose = rest.copy()
    pose.translation = pose.translation + type(pose.translation)(offset)
    cam.matrix_world = pose
    bpy.context.view_layer.update()


def one_by_one(
    bpy: Any, cam: Any, rest: Any, rng: np.random.Generator, changes: int, *, moving: bool
) -> dict[str, float]:
    """Milliseconds from each change to its picture; the next one comes when everything has settled.

    A ``moving`` camera's picture is followed by the sharp one, which counts to its processor time.
    """
    from blender_addon.live import overlay
    from blender_addon.live import views as live

    times, rest_s = [], live.REST_S
    spin(settled)
    used = cpu_of(psutil.Process())
    for _ in range(changes):
        spin(settled)
        live.REST_S = 60.0 if moving else 0.0  # within the pause of a drag, or outside of every drag
        before = overlay.current.number
        start = time.perf_counter()
        nudge(bpy, cam, rest, rng.normal(scale=0.05, size=3))
        spin(lambda before=before: overlay.current.number != before)
        times.append(time.perf_counter() - start)
        live.REST_S = rest_s
    height, width = overlay.current.picture.shape[:2]
    used = cpu_of(psutil.Process()) - used
    return {**percentiles(times), "cpu_ms": 1e3 * used / changes, "picture": [width, height]}


def drag(bpy: Any, cam: Any, rest: Any, changes: int) -> dict[str, float]:
    """Change the camera sixty times a second; pictures a second, and how old each is when it arrives."""
    from blender_addon.live import overlay
    from blender_addon.live import views as live
    from blender_addon.work import timer

    changed: dict[bytes, float] = {}
    ages, last, due = [], overlay.current.number, 0.0
    start, used = time.perf_counter(), cpu_of(psutil.Process())
    for k in range(changes):
        nudge(bpy, cam, rest, np.array([0.1 * np.sin(k / 15), 0.05 * np.cos(k / 20), 0.0]))
        changed[live.current.now.trajectory.world_from_camera] = time.perf_counter()
        end = start + (k + 1) / 60
        while (now := time.perf_counter()) < end:
            if now >= due:
                due = now + timer.tick()
                if overlay.current.number != last:
                    last = overlay.current.number
                    ages.append(time.perf_counter() - changed[live.current.shown[0].trajectory.world_from_camera])
            time.sleep(max(0.0, min(due, end) - time.perf_counter()))
    used = cpu_of(psutil.Process()) - used
    spin(settled)
    return {
        **percentiles(ages), "cpu_ms": 1e3 * used / len(ages), "pictures_per_s": len(ages) / (changes / 60)
    }  # fmt: skip


def bare() -> dict[str, float]:
    """The same frame of the same clip, drawn in this process by the library alone."""
    from blender_addon.live import views as live
    from ex4d.clip import load_clip
    from ex4d.dwmesh import DWMesh
    from ex4d.guides import FrameRenderer
    from ex4d.raster import Camera
    from ex4d_ground.options import MeshOptions

    clip = load_clip(ROOT / "examples" / "clip.mp4", ROOT / "examples" / "depth.npz")
    move = live.current.pictures.sent.trajectory.unpack()
    camera = Camera.of(move, 0)
    found: dict[str, float] = {}
    for mode in ("endless", "solid"):
        with FrameRenderer(DWMesh(clip, MeshOptions(mode=mode)), rasterizer="cpu") as renderer:
            found[mode] = median_ms(lambda drawn=renderer: drawn.render(24, camera))
    if hasattr(live.current, "holes"):
        found["preview"] = bare_preview(clip, move, camera)
    return found


def bare_preview(clip: Any, move: Any, camera: Any) -> float:
    """The same frame with its holes filled."""
    from ex4d.bands import Bands
    from ex4d.dwmesh import DWMesh
    from ex4d.engines.preview_settings import preview_settings
    from ex4d.fill import world_of
    from ex4d.guides import FrameRenderer, thread_count
    from ex4d_backend.live_previews import HoleFiller, OneFrame
    from ex4d_ground.options import MeshOptions, RasterOptions

    mesh, place, settings = DWMesh(clip, MeshOptions(mode="endless")), world_of(clip), preview_settings({})
    with Bands(thread_count()) as bands, FrameRenderer(mesh, rasterizer="cpu", bands=bands) as renderer:
        filler = HoleFiller(mesh, RasterOptions(), bands, known_first=True, t=24)
        frame = OneFrame.of(move, move, 0, 24)
        return median_ms(lambda: filler.fill(*renderer.render(24, camera), frame, settings, place))


def median_ms(draw: Any) -> float:
    """Of forty times, after one that counts for nothing."""
    draw()
    times = []
    for _ in range(40):
        start = time.perf_counter()
        draw()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def coverage_seconds(bpy: Any, cam: Any) -> float:
    """From a changed keyframe to the coverage of the whole move; the pause before it begins is part of it."""
    from blender_addon.live import views as live

    target = bpy.context.scene.ex4d.shot
    spin(lambda: settled() and not live.current.computes_coverage)
    before = target.ex4d.coverage_json
    cam.location.x += 0.2
    start = time.perf_counter()
    cam.keyframe_insert("location", frame=30)
    bpy.context.view_layer.update()
    spin(lambda: target.ex4d.coverage_json != before)
    return time.perf_counter() - start


def percentiles(seconds: list[float]) -> dict[str, float]:
    low, high = np.percentile(seconds, [50, 95])
    return {"p50_ms": 1e3 * float(low), "p95_ms": 1e3 * float(high), "worst_ms": 1e3 * max(seconds)}


if __name__ == "__main__":
    main()
