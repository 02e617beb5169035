"""What ``backend.py`` measures with: finished jobs on disk, a real server, bare pyzmq beside it, CPU time by thread."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import subprocess
import sys
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

from ex4d_backend.item_files import item_file
from ex4d_backend.keys import KeyRing
from ex4d_backend.recording import Recorder
from ex4d_backend.store import JobStore
from ex4d_protocol.client import Client

FRAMES, HEIGHT, WIDTH = 49, 512, 512
FRAME_BYTES = HEIGHT * WIDTH * 3
CLIP_BYTES = FRAMES * FRAME_BYTES
OWNER, LONG_JOB = "benchmark-client", "benchmark-long"
LONG_REPEATS = 25
"""The long job has the same frames so many times: nearly 1 GB, so that questions meet a transfer under way."""
SPAWN = mp.get_context("spawn")


def job_name(index: int) -> str:
    """Of the job that is fetched in round ``index``."""
    return f"benchmark-{index:04d}"


def write_jobs(folder: Path, owner: str, count: int) -> None:
    """``count`` finished jobs of one clip each and a long one, their frames written once, as a worker writes them."""
    (folder / "jobs").mkdir(parents=True)
    store = JobStore(folder / "jobs.sqlite")
    rng = np.random.default_rng(0)
    written: list[Any] = []
    recorder = Recorder(folder, "template", written.append)
    for i in range(FRAMES):
        recorder.array("frame", i, rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    for job_id, repeats in (*((job_name(k), 1) for k in range(count)), (LONG_JOB, LONG_REPEATS)):
        job = store.add(job_id, owner=owner, title="benchmark", kind="Generate", priority=0, request=b"")
        items = folder / "jobs" / job.folder_name / "items-1"
        items.mkdir(parents=True)
        for i in range(FRAMES * repeats):
            os.link(folder / item_file(i % FRAMES), items / item_file(i))
            store.add_item(job, msgspec.structs.replace(written[i % FRAMES], job_id=job_id, index=i, frame=i))
        store.set_phase(job, "done")
    store.close()


@contextmanager
def running_server(folder: Path, *, curve: bool = False, device: str = "cpu") -> Iterator[tuple[psutil.Process, str]]:
    """A server process with its data below ``folder``, and its address."""
    data, port_file = folder / "data", folder / "port"
    threads = str(os.cpu_count()) if device != "cpu" else "2"
    own = {"CURVE": str(curve).lower(), "THREADS": threads, "GUARDIAN": "off"}
    environment = {**os.environ, **{f"EX4D_BACKEND_{name}": value for name, value in own.items()}}
    command = [sys.executable, "-m", "ex4d_backend", "--address", "tcp://127.0.0.1:auto", "--device", device]
    command += ["--data-dir", str(data), "--port-file", str(port_file), "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while not port_file.exists():
            if process.poll() is not None:
                raise SystemExit("the backend did not start")
            time.sleep(0.02)
        yield psutil.Process(process.pid), port_file.read_text().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextmanager
def server(folder: Path, *, curve: bool, jobs: int) -> Iterator[tuple[psutil.Process, str, dict[str, Any]]]:
    """A server process on ``folder`` with ``jobs`` finished jobs: the process, its address and the client's keys."""
    data = folder / "data"
    keys: dict[str, Any] = {}
    if curve:
        values = {k: v.encode() for k, v in tomllib.loads(KeyRing(data).new("benchmark")).items()}
        keys = {"server_key": values["server_key"], "keypair": (values["public_key"], values["secret_key"])}
    write_jobs(data, "benchmark" if curve else OWNER, jobs)
    with running_server(folder, curve=curve) as (process, address):
        yield process, address, keys


def connected(address: str, keys: dict[str, Any], *, client_id: str = OWNER) -> Client:
    """A client that is connected."""
    client = Client(address, client_name="benchmark", client_id=client_id, **keys)
    client.connect()
    client.wait_connected(60)
    return client


# --- bare pyzmq -----------------------------------------------------------------------------------------------


def bare_sender(channel: Any, keys: tuple[bytes, bytes] | None) -> None:
    """In a process of its own: send the frames whenever asked."""
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    if keys:
        socket.curve_server, (socket.curve_publickey, socket.curve_secretkey) = True, keys
    channel.put((os.getpid(), socket.bind_to_random_port("tcp://127.0.0.1")))
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
def bare_receiver(*, curve: bool) -> Iterator[tuple[zmq.Socket[Any], int]]:
    """A DEALER connected to :func:`bare_sender` in another process, and that process's id."""
    keys, channel = zmq.curve_keypair() if curve else None, SPAWN.Queue()
    process = SPAWN.Process(target=bare_sender, args=(channel, keys))
    process.start()
    sender, port = channel.get(timeout=120)
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    if keys:
        socket.curve_serverkey = keys[0]
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.connect(f"tcp://127.0.0.1:{port}")
    try:
        yield socket, sender
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
    assert sum(len(frame.buffer) for frame in frames) == CLIP_BYTES
    return elapsed


# --- CPU time -------------------------------------------------------------------------------------------------


def cpu_by_thread(process: int) -> dict[str, float]:
    """CPU seconds of a process so far, by what its threads are: "io" (ZeroMQ's) or "python". Empty if not on Linux."""
    found = {"io": 0.0, "python": 0.0}
    for task in Path(f"/proc/{process}/task").glob("*"):
        try:
            name = (task / "comm").read_text()
            nanoseconds = int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue  # the thread has ended meanwhile
        found["io" if name.startswith("ZMQ") else "python"] += nanoseconds / 1e9
    return found if any(found.values()) else {}


class CpuMeter:
    """Adds up the CPU time that a sender and this process spend inside ``with`` blocks."""

    def __init__(self, sender: int) -> None:
        self._processes = {"sender": sender, "receiver": os.getpid()}
        self._before: dict[str, dict[str, float]] = {}
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> None:
        self._before = {who: cpu_by_thread(pid) for who, pid in self._processes.items()}

    def __exit__(self, *_: object) -> None:
        for who, pid in self._processes.items():
            for kind, value in cpu_by_thread(pid).items():
                key = f"{who}_{kind}"
                self.seconds[key] = self.seconds.get(key, 0.0) + value - self._before[who][kind]

    def ms_per(self, count: int) -> dict[str, float]:
        """Milliseconds for each of ``count`` transfers."""
        return {name: round(value / count * 1000, 2) for name, value in self.seconds.items()}
