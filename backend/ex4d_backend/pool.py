"""The server's view of its workers: start, watch, feed, stop and replace them. Belongs to the I/O loop."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import zmq

from ex4d_backend import internal
from ex4d_backend.process import end_marked
from ex4d_backend.settings import ServerSettings
from ex4d_backend.worker import TOKEN_VARIABLE
from ex4d_protocol import messages as m

log = logging.getLogger("ex4d_backend.pool")

BEAT_S = 2.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 30.0

MARK_VARIABLE = "EX4D_WORKER_MARK"

WorkerState = Literal["starting", "idle", "busy", "restarting"]


@dataclass
class Worker:
    """One device and the process that serves it now."""

    device: str
    state: WorkerState = "restarting"
    process: subprocess.Popen[bytes] | None = None
    token: str = ""
    mark: str = ""
    """In the environment of its process and of every program that starts, so that none is left behind."""
    identity: bytes = b""
    details: internal.Ready | None = None
    job_id: str = ""
    started: float = 0.0
    heard: float = 0.0
    moved: float = 0.0
    """When its job was given to it or last made progress; heartbeats do not count."""
    start_at: float = 0.0
    backoff: float = FIRST_BACKOFF_S
    kill_at: float | None = None
    """When the running job's cancel turns into a kill."""
    kill_reason: str = ""
    last_failure: str = ""
    """Why its last process ended, until the next one is ready."""

    def spec(self) -> m.DeviceSpec:
        """For the wire."""
        d = self.details
        if d is None:
            return m.DeviceSpec(name=self.device, worker=self.state)
        kind = "cuda" if d.device_kind == "cuda" else "cpu"
        return m.DeviceSpec(name=d.device_name, kind=kind, memory_bytes=d.memory_bytes, worker=self.state)


@dataclass
class PoolEvents:
    """What the pool tells the server; called from the loop."""

    message: Callable[[internal.FromJob], None]
    crashed: Callable[[str, str], None]
    """(job_id, reason): the worker died or was killed while it ran this job."""
    changed: Callable[[], None]


