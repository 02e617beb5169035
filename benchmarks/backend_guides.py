"""Guides and live views through a real backend, each rasterizer beside the others in one run; prints JSON.

    python benchmarks/backend_guides.py [--rasterizers cpu,auto] [--changes 120] [--output FILE]

A server process of its own with its worker and live process, a client over loopback. ``jobs``: the whole clip (49
frames of each size, a valley with pillars in front, endless and solid) as RenderGuides: milliseconds from the request
to the last item, and of these the guides' own share, as the job's log tells. ``drag``: a camera is moved all the time
over the last size's clip; ``camera_to_picture_ms`` is from the request to the whole picture in this process, and the
next change is asked for when a picture arrives. ``coverage`` shows that all saw the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
for place in (ROOT, ROOT / "protocol", ROOT / "backend"):
    sys.path.insert(0, str(place))

from backend_parts import connected, running_server  # noqa: E402

from ex4d.clip import write_video  # noqa: E402
from ex4d_ground.cameras import Intrinsics, Trajectory  # noqa: E402
from ex4d_ground.options import MeshOptions, RasterOptions  # noqa: E402
from ex4d_protocol import messages as m  # noqa: E402
from ex4d_protocol.client import Client  # noqa: E402
from ex4d_protocol.events import ItemReceived, LiveAnswer, RequestFailed  # noqa: E402
from ex4d_protocol.requests import ClipSpec, Media, MeshSpec, RenderGuides, TrajectorySpec  # noqa: E402

FRAMES = 49
SIZES = ((512, 512), (1920, 1080))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rasterizers", default="cpu,auto", help="names, in order")
    parser.add_argument("--changes", type=int, default=120, help="of the camera while it is dragged")
    parser.add_argument("--device", default="auto", help="of the server's worker")
    parser.add_argument("--sizes", default=",".join(f"{w}x{h}" for w, h in SIZES))
    parser.add_argument("--output", type=Path, help="also write the JSON there")
    options = parser.parse_args()
    result = measure(options)
    text = json.dumps(result, indent=2)
    print(text, flush=True)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All parts, in one server."""
    names = options.rasterizers.split(",")
    sizes = [tuple(map(int, size.split("x"))) for size in options.sizes.split(",")]
    result: dict[str, Any] = {"frames": FRAMES, "cores": os.cpu_count(), "machine": platform.machine()}
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder), device=options.device) as (_, address):
        client = connected(address, {})
        client.wait_for(lambda _: bool(client.capabilities.engines), 300)
        result["device"] = [device.name for device in client.capabilities.devices]
        result["jobs"], result["drag"] = [], []
        for width, height in sizes:
            clip = send_clip(client, Path(folder), width, height)
            result["jobs"] += jobs(client, clip, width, height, names)
        for name in names:
            result["drag"].append(drag(client, clip, width, height, name, options.changes))
        client.close()
    return result


