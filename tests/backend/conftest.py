from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import zmq

from backend.peers import Peer
from ex4d.clip import load_clip, write_video
from ex4d.dwmesh import DWMesh
from ex4d_ground.cameras import Trajectory
from ex4d_protocol.client import Client
from ex4d_protocol.requests import ClipSpec, Media, RenderGuides, TrajectorySpec

WIDTH, HEIGHT, FRAMES = 48, 40, 5


@dataclass
class Backend:
    """A real server process on a free port."""

    data_dir: Path
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    address: str = "tcp://127.0.0.1:auto"
    device: str = "cpu"
    process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> Backend:
        port_file = self.data_dir.parent / f"{self.data_dir.name}.port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "ex4d_backend", "--address", self.address]
        command += ["--data-dir", str(self.data_dir), "--port-file", str(port_file), "--device", self.device]
        # A busy machine, or a test that holds a worker still, must not make a worker count as one that hangs.
        own = {"EX4D_BACKEND_THREADS": "2", "EX4D_BACKEND_WORKER_SILENT_S": "600"}
        own["EX4D_BACKEND_GUARDIAN"] = "off"  # the process that is started is the server
        environment = {**os.environ, **own, **self.environment}
        self.log = self.data_dir.parent / f"{self.data_dir.name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *self.arguments], stdout=log, stderr=log, env=environment)
        until(lambda: port_file.exists() or self.process.poll() is not None, 120)
        assert port_file.exists(), self.output()
        self.address = port_file.read_text().strip()
        return self

    def output(self) -> str:
        return self.log.read_text()

    def workers(self) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it has just ended and waits to be replaced
                if "ex4d_backend.worker" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """Its worker stands still in the block: what it runs cannot end meanwhile, however slow the test is."""
        workers = self.workers()
        assert workers, "there is no worker to hold"
        for worker in workers:
            worker.suspend()
        try:
            yield
        finally:
            for worker in workers:
                with suppress(psutil.NoSuchProcess):  # it was killed meanwhile
                    worker.resume()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def stop(self) -> int:
        if self.process is None or self.process.returncode is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def until(condition: Callable[[], object], timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def ended(process: psutil.Process) -> bool:
    """Whether it has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def found(folder: Path, pattern: str) -> list[Path]:
    """What matches below ``folder`` while others remove files and folders there, over which glob() stumbles."""
    while True:
        with suppress(FileNotFoundError):
            return list(folder.glob(pattern))


@pytest.fixture
def make_backend(tmp_path) -> Iterator[Callable[..., Backend]]:
    made: list[Backend] = []

    def make(name: str = "data", **kwargs) -> Backend:
        made.append(Backend(tmp_path / name, **kwargs))
        return made[-1]

    yield make
    for backend in made:
        if backend.process is not None and backend.process.poll() is None:
            backend.kill()  # its end is not what these tests are about, and draining would take its time


@pytest.fixture(scope="module")
def make_module_backend(tmp_path_factory) -> Iterator[Callable[..., Backend]]:
    """Servers with settings of their own that the tests of one module share."""
    made: list[Backend] = []

    def make(**kwargs) -> Backend:
        made.append(Backend(tmp_path_factory.mktemp("backend") / "data", **kwargs).start())
        return made[-1]

    yield make
    for backend in made:
        backend.kill()


@pytest.fixture(scope="package")
def backend(tmp_path_factory) -> Iterator[Backend]:
    """One server for all tests that do not hurt it."""
    server = Backend(tmp_path_factory.mktemp("backend") / "data").start()
    yield server
    assert server.stop() == 0, server.output()


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def connect(backend: Backend | str, **kwargs) -> Client:
        address = backend if isinstance(backend, str) else backend.address
        client = Client(address, client_name="test", **kwargs)
        client.ask = partial(client.ask, timeout_s=120.0)
        made.append(client)
        client.connect()
        client.wait_connected(120)
        return client

    yield connect
    for client in made:
        client.close()


@pytest.fixture
def client(backend, connect) -> Client:
    return connect(backend)


@pytest.fixture
def make_peer() -> Iterator[Callable[..., Peer]]:
    """Peers without manners, all gone with the test."""
    context = zmq.Context()
    made: list[Peer] = []

    def make(backend: Backend, **kwargs) -> Peer:
        made.append(Peer(context, backend.address, **kwargs))
        return made[-1]

    yield make
    for peer in made:
        peer.close()
    context.term()


@pytest.fixture
def unused_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="package")
def clip_files(tmp_path_factory) -> tuple[Path, Path]:
    """A lossless video of a box before a wall, and its depth."""
    folder = tmp_path_factory.mktemp("clip")
    rng = np.random.default_rng(5)
    frames = np.repeat(rng.integers(0, 255, (1, HEIGHT, WIDTH, 3), np.uint8), FRAMES, axis=0)
    depth = np.full((FRAMES, HEIGHT, WIDTH), 4.0, np.float32)
    for t in range(FRAMES):
        frames[t, 12:28, 10 + t : 24 + t] = (200, 30, 40)
        depth[t, 12:28, 10 + t : 24 + t] = 2.0
    write_video(folder / "clip.mkv", frames, fps=12, lossless=True)
    np.savez(folder / "depth.npz", depth=depth)
    return folder / "clip.mkv", folder / "depth.npz"


def poses(n: int, *, step: float = 0.01, scale: int = 1) -> TrajectorySpec:
    """A move to the side, of pictures so many times as large as the clip's."""
    width, height = WIDTH * scale, HEIGHT * scale
    world_from_camera = np.repeat(np.eye(4)[None], n, axis=0)
    world_from_camera[:, 0, 3] = step * np.arange(n)
    k = np.repeat([[50.0 * scale, 50.0 * scale, width / 2, height / 2]], n, axis=0)
    return TrajectorySpec.pack(Trajectory(world_from_camera, k, np.zeros(n), width, height))


@pytest.fixture(scope="package")
def local_mesh(clip_files) -> DWMesh:
    """The clip's mesh as the library builds it."""
    return DWMesh(load_clip(*clip_files, focal_px=50.0))


@pytest.fixture
def send_clip(clip_files) -> Callable[[Client], ClipSpec]:
    """Upload the clip and return its spec."""

    def send(client: Client) -> ClipSpec:
        video, depth = (client.wait_uploaded(client.upload(path), 120).ref for path in clip_files)
        return ClipSpec(
            video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(depth,)), focal_px=50.0
        )

    return send


def long_job(clip: ClipSpec, frames: int = 9000) -> RenderGuides:
    """A real job of a millisecond or two a frame; that of 9,000 ends in no test that does not wait for it."""
    return RenderGuides(clip=clip, trajectory=poses(frames, step=1e-5, scale=8))