@dataclass
class Pool:
    """All workers. Call :meth:`poll` often; :meth:`handle` when ``socket`` is readable."""

    settings: ServerSettings
    context: zmq.Context[Any]
    devices: Sequence[str]
    events: PoolEvents
    workers: list[Worker] = field(default_factory=list)
    restarts: int = 0
    """Processes that ended without being asked to."""
    _beat_at: float = 0.0
    _stopping: bool = False

    def __post_init__(self) -> None:
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.AFFINITY, 1)  # not the I/O thread of bulk data
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self._address = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._log_folder = self.settings.folder / "logs"
        self._log_folder.mkdir(parents=True, exist_ok=True)
        self.workers = [Worker(device) for device in self.devices]

    # --- work ---------------------------------------------------------------------------------------------

    def idle(self) -> Iterator[Worker]:
        """Workers that could take a job now."""
        return (w for w in self.workers if w.state == "idle" and not self._stopping)

    @property
    def trouble(self) -> str:
        """Why no worker can take jobs, as a sentence; "" if one can, or is on its first start."""
        if any(w.state in ("idle", "busy") for w in self.workers):
            return ""
        failed = next((w for w in self.workers if w.last_failure), None)
        if failed is None:
            return ""
        return f"Waiting: the worker on {failed.device} {failed.last_failure}; see {self.log_path(failed).name}."

    def running(self) -> dict[str, Worker]:
        """Busy workers by job."""
        return {w.job_id: w for w in self.workers if w.job_id}

    def run(self, worker: Worker, order: internal.RunJob) -> None:
        """Give an idle worker a job."""
        worker.state, worker.job_id, worker.moved = "busy", order.job_id, time.monotonic()
        worker.kill_at, worker.kill_reason = None, ""
        self._send(worker, order)
        self.events.changed()

    def stop(self, job_id: str) -> bool:
        """Ask the worker of a job to cancel it; killed after the grace time. False if no worker has it."""
        worker = self.running().get(job_id)
        if worker is None:
            return False
        if worker.kill_at is None:
            worker.kill_at = time.monotonic() + self.settings.cancel_grace_s
            worker.kill_reason = "cancelled"
            self._send(worker, internal.StopJob(job_id))
        return True

    # --- messages -----------------------------------------------------------------------------------------

    def handle(self) -> None:
        """Read what workers sent, at most a handful."""
        for _ in range(64):
            try:
                identity, body = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except ValueError:
                continue  # not two frames: no worker of ours
            try:
                message = internal.decode_from_worker(body)
            except msgspec.DecodeError:
                log.warning("unreadable message on the worker socket dropped")
                continue
            if isinstance(message, internal.Ready):
                self._take_ready(identity, message)
                continue
            worker = next((w for w in self.workers if w.identity == identity and identity), None)
            if worker is not None:
                self._take(worker, message)

    def _take_ready(self, identity: bytes, ready: internal.Ready) -> None:
        for worker in self.workers:
            if worker.state == "starting" and secrets.compare_digest(worker.token, ready.token):
                worker.identity, worker.details, worker.state = identity, ready, "idle"
                worker.heard, worker.last_failure = time.monotonic(), ""
                log.info("worker %s is ready after %.1f s", worker.device, worker.heard - worker.started)
                self.events.changed()
                return
        log.warning("a process without a valid token tried to be a worker")

    def _take(self, worker: Worker, message: internal.FromWorker) -> None:
        worker.heard = time.monotonic()
        if isinstance(message, internal.Abilities) and worker.details is not None:
            worker.details = msgspec.structs.replace(worker.details, abilities=message)
            self.events.changed()
        elif isinstance(message, internal.FromJob):
            if message.job_id != worker.job_id:
                return
            worker.moved = worker.heard
            if isinstance(message, internal.JobEnded):
                worker.state, worker.job_id, worker.kill_at = "idle", "", None
                worker.backoff = FIRST_BACKOFF_S
            self.events.message(message)
            if isinstance(message, internal.JobEnded):
                self.events.changed()

    def _send(self, worker: Worker, message: internal.FromServer) -> None:
        if worker.identity:
            self.socket.send_multipart([worker.identity, internal.encode(message)])

    # --- processes ----------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Start what should run, notice what died, kill what hangs, send heartbeats."""
        now = time.monotonic()
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            for worker in self.workers:
                self._send(worker, internal.Beat())
        for worker in self.workers:
            if worker.process is None:
                if not self._stopping and now >= worker.start_at:
                    self._start(worker)
            elif (code := worker.process.poll()) is not None:
                self._died(worker, describe_exit(code))
            elif worker.kill_at is not None and now > worker.kill_at:
                self._kill(worker)
            elif worker.state == "starting" and now - worker.started > self.settings.worker_ready_s:
                worker.kill_reason = f"did not become ready within {self.settings.worker_ready_s:g} seconds"
                self._kill(worker)
            elif worker.state != "starting" and now - worker.heard > self.settings.worker_silent_s:
                worker.kill_reason = f"was silent for {self.settings.worker_silent_s:g} seconds"
                self._kill(worker)
            elif worker.job_id and now - worker.moved > self.settings.job_stall_s:
                # Its heartbeats come from a thread of their own and would go on while the job itself hangs.
                worker.kill_reason = f"made no progress for {self.settings.job_stall_s:g} seconds"
                self._kill(worker)

    def _start(self, worker: Worker) -> None:
        worker.token, worker.identity, worker.details = secrets.token_urlsafe(32), b"", None
        worker.mark = f"{MARK_VARIABLE}={secrets.token_hex(16)}"
        environment = dict(os.environ, **{TOKEN_VARIABLE: worker.token, MARK_VARIABLE: worker.mark.partition("=")[2]})
        kind, _, index = worker.device.partition(":")
        environment["CUDA_VISIBLE_DEVICES"] = index if kind == "cuda" else ""
        if self.settings.threads:
            for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
                environment[variable] = str(self.settings.threads)
        command = [sys.executable, "-m", "ex4d_backend.worker", "--server", self._address, "--device", worker.device]
        command += ["--threads", str(self.settings.threads)]
        try:
            with self.log_path(worker).open("ab") as output:
                worker.process = subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
        except OSError as error:  # a full or read-only disk, no memory, no process left
            self._died(worker, f"could not be started ({error.strerror or error})")
            return
        worker.started = worker.heard = time.monotonic()
        worker.state, worker.job_id, worker.kill_at, worker.kill_reason = "starting", "", None, ""
        log.info("worker %s started as process %d", worker.device, worker.process.pid)
        self.events.changed()

    def log_path(self, worker: Worker) -> Path:
        """Where a worker's own output goes."""
        return self._log_folder / f"worker-{worker.device.replace(':', '-')}.log"

    def _kill(self, worker: Worker) -> None:
        if worker.process is not None:
            log.warning("killing worker %s: %s", worker.device, worker.kill_reason)
            worker.process.kill()
            worker.process.wait(timeout=10)
            self._died(worker, worker.kill_reason)

    def _died(self, worker: Worker, reason: str) -> None:
        job_id = worker.job_id
        reason = worker.kill_reason or reason
        end_marked(worker.mark)
        worker.process, worker.identity, worker.job_id, worker.kill_at = None, b"", "", None
        worker.state, worker.last_failure = "restarting", reason
        worker.start_at = time.monotonic() + (0.0 if reason == "cancelled" else worker.backoff)
        worker.backoff = min(LONGEST_BACKOFF_S, worker.backoff * 2)
        if not self._stopping:
            self.restarts += 1
            log.warning("worker %s %s", worker.device, reason)
        if job_id:
            self.events.crashed(job_id, reason)
        self.events.changed()

    def shut_down(self) -> None:
        """Ask all workers to leave, then see to it."""
        self._stopping = True
        for worker in self.workers:
            self._send(worker, internal.Quit())
        end = time.monotonic() + 2.0
        for worker in self.workers:
            if worker.process is not None:
                try:
                    worker.process.wait(timeout=max(0.0, end - time.monotonic()) if worker.identity else 0.0)
                except subprocess.TimeoutExpired:
                    worker.process.kill()
                    worker.process.wait(timeout=10)
        self.socket.close(0)


def describe_exit(code: int) -> str:
    """What a process's exit code means, as a clause after "the worker"."""
    if code == -signal.SIGSEGV:
        return "crashed (segmentation fault)"
    if os.name == "posix" and code == -signal.SIGKILL:
        return "was killed from outside (often because the system ran out of memory)"
    if code < 0:
        return f"was ended by signal {-code}"
    return f"left with exit code {code}"
