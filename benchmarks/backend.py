"""How fast the backend moves results, beside bare pyzmq with zero copy in the same run; prints JSON.

    python benchmarks/backend.py [--rounds 15] [--skip-curve] [--output FILE]

49 RGB frames of 512x512 lie on disk as the result of a job (written by the worker's own recorder); a real server
process streams them to a real client. Bare pyzmq (ROUTER to DEALER, no copies, no checks, no disk) sends buffers of the
same sizes from one process to another. Rounds of the two alternate, so that a busy machine is busy for both. A second
client, in a process of its own, asks small questions while the transfer runs; then running jobs are cancelled.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import zmq

from ex4d_backend.internal import item_file
from ex4d_backend.keys import KeyRing
from ex4d_backend.recording import Recorder
from ex4d_backend.store import JobStore
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.events import ItemReceived
from ex4d_protocol.requests import BuildMesh, ClipSpec, Media

EXAMPLES = Path(__file__).parent.parent / "examples"
FRAMES, HEIGHT, WIDTH = 49, 512, 512
FRAME_BYTES = HEIGHT * WIDTH * 3
JOB, LONG_JOB, OWNER = "benchmark-frames", "benchmark-long", "benchmark-client"
REPEATS = 25
"""The long job has the same frames so many times: nearly 1 GB, so that questions meet a transfer under way."""
SPAWN = mp.get_context("spawn")


def write_jobs(folder: Path, owner: str) -> None:
    """Two finished jobs of ``owner`` in a data folder, their raw frames written as a worker writes them."""
    (folder / "jobs").mkdir(parents=True)
    store = JobStore(folder / "jobs.sqlite")
    rng = np.random.default_rng(0)
    first: Path | None = None
    for job_id, repeats in ((JOB, 1), (LONG_JOB, REPEATS)):
        job = store.add(job_id, owner=owner, title="benchmark", kind="Generate", priority=0, request=b"")
        items = folder / "jobs" / job.folder_name / "items-1"
        described: list[Any] = []
        if first is None:
            first, recorder = items, Recorder(items, job_id, described.append)
            for i in range(FRAMES):
                recorder.array("frame", i, rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
            template = described
        items.mkdir(parents=True, exist_ok=True)
        for i in range(FRAMES * repeats):
            if items != first:
                os.link(first / item_file(i % FRAMES), items / item_file(i))
            fields = {**msgspec.structs.asdict(template[i % FRAMES]), "type": "Item", "attempt": 1}
            fields |= {"job_id": job_id, "index": i, "frame": i}
            store.add_item(job, msgspec.convert(fields, m.Item))
        store.set_phase(job, "done")
    store.close()


# --- bare pyzmq -----------------------------------------------------------------------------------------------


def bare_sender(ports: Any, keys: tuple[bytes, bytes] | None) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    if keys:
        socket.curve_server, (socket.curve_publickey, socket.curve_secretkey) = True, keys
    ports.put(socket.bind_to_random_port("tcp://127.0.0.1"))
    rng = np.random.default_rng(0)
    buffers = [rng.integers(0, 256, FRAME_BYTES, np.uint8) for _ in range(FRAMES)]
    while True:
        identity, word = socket.recv_multipart()
        if word == b"quit":
            break
        for buffer in buffers:
            socket.send_multipart([identity, buffer], copy=False)
    context.destroy(linger=1000)


@contextmanager
def bare_receiver(*, curve: bool) -> Iterator[zmq.Socket[Any]]:
    """A DEALER connected to :func:`bare_sender` in another process."""
    keys, ports = zmq.curve_keypair() if curve else None, SPAWN.Queue()
    process = SPAWN.Process(target=bare_sender, args=(ports, keys))
    process.start()
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    if keys:
        socket.curve_serverkey = keys[0]
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.connect(f"tcp://127.0.0.1:{ports.get(timeout=60)}")
    try:
        yield socket
    finally:
        socket.send(b"quit")
        process.join()
        context.destroy(linger=0)


def bare_once(socket: zmq.Socket[Any]) -> float:
    """Seconds for all frames."""
    started = time.perf_counter()
    socket.send(b"go")
    frames = [socket.recv(copy=False) for _ in range(FRAMES)]
    elapsed = time.perf_counter() - started
    assert sum(len(frame.buffer) for frame in frames) == FRAMES * FRAME_BYTES
    return elapsed


# --- the backend ----------------------------------------------------------------------------------------------


@contextmanager
def server(folder: Path, *, curve: bool) -> Iterator[tuple[psutil.Process, str, dict[str, Any]]]:
    """A server process on ``folder``: the process, its address and the client's keys."""
    data, port_file = folder / "data", folder / "port"
    keys: dict[str, Any] = {}
    if curve:
        values = {k: v.encode() for k, v in tomllib.loads(KeyRing(data).new("benchmark")).items()}
        keys = {"server_key": values["server_key"], "keypair": (values["public_key"], values["secret_key"])}
    write_jobs(data, "benchmark" if curve else OWNER)
    environment = {**os.environ, "EX4D_BACKEND_CURVE": str(curve).lower(), "EX4D_BACKEND_THREADS": "2"}
    command = [sys.executable, "-m", "ex4d_backend", "--address", "tcp://127.0.0.1:auto", "--device", "cpu"]
    command += ["--data-dir", str(data), "--port-file", str(port_file), "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while not port_file.exists():
        if process.poll() is not None:
            raise SystemExit("the backend did not start")
        time.sleep(0.02)
    try:
        yield psutil.Process(process.pid), port_file.read_text().strip(), keys
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def connected(address: str, keys: dict[str, Any]) -> Client:
    client = Client(address, client_name="benchmark", client_id=OWNER, **keys)
    client.connect()
    client.wait_connected()
    return client


def fetch_once(address: str, keys: dict[str, Any], job: str = JOB) -> float:
    """Seconds for all frames, from the request to the end of the results; every checksum is checked."""
    client = connected(address, keys)
    sizes: list[int] = []
    client.follow(job, fetch=False)
    client.wait_for(lambda e: getattr(e, "job_id", "") == job, 10)
    started = time.perf_counter()
    client.fetch(job)
    client.wait_job(job, 60, on_event=lambda e: sizes.append(len(e.data)) if isinstance(e, ItemReceived) else None)
    elapsed = time.perf_counter() - started
    client.close()
    assert sum(sizes) == FRAMES * FRAME_BYTES * (REPEATS if job == LONG_JOB else 1), sizes
    return elapsed


def upload_once(address: str, keys: dict[str, Any], seed: int) -> float:
    """Seconds for as many bytes the other way, hashed on both sides."""
    data = np.random.default_rng(seed + 1).integers(0, 256, FRAMES * FRAME_BYTES, np.uint8)
    client = connected(address, keys)
    started = time.perf_counter()
    client.wait_uploaded(client.upload(data.data), 60)
    elapsed = time.perf_counter() - started
    client.close()
    return elapsed


def ask_all_the_time(address: str, keys: dict[str, Any], ready: Any, going: Any, results: Any) -> None:
    client = Client(address, client_name="asker", **keys)
    client.connect()
    client.wait_connected()
    for _ in range(20):
        client.ask(m.Ping())  # the first ones are of a cold process
    ready.set()
    going.wait()
    times = []
    while going.is_set():
        started = time.perf_counter()
        client.ask(m.Ping())
        times.append(time.perf_counter() - started)
        time.sleep(0.002)
    client.close()
    results.put(times)


def round_trips(address: str, keys: dict[str, Any], transfers: int) -> list[float]:
    """Seconds of each small question while large transfers run."""
    ready, going, results = SPAWN.Event(), SPAWN.Event(), SPAWN.Queue()
    asker = SPAWN.Process(target=ask_all_the_time, args=(address, keys, ready, going, results))
    asker.start()
    ready.wait(60)
    going.set()
    for _ in range(transfers):
        fetch_once(address, keys, LONG_JOB)
    going.clear()
    times = results.get(timeout=60)
    asker.join()
    return times


def cancel_times(address: str, keys: dict[str, Any], count: int) -> list[float]:
    """Seconds from sending a cancel of a running job to the server's acceptance."""
    client = connected(address, keys)
    video, depth = (client.wait_uploaded(client.upload(EXAMPLES / n), 30).ref for n in ("clip.mp4", "depth.npz"))
    source = ClipSpec(video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(depth,)))
    times = []
    for i in range(count):
        # Another frame rate is another clip: the job must read it anew and is still running when it is cancelled.
        job = client.submit(BuildMesh(clip=msgspec.structs.replace(source, fps=10.0 + i)), fetch=False)
        client.wait_for(lambda e, j=job: getattr(e, "job_id", "") == j and e.state.phase == "running", 60)
        started = time.perf_counter()
        client.ask(m.CancelJob(job_id=job))
        times.append(time.perf_counter() - started)
        client.wait_for(lambda e, j=job: getattr(e, "job_id", "") == j and e.state.phase == "cancelled", 30)
    client.close()
    return times