def send_clip(client: Client, folder: Path, width: int, height: int) -> ClipSpec:
    """A valley with pillars in it, before a camera that stands still; uploaded."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    ground = 14.0 - 11.0 * y + 0.4 * np.sin(9 * x) * np.cos(7 * y)
    frames, depth = np.empty((FRAMES, height, width, 3), np.uint8), np.empty((FRAMES, height, width), np.float32)
    for t in range(FRAMES):
        depth[t] = ground
        for k in range(7):
            inside = np.abs(x - (0.08 + 0.14 * k + 0.02 * np.sin(t / 8 + k))) < 0.025
            depth[t][inside & (y > 0.25)] = 2.5 + 0.3 * k
        shade = np.stack([np.sin(40 * x + t / 5), np.cos(31 * y), np.sin(20 * (x + y))], axis=-1)
        frames[t] = 127 + 90 * shade + 3000 / (20 + 10 * depth[t][..., None]) - 40
    write_video(folder / f"{width}.mkv", frames, fps=24.0)
    np.savez(folder / f"{width}.npz", depth=depth)
    video, stored = (client.wait_uploaded(client.upload(folder / f"{width}.{end}"), 600).ref for end in ("mkv", "npz"))
    lens = (0.9 * width, 0.9 * width, width / 2, height / 2)
    return ClipSpec(
        video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(stored,)), intrinsics=lens
    )


def move(width: int, height: int, count: int, start: int = 0) -> TrajectorySpec:
    """Cameras that slide and turn to the side; ``start`` says where on the way the first one is."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for i in range(count):
        a = 0.35 * np.sin((start + i) / 12)
        poses[i, :3, :3] = [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
        poses[i, 0, 3] = -1.2 * np.sin((start + i) / 12)
    lens = Intrinsics(0.9 * width, 0.9 * width, width / 2, height / 2, width, height)
    rows = np.tile([lens.fx, lens.fy, lens.cx, lens.cy], (count, 1))
    return TrajectorySpec.pack(Trajectory(poses, rows, np.arange(count) % float(FRAMES), width, height))


def jobs(client: Client, clip: ClipSpec, width: int, height: int, names: list[str]) -> list[dict[str, Any]]:
    """Whole clips: the second of two runs each, with another camera, so that clip and programs are warm."""
    return [job(client, clip, width, height, mode, name) for mode in ("endless", "solid") for name in names]


def job(client: Client, clip: ClipSpec, width: int, height: int, mode: Any, name: str) -> dict[str, Any]:
    """The second of two runs, with another camera, so that clip and programs are warm."""
    whole_ms, coverage, log = 0.0, np.zeros(0), ""
    for run in range(2):
        request = RenderGuides(
            clip=clip,
            trajectory=move(width, height, FRAMES, run),
            mesh=MeshSpec(options=MeshOptions(mode=mode)),
            raster=RasterOptions(rasterizer=name),
        )
        started, items = time.perf_counter(), list[ItemReceived]()
        job_id = client.submit(request)
        client.wait_job(job_id, 600, on_event=lambda e, kept=items: kept.append(e) if last_item(e) else None)
        whole_ms, coverage = 1000 * (time.perf_counter() - started), items[-1].array()
        log = client.ask(m.GetJobLog(job_id=job_id)).text
        client.ask(m.AckResults(job_id=job_id))
    drawn = re.findall(r"drawn by the rasterizer '(\w+)' in ([\d.]+) ms", log)[-1]
    return {
        "size": f"{width}x{height}", "mode": mode, "asked": name, "drawn_by": drawn[0], "guides_ms": float(drawn[1]),
        "whole_ms": round(whole_ms), "coverage": round(float(coverage.mean()), 4),
    }  # fmt: skip


def last_item(event: Any) -> bool:
    """The coverage, which comes last."""
    return isinstance(event, ItemReceived) and event.name == "coverage"


def drag(client: Client, clip: ClipSpec, width: int, height: int, name: str, changes: int) -> dict[str, Any]:
    """A camera that never rests, each change asked for when the picture of the one before is here."""
    times, coverage = [], []
    for change in range(changes + 10):  # the first ones read the clip and make the programs
        spec = msgspec.structs.replace(move(width, height, 1, change), source_time=np.array([10.0]).tobytes())
        view = m.LiveView(
            view=f"drag {name}", sequence=change, clip=clip, trajectory=spec, raster=RasterOptions(rasterizer=name)
        )
        started = time.perf_counter()
        asked = client.live(view)
        picture = wait_picture(client, asked)
        if change >= 10:
            times.append(1000 * (time.perf_counter() - started))
            coverage.append(float((picture[..., 3] > 0).mean()))
    times.sort()
    return {
        "size": f"{width}x{height}", "asked": name, "changes": changes,
        "camera_to_picture_ms": {
            "median": round(statistics.median(times), 2), "p95": round(times[int(0.95 * len(times))], 2),
            "max": round(times[-1], 2),
        },
        "coverage": round(statistics.mean(coverage), 4),
    }  # fmt: skip


def wait_picture(client: Client, asked: int) -> np.ndarray:  # [H, W, 4]
    """The picture of a live request, polled as often as a client may."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        for event in client.poll(0.02):
            if isinstance(event, RequestFailed) and event.request_id == asked:
                raise SystemExit(f"The live view failed: {event.error.message}")
            if isinstance(event, LiveAnswer) and event.request_id == asked and event.picture is not None:
                return event.picture
        client.wait_readable(0.05)
    raise SystemExit("No picture came within 5 minutes.")


if __name__ == "__main__":
    main()
