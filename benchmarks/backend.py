"""How fast the backend moves results, beside bare pyzmq with zero copy in the same run; prints JSON, then a table.

    python benchmarks/backend.py [--rounds 30] [--skip-curve] [--baseline CHECKOUT] [--output FILE] [--check]

49 RGB frames of 512x512 lie on disk as the results of jobs (written by the worker's own recorder); a real server
process streams them to a real client. Bare pyzmq (ROUTER to DEALER, no copies, no checks, no disk) sends buffers of the
same sizes from one process to another. Every round moves the clip with both, one right after the other, in turns which
goes first; the figure is the median of the rounds' ratios, and all of them are in the JSON. A second client, in a
process of its own, asks small questions while clips go out and come in; then jobs are cancelled while they run. CPU
time by thread is there too: it says where time goes also on a busy machine. ``baseline`` is what the same script of
another checkout says of that one, right after. With --check a missed bar is exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq
from backend_parts import (
    CLIP_BYTES,
    FRAMES,
    HEIGHT,
    LONG_JOB,
    LONG_REPEATS,
    SPAWN,
    WIDTH,
    CpuMeter,
    bare_once,
    bare_receiver,
    connected,
    job_name,
    server,
)

from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.events import Event, ItemReceived, JobChanged
from ex4d_protocol.requests import BuildMesh, ClipSpec, Media

EXAMPLES = Path(__file__).parent.parent / "examples"
BARS = {"share_of_bare": 0.75, "round_trip_p99_ms": 5.0, "cancel_p99_ms": 50.0}


def fetch_once(client: Client, job: str, size: int = CLIP_BYTES) -> float:
    """Seconds for all items of a finished job, from the request to the end of the results; all checksums checked."""
    sizes: list[int] = []
    client.follow(job, fetch=False)
    client.wait_for(lambda e: getattr(e, "job_id", "") == job, 60)
    started = time.perf_counter()
    client.fetch(job)
    client.wait_job(job, 120, on_event=lambda e: sizes.append(len(e.data)) if isinstance(e, ItemReceived) else None)
    elapsed = time.perf_counter() - started
    assert sum(sizes) == size, sizes
    return elapsed


def upload_once(address: str, keys: dict[str, Any], seed: int) -> float:
    """Seconds for as many bytes the other way, hashed on both sides."""
    data = np.random.default_rng(seed + 1).integers(0, 256, CLIP_BYTES, np.uint8)
    client = connected(address, keys)
    started = time.perf_counter()
    client.wait_uploaded(client.upload(data.data), 120)
    elapsed = time.perf_counter() - started
    client.close()
    return elapsed


def compare(client: Client, socket: zmq.Socket[Any], server_pid: int, bare_pid: int, rounds: int) -> dict[str, Any]:
    """The clip by the backend and by bare pyzmq, round by round."""
    bare_once(socket)  # warm both
    fetch_once(client, job_name(0))
    bare, ours = [], []
    bare_cpu, our_cpu = CpuMeter(bare_pid), CpuMeter(server_pid)
    for k in range(1, rounds + 1):
        for which in ("bare", "ours") if k % 2 else ("ours", "bare"):
            if which == "bare":
                with bare_cpu:
                    bare.append(bare_once(socket))
            else:
                with our_cpu:
                    ours.append(fetch_once(client, job_name(k)))
    ratios = [b / o for b, o in zip(bare, ours, strict=True)]
    return {
        "share_of_bare": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
        "bare_pyzmq_gb_s": gb_s(bare),
        "backend_gb_s": gb_s(ours),
        "cpu_ms_per_clip": {"bare_pyzmq": bare_cpu.ms_per(rounds), "backend": our_cpu.ms_per(rounds)},
    }


def ask_all_the_time(address: str, keys: dict[str, Any], ready: Any, going: Any, results: Any) -> None:
    """In a process of its own: the seconds of each small question while ``going`` is set."""
    client = connected(address, keys, client_id="benchmark-asker")
    for _ in range(50):
        client.ask(m.Ping())  # the first ones are of a cold process
    ready.set()
    going.wait()
    times = []
    while going.is_set():
        started = time.perf_counter()
        client.ask(m.Ping(), 60)
        times.append(time.perf_counter() - started)
        time.sleep(0.001)
    client.close()
    results.put(times)


def round_trips(address: str, keys: dict[str, Any], seconds: float) -> tuple[list[float], list[float]]:
    """Seconds of each small question while clips go out for ``seconds``, and while they come in."""
    found = []
    for direction in ("out", "in"):
        ready, going, results = SPAWN.Event(), SPAWN.Event(), SPAWN.Queue()
        asker = SPAWN.Process(target=ask_all_the_time, args=(address, keys, ready, going, results))
        asker.start()
        ready.wait(120)
        end, seed = time.perf_counter() + seconds, 1000
        going.set()
        while time.perf_counter() < end:
            seed += 1
            if direction == "out":
                client = connected(address, keys)
                fetch_once(client, LONG_JOB, CLIP_BYTES * LONG_REPEATS)
                client.close()
            else:
                upload_once(address, keys, seed)
        going.clear()
        found.append(results.get(timeout=120))
        asker.join()
    return found[0], found[1]


def in_phase(job: str, phase: str) -> Callable[[Event], bool]:
    """Whether an event says that the job is in that phase."""
    return lambda event: isinstance(event, JobChanged) and event.job_id == job and event.state.phase == phase


def cancel_times(address: str, keys: dict[str, Any], count: int) -> list[float]:
    """Seconds from sending a cancel of a running job to the server's acceptance."""
    client = connected(address, keys)
    video, depth = (client.wait_uploaded(client.upload(EXAMPLES / n), 60).ref for n in ("clip.mp4", "depth.npz"))
    source = ClipSpec(video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(depth,)))
    times = []
    for i in range(count):
        # Another frame rate is another clip: the job must read it anew and is still running when it is cancelled.
        job = client.submit(BuildMesh(clip=msgspec.structs.replace(source, fps=10.0 + i)), fetch=False)
        client.wait_for(in_phase(job, "running"), 120)
        started = time.perf_counter()
        client.ask(m.CancelJob(job_id=job))
        times.append(time.perf_counter() - started)
        client.wait_for(in_phase(job, "cancelled"), 60)
    client.close()
    return times


