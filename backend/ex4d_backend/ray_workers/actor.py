"""What runs on a machine of a Ray cluster: one warm worker, which is given orders and the bytes they need.

A machine may share no disk with the server: uploads come here in parts and are known by their SHA-256 from then on;
results go back as they are made.
"""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ex4d.device_names import Devices
from ex4d.engines.members import joined
from ex4d.places import VARIABLE as PLACES
from ex4d.progress import CancelToken
from ex4d_backend import child_messages
from ex4d_backend.blob_files import blob_path, digest_of, partial_name, write_at
from ex4d_backend.child_messages import BlobMade, FromChild, JobEnded, Ready, RunJob
from ex4d_backend.item_files import item_file
from ex4d_backend.process_ids import is_alive
from ex4d_ground.files import forget_unused
from ex4d_protocol.messages import Item

CACHE_BYTES = 64 << 30
"""Of uploads on one machine; beyond it those that were used longest ago go."""
END_S = 1.0
"""After which an actor ends whose GPUs' processes have lost each other."""
HOME = "ex4d-ray-job-"
"""How an actor's folder for what it works on is called; its process and a random part follow."""
Sent = tuple[bytes, bytes | None]
"""A message to the server, and the bytes of the file that it is about; of the last message those of the log."""


class Outlet:
    """In place of the connection to the server, for one job: messages wait here until the bridge takes them."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[FromChild] = queue.SimpleQueue()
        self.token = CancelToken()

    def send(self, message: FromChild) -> None:
        """From any thread that computes."""
        self.messages.put(message)

    def begin(self, job: RunJob) -> CancelToken:
        """The job starts; its token may have been set before."""
        return self.token


class ShotActor:
    """One warm worker. Methods are called from several threads: one runs a job, others stop it or wait."""

    def __init__(self, threads: int, rasterizer: str, device: str = ""):
        """``device`` is as Devices names it; several make each shot together. By default it is the GPU that is here."""
        from ex4d.allocation import keep_blocks_of_frames
        from ex4d_backend.jobs import Runner

        keep_blocks_of_frames()
        self._device = device or ("cuda:0" if os.environ.get("CUDA_VISIBLE_DEVICES") else "cpu")
        self._runner = Runner(threads=threads or None, rasterizer=rasterizer)
        self._outlets: dict[str, Outlet] = {}
        """Of jobs that run or are to be stopped: the next job may come while the last one's files are removed."""
        self._lock = threading.Lock()
        _remove_left(Path(tempfile.gettempdir()))
        self._home = Path(tempfile.mkdtemp(prefix=f"{HOME}{os.getpid()}-"))
        self._blobs = Path(tempfile.gettempdir()) / f"ex4d-ray-blobs-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        self._blobs.mkdir(mode=0o700, exist_ok=True)
        if hasattr(os, "getuid") and self._blobs.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._blobs} belongs to somebody else")
        os.environ.setdefault(PLACES, str(self._blobs / "places"))
        if len(Devices.named(self._device)) > 1:
            from ex4d.engines.followers import lead

            lead(Devices.named(self._device), self._home)

    def describe(self) -> bytes:
        """What it runs on and what it can do, as a worker's first message."""
        from ex4d_backend import devices

        return child_messages.encode(devices.ready_message("", self._device))

    def hold(self) -> None:
        """Never returns: whoever waits for it hears when the actor is gone."""
        threading.Event().wait()

    def missing(self, blobs: list[tuple[str, int]]) -> list[str]:
        """Which uploads are not here; the others are marked as used."""
        lost = []
        for digest, size in blobs:
            path = blob_path(self._blobs, digest)
            if path.is_file() and path.stat().st_size == size:
                os.utime(path)
            else:
                lost.append(digest)
        return lost

    def put(self, digest: str, size: int, offset: int, data: bytes) -> None:
        """One part of an upload, in order; the last one makes it known. Raises ValueError if it is not the digest's."""
        path = blob_path(self._blobs, digest)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        part = self._home / partial_name("0" * 16, digest, size)
        write_at(part, offset, memoryview(data))
        if offset + len(data) < size:
            return
        if digest_of(part) != digest:
            part.unlink()
            raise ValueError(f"an upload of {size} bytes did not arrive whole")
        part.replace(path)  # both are below the folder for temporary files
        forget_unused(self._blobs.glob("??/*"), most_bytes=CACHE_BYTES)

    def stop(self, job_id: str) -> None:
        """Cancel a job, also one that has not come yet."""
        self._outlet_of(job_id).token.cancel()

    def _outlet_of(self, job_id: str) -> Outlet:
        with self._lock:
            return self._outlets.setdefault(job_id, Outlet())

    def run(self, order: bytes, blobs: str | None) -> Iterator[Sent]:
        """Run one job and yield what a worker says, each result with its bytes.

        ``blobs`` is the server's own folder of uploads where this is its machine, else None.
        """
        from ex4d_backend.worker import run_job

        given = msgspec.msgpack.decode(order, type=RunJob)
        folder = Path(tempfile.mkdtemp(dir=self._home))
        own = msgspec.structs.replace(given, folder=str(folder), blobs=blobs or str(self._blobs))
        items, outlet = folder / f"items-{given.attempt}", self._outlet_of(given.job_id)
        runs = threading.Thread(target=lambda: outlet.send(run_job(self._runner, outlet, own)), name="job", daemon=True)
        runs.start()
        try:
            while True:
                message = outlet.messages.get()
                yield child_messages.encode(message), _bytes_of(message, items, folder)
                if isinstance(message, JobEnded):
                    return
        finally:
            outlet.token.cancel()  # the bridge may have lost interest
            runs.join()
            with self._lock:
                self._outlets.pop(given.job_id, None)
            shutil.rmtree(folder, ignore_errors=True)
            group = joined()
            if group is not None and group.broken:  # the server hears how the job ended, then starts another actor
                threading.Timer(END_S, os._exit, [1]).start()


def described(data: bytes) -> Ready:
    """What :meth:`ShotActor.describe` says."""
    message = child_messages.decode_from_child(data)
    assert isinstance(message, Ready)
    return message


def _bytes_of(message: FromChild, items: Path, folder: Path) -> bytes | None:
    if isinstance(message, JobEnded):
        log = folder / "log.txt"
        return log.read_bytes() if log.is_file() else b""
    if not isinstance(message, Item | BlobMade):
        return None
    path = items / (item_file(message.index) if isinstance(message, Item) else message.file)
    data = path.read_bytes()
    path.unlink()
    return data


def _remove_left(folder: Path) -> None:
    """Remove what actors have left that were killed, which could not see to that themselves."""
    for path in folder.glob(f"{HOME}*-*"):
        process = path.name.removeprefix(HOME).partition("-")[0]
        if process.isdigit() and not is_alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)
