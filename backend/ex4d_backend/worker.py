"""A worker process: runs one job at a time on one device.

The main thread computes; a second thread talks to the server, so that a cancel is heard and heartbeats go out while
a job runs. If the server falls silent or the parent process changes, the worker leaves at once.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import zmq

from ex4d.errors import Cancelled, Ex4dError
from ex4d.files import output_error
from ex4d.progress import CancelToken, Progress
from ex4d_backend import internal

BEAT_S = 1.0
SERVER_SILENT_S = 20.0
PROGRESS_EVERY_S = 0.1
LOOK_AGAIN_S = 5.0
"""How often an idle worker looks whether what was missing has been installed."""
TOKEN_VARIABLE = "EX4D_WORKER_TOKEN"


class Link(threading.Thread):
    """The thread that owns the socket to the server."""

    def __init__(self, address: str) -> None:
        super().__init__(name="server-link", daemon=True)
        self.jobs: queue.SimpleQueue[internal.RunJob | None] = queue.SimpleQueue()
        self.current: tuple[str, CancelToken] | None = None
        """The running job; set by the main thread, read here."""
        self._stopped_early: set[str] = set()
        self._parent = os.getppid()
        self._context: zmq.Context[Any] = zmq.Context()
        self._server = self._context.socket(zmq.DEALER)
        self._server.setsockopt(zmq.LINGER, 1000)
        self._server.connect(address)
        self._outgoing = self._context.socket(zmq.PULL)
        self._outgoing.setsockopt(zmq.RCVHWM, 0)
        self._outgoing.bind("inproc://outgoing")
        self._from_main = self._context.socket(zmq.PUSH)
        self._from_main.setsockopt(zmq.SNDHWM, 0)
        self._from_main.connect("inproc://outgoing")

    def send(self, message: internal.FromWorker) -> None:
        """From the main thread: queue a message for the server."""
        self._from_main.send(internal.encode(message))

    def begin(self, job: internal.RunJob) -> CancelToken:
        """From the main thread: a job starts; its token hears cancels from now on."""
        token = CancelToken()
        self.current = (job.job_id, token)
        if job.job_id in self._stopped_early:
            token.cancel()
        return token

    def run(self) -> None:
        """Pass messages on until the server or the parent is gone."""
        poller = zmq.Poller()
        poller.register(self._server, zmq.POLLIN)
        poller.register(self._outgoing, zmq.POLLIN)
        heard = beat = time.monotonic()
        while True:
            ready = dict(poller.poll(int(BEAT_S * 1000)))
            now = time.monotonic()
            if self._outgoing in ready:
                self._server.send(self._outgoing.recv())
            if self._server in ready:
                heard = now
                self._obey(internal.decode_from_server(self._server.recv()))
            if now - beat >= BEAT_S:
                beat = now
                self._server.send(internal.encode(internal.Beat()))
            if now - heard > SERVER_SILENT_S or os.getppid() != self._parent:
                os._exit(3)  # orphaned: the job was given up with the server, and the device must be freed

    def _obey(self, message: internal.FromServer) -> None:
        match message:
            case internal.RunJob():
                self.jobs.put(message)
            case internal.StopJob(job_id):
                current = self.current
                if current is not None and current[0] == job_id:
                    current[1].cancel()
                else:
                    self._stopped_early.add(job_id)  # it is in the queue between the threads
            case internal.Quit():
                self.jobs.put(None)
                if self.current is not None:
                    self.current[1].cancel()
            case internal.Beat():
                pass


class ProgressSender:
    """Passes progress on to the server, each stage's ends always, else ten times a second; logs stages."""

    def __init__(self, link: Link, job_id: str, log: Any) -> None:
        self._link, self._job_id, self._log = link, job_id, log
        self._stage, self._sent = "", 0.0

    def __call__(self, progress: Progress) -> None:
        """Take one step."""
        now, new_stage = time.monotonic(), progress.stage != self._stage
        if new_stage:
            self._stage = progress.stage
            self._log(f"stage: {progress.stage}")
        if new_stage or progress.done == progress.total or now - self._sent > PROGRESS_EVERY_S:
            self._sent = now
            self._link.send(
                internal.JobProgress(
                    self._job_id, progress.stage[:128], max(0, int(progress.done)), max(0, int(progress.total)),
                    progress.message[:1000],
                )
            )  # fmt: skip


def run_job(runner: Any, link: Link, order: internal.RunJob) -> internal.JobEnded:
    """Run one job; whatever happens becomes its outcome."""
    from ex4d_backend.context import JobContext
    from ex4d_backend.jobs import decode_request
    from ex4d_backend.recording import JobLog, Recorder

    token = link.begin(order)
    folder = Path(order.folder)
    items, scratch = folder / f"items-{order.attempt}", folder / f"scratch-{order.attempt}"
    log: JobLog | None = None
    try:
        for each in (items, scratch):
            each.mkdir(parents=True, exist_ok=True)
        log = JobLog(folder / "log.txt")
        log.line(f"attempt {order.attempt} starts")
        context = JobContext(
            recorder=Recorder(items, order.job_id, link.send),
            scratch=scratch,
            blobs=Path(order.blobs),
            clip_pixels=order.clip_pixels,
            on_progress=ProgressSender(link, order.job_id, log.line),
            cancel=token,
            log=log.line,
        )
        runner.run(decode_request(order.request), context)
        outcome, message = "done", ""
    except Cancelled:
        outcome, message = "cancelled", "Cancelled."
    except Ex4dError as error:
        outcome, message = "failed", str(error)
    except MemoryError:
        outcome, message = "failed", "The worker ran out of memory; use a shorter or smaller clip."
    except OSError as error:
        outcome, message = "failed", str(output_error(folder, error))
    except Exception as error:  # noqa: BLE001 - a fault of ours must fail the job, not the worker
        outcome, message = "failed", f"The job hit a fault in the program ({type(error).__name__}: {error})."
        if log is not None:
            log.line(traceback.format_exc())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if log is not None:
        log.line(f"{outcome} {message}".rstrip())
        log.close()
    return internal.JobEnded(order.job_id, outcome, message[:4000])


def die_with_parent() -> None:
    """On Linux, have the kernel end this process when the server ends, even by a kill."""
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``python -m ex4d_backend.worker``; started by the server only."""
    parser = argparse.ArgumentParser(prog="ex4d_backend.worker")
    parser.add_argument("--server", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args(argv)
    die_with_parent()
    link = Link(args.server)
    link.start()

    from ex4d_backend import devices
    from ex4d_backend.jobs import Runner

    runner = Runner(threads=args.threads or None)
    ready = devices.ready_message(os.environ.pop(TOKEN_VARIABLE, ""), args.device)
    link.send(ready)
    abilities = ready.abilities
    while True:
        try:
            order = link.jobs.get(timeout=LOOK_AGAIN_S)
        except queue.Empty:
            now = devices.abilities()
            if now != abilities:  # weights were fetched or removed
                link.send(now)
                abilities = now
            continue
        if order is None:
            break
        link.send(run_job(runner, link, order))
        link.current = None
    time.sleep(0.05)  # let the link's thread pass the last message on
    os._exit(0)


if __name__ == "__main__":
    main()
