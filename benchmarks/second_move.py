"""What another camera move of a clip costs, beside the same move of a clip that was never seen; prints JSON.

    python benchmarks/second_move.py [--output FILE]

A preview of the example clip, 49 frames of 512x512, 60 degrees. On the command line, in processes of its own: with no
place kept, and after another move of the clip, stage by stage as their lines come. On a backend with a data folder of
its own: the first move, another one by the same worker, and one after the server was started anew, each by its worker's
CPU seconds. Kernels are compiled beforehand. CPU seconds count on a busy machine; a second one alone is a rate of two
cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from backend_parts import connected, running_server

from ex4d.clip import load_clip
from ex4d.trajectory import preset
from ex4d_ground.options import MeshOptions
from ex4d_protocol.client import Client
from ex4d_protocol.requests import ClipSpec, Generate, Media, MeshSpec, TrajectorySpec

ROOT = Path(__file__).resolve().parents[1]
CLIP, DEPTH = (ROOT / "examples" / name for name in ("clip.mp4", "depth.npz"))
MOVES = ("30", "60")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count(), "clip": "49 x 512 x 512"}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        result["command_line"] = on_the_command_line(work)
        result["backend"] = on_a_backend(work)
    text = json.dumps(result, indent=2)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")


def on_the_command_line(work: Path) -> dict[str, Any]:
    """The second move with nothing kept, and after the first one."""
    preview(work, work / "compiled", MOVES[1])
    alone = preview(work, work / "alone", MOVES[1])
    preview(work, work / "both", MOVES[0])
    after = preview(work, work / "both", MOVES[1])
    return {"nothing_kept": alone, "after_another_move": after, "ratio": ratio(after["cpu_s"], alone["cpu_s"])}


def preview(work: Path, places: Path, move: str) -> dict[str, Any]:
    """Seconds and CPU seconds of one run, and of the stages, each with what comes before it."""
    command = [sys.executable, "-m", "ex4d", "preview", "--input_video", str(CLIP), "--depth", str(DEPTH)]
    command += ["--cam", move, "--output_dir", str(work / "takes")]
    how: dict[str, Any] = {"env": {**os.environ, "EX4D_PLACES": str(places)}, "stderr": subprocess.PIPE, "text": True}
    before, started, stages = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **how) as process:
        watched, last, last_cpu = psutil.Process(process.pid), started, 0.0
        for line in process.stderr or ():
            stage, _, count = line.strip().rpartition(": ")
            if "/" in count and count.partition("/")[0] == count.partition("/")[2]:
                times, now = watched.cpu_times(), time.perf_counter()
                cpu = times.user + times.system
                stages[stage] = {"cpu_s": round(cpu - last_cpu, 2), "s": round(now - last, 2)}
                last, last_cpu = now, cpu
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}.")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": round(cpu, 2), "s": round(time.perf_counter() - started, 2), "stages": stages}


def on_a_backend(work: Path) -> dict[str, float]:
    """A worker's CPU seconds for the first move, for another, and for that one after a new start."""
    with running_server(work) as (process, address):
        client = connected(address, {})
        clip = send(client)
        first = job(client, process, clip, MOVES[0])
        second = job(client, process, clip, MOVES[1])
        client.close()
    (work / "port").unlink()
    with running_server(work) as (process, address):
        client = connected(address, {})
        another_day = job(client, process, clip, MOVES[1])
        client.close()
    for path in (work / "data" / "places").iterdir():
        path.unlink()
    (work / "port").unlink()
    with running_server(work) as (process, address):
        client = connected(address, {})
        nothing = job(client, process, clip, MOVES[1])
        client.close()
    return {
        "first_move_cpu_s": first,
        "second_move_same_worker_cpu_s": second,
        "nothing_kept_new_worker_cpu_s": nothing,
        "second_move_new_worker_cpu_s": another_day,
        "ratio": ratio(another_day, nothing),
    }


def send(client: Client) -> ClipSpec:
    """Upload the clip."""
    video, depth = (client.wait_uploaded(client.upload(path), 120).ref for path in (CLIP, DEPTH))
    return ClipSpec(video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(depth,)))


def job(client: Client, server: psutil.Process, clip: ClipSpec, move: str) -> float:
    """CPU seconds of the worker for one preview."""
    path = preset(move, load_clip(CLIP, DEPTH))
    mesh = MeshSpec(options=MeshOptions(mode="solid"))
    request = Generate(clip=clip, mesh=mesh, trajectory=TrajectorySpec.pack(path), engine="preview")
    while not client.capabilities.engines:
        client.poll()
    before = cpu_of_children(server)
    client.wait_job(client.submit(request), 600)
    return round(cpu_of_children(server) - before, 2)


def cpu_of_children(server: psutil.Process) -> float:
    """CPU seconds so far of all processes of a server but itself."""
    times = [child.cpu_times() for child in server.children(recursive=True)]
    return sum(each.user + each.system for each in times)


def ratio(one: float, other: float) -> float:
    """Of two lengths of time."""
    return round(one / other, 3)


if __name__ == "__main__":
    main()