# --- the report -----------------------------------------------------------------------------------------------


def in_ms(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99]) * 1000
    worst = round(max(values) * 1000, 2)
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": worst, "n": len(values)}


def gb_s(seconds: list[float]) -> dict[str, float]:
    size = CLIP_BYTES / 1e9
    return {"median": round(size / statistics.median(seconds), 3), "best": round(size / min(seconds), 3)}


def measure(folder: Path, *, curve: bool, rounds: int, seconds: float, cancels: int) -> dict[str, Any]:
    """Everything, with or without encryption on both sides."""
    with (
        server(folder, curve=curve, jobs=rounds + 1) as (process, address, keys),
        bare_receiver(curve=curve) as (socket, bare_pid),
    ):
        client = connected(address, keys)
        moved = compare(client, socket, process.pid, bare_pid, rounds)
        client.close()
        uploads = [upload_once(address, keys, seed) for seed in range(5)]
        going_out, coming_in = round_trips(address, keys, seconds)
        stopped = cancel_times(address, keys, cancels)
        resident = process.memory_info().rss
    return {
        **moved,
        "upload_gb_s": gb_s(uploads),
        "round_trip_while_sending_ms": in_ms(going_out),
        "round_trip_while_receiving_ms": in_ms(coming_in),
        "cancel_accepted_ms": in_ms(stopped),
        "server_resident_mib": resident >> 20,
    }