# --- the report -----------------------------------------------------------------------------------------------


def in_ms(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99]) * 1000
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "n": len(values)}


def gb_s(seconds: list[float]) -> dict[str, float]:
    size = FRAMES * FRAME_BYTES / 1e9
    return {"median": round(size / statistics.median(seconds), 3), "best": round(size / min(seconds), 3)}


def measure(folder: Path, *, curve: bool, rounds: int, cancels: int) -> dict[str, Any]:
    with server(folder, curve=curve) as (process, address, keys), bare_receiver(curve=curve) as socket:
        bare_once(socket), fetch_once(address, keys)  # warm both
        bare, ours = [], []
        for _ in range(rounds):
            bare.append(bare_once(socket))
            ours.append(fetch_once(address, keys))
        uploads = [upload_once(address, keys, seed) for seed in range(min(rounds, 5))]
        trips = round_trips(address, keys, 2 if curve else 5)
        stopped = cancel_times(address, keys, cancels)
        resident = process.memory_info().rss
    return {
        "bare_pyzmq_gb_s": gb_s(bare),
        "backend_gb_s": gb_s(ours),
        "share_of_bare": {
            "median": round(statistics.median(bare) / statistics.median(ours), 3),
            "best": round(min(bare) / min(ours), 3),  # what other programs on the machine disturb least
        },
        "upload_gb_s": gb_s(uploads),
        "round_trip_during_transfer_ms": in_ms(trips),
        "cancel_accepted_ms": in_ms(stopped),
        "server_resident_mib": resident >> 20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cancels", type=int, default=20)
    parser.add_argument("--skip-curve", action="store_true")
    parser.add_argument("--output", type=Path, help="also write the JSON there")
    args = parser.parse_args()
    report: dict[str, Any] = {
        "frames": [FRAMES, HEIGHT, WIDTH, 3],
        "megabytes": round(FRAMES * FRAME_BYTES / 1e6, 1),
        "rounds": args.rounds,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "pyzmq": zmq.__version__,
    }
    for curve in (False, True)[: 1 if args.skip_curve else 2]:
        with tempfile.TemporaryDirectory() as folder:
            name = "curve" if curve else "plain"
            report[name] = measure(Path(folder), curve=curve, rounds=args.rounds, cancels=args.cancels)
    text = json.dumps(report, indent=1)
    print(text)
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