def verdicts(found: dict[str, Any]) -> dict[str, bool]:
    """Which bars one part of the report meets."""
    trips = (found["round_trip_while_sending_ms"], found["round_trip_while_receiving_ms"])
    return {
        "share_of_bare": found["share_of_bare"] >= BARS["share_of_bare"],
        "round_trip_p99_ms": all(t["p99"] <= BARS["round_trip_p99_ms"] for t in trips),
        "cancel_p99_ms": found["cancel_accepted_ms"]["p99"] <= BARS["cancel_p99_ms"],
    }


def table(report: dict[str, Any]) -> str:
    """The report as a Markdown table, one column for each kind of connection."""
    kinds = [k for k in ("plain", "curve") if k in report]
    rows = {
        "share of bare pyzmq (bar 0.75)": lambda r: f"{r['share_of_bare']:.2f}",
        "backend, bare pyzmq (GB/s, medians)": lambda r: (
            f"{r['backend_gb_s']['median']:.2f}, {r['bare_pyzmq_gb_s']['median']:.2f}"
        ),
        "upload, hashed on both sides (GB/s)": lambda r: f"{r['upload_gb_s']['median']:.2f}",
        "small request while sending, p50, p99 (ms; bar 5)": lambda r: "{p50:.2f}, {p99:.2f}".format(
            **r["round_trip_while_sending_ms"]
        ),
        "small request while receiving, p50, p99 (ms; bar 5)": lambda r: "{p50:.2f}, {p99:.2f}".format(
            **r["round_trip_while_receiving_ms"]
        ),
        "cancel accepted, p50, p99 (ms; bar 50)": lambda r: "{p50:.2f}, {p99:.2f}".format(**r["cancel_accepted_ms"]),
        "memory of the server (MiB)": lambda r: str(r["server_resident_mib"]),
    }
    lines = [f"| what | {' | '.join(kinds)} |", "|---|" + "---|" * len(kinds)]
    lines += [f"| {name} | {' | '.join(cell(report[k]) for k in kinds)} |" for name, cell in rows.items()]
    return "\n".join(lines)


def of_baseline(checkout: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The report of another checkout, by its own script."""
    path = os.pathsep.join(str(checkout / sub) for sub in ("", "backend", "protocol"))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "report.json")
        command = [sys.executable, "benchmarks/backend.py", "--output", str(output)]
        for name in ("rounds", "seconds", "cancels"):
            command += [f"--{name}", str(getattr(args, name))]
        command += ["--skip-curve"] * args.skip_curve
        environment = os.environ | {"PYTHONPATH": path}
        subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, check=True)
        return json.loads(output.read_text(encoding="utf-8"))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=8.0, help="of questions, in each direction")
    parser.add_argument("--cancels", type=int, default=100)
    parser.add_argument("--skip-curve", action="store_true")
    parser.add_argument("--baseline", type=Path, help="another checkout, measured right after this one")
    parser.add_argument("--output", type=Path, help="also write the JSON there")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")
    args = parser.parse_args()
    report: dict[str, Any] = {
        "frames": [FRAMES, HEIGHT, WIDTH, 3],
        "megabytes": round(CLIP_BYTES / 1e6, 1),
        "rounds": args.rounds,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "pyzmq": zmq.__version__,
        "bars": BARS,
    }
    for name in ("plain",) if args.skip_curve else ("plain", "curve"):
        with tempfile.TemporaryDirectory() as folder:
            found = measure(
                Path(folder), curve=name == "curve", rounds=args.rounds, seconds=args.seconds, cancels=args.cancels
            )
        report[name] = {**found, "met": verdicts(found)}
    if args.baseline is not None:
        report["baseline"] = of_baseline(args.baseline.resolve(), args)
    text = json.dumps(report, indent=1)
    print(text)
    print(table(report))
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text + "\n", encoding="utf-8")
    if args.check and not all(v for k in ("plain", "curve") if k in report for v in report[k]["met"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
