"""A worker process: runs one job at a time on one device.

The main thread computes; a second thread talks to the server, so that a cancel is heard and heartbeats go out while
a job runs.
"""

import os
import queue
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import zmq

from ex4d.allocation import give_back_kept, keep_blocks_of_frames
from ex4d.compiled.notice import announced
from ex4d.engines.members import joined
from ex4d.progress import CancelToken, Progress
from ex4d_backend import child_messages
from ex4d_backend.child import BEAT_S, ServerConnection, child_arguments, connect_to_server
from ex4d_backend.child_messages import (
    Abilities,
    FromChild,
    JobEnded,
    JobProgress,
    LookAgain,
    Quit,
    RunJob,
    StopJob,
    ToChild,
)
from ex4d_backend.data_folder import file_at
from ex4d_ground.errors import Cancelled, Ex4dError
from ex4d_ground.files import output_error

PROGRESS_EVERY_S = 0.1
LOOK_AGAIN_S = 5.0
"""How often an idle worker looks whether what was missing has been installed."""
LET_GO_S = 900.0
"""An idle worker keeps its last clip, which may be gigabytes on disk, for so long."""


class ServerThread(threading.Thread):
    """The thread that owns the connection to the server."""

    def __init__(self, server: ServerConnection) -> None:
        super().__init__(name="server", daemon=True)
        self.jobs: queue.SimpleQueue[RunJob | LookAgain | None] = queue.SimpleQueue()
        self.current: tuple[str, CancelToken] | None = None
        """The running job; set by the main thread, read here."""
        self._stopped_early: set[str] = set()
        self._server = server
        self._outgoing = server.context.socket(zmq.PULL)
        self._outgoing.setsockopt(zmq.RCVHWM, 0)
        self._outgoing.bind("inproc://outgoing")
        self._sending = threading.Lock()  # a socket may be used by one thread at a time
        self._from_main = server.context.socket(zmq.PUSH)
        self._from_main.setsockopt(zmq.SNDHWM, 0)
        self._from_main.connect("inproc://outgoing")

    def send(self, message: FromChild) -> None:
        """From any thread that computes: queue a message for the server."""
        with self._sending:
            self._from_main.send(child_messages.encode(message))

    def begin(self, job: RunJob) -> CancelToken:
        """From the main thread: a job starts; its token hears cancels from now on."""
        token = CancelToken()
        self.current = (job.job_id, token)
        if job.job_id in self._stopped_early:
            token.cancel()
        return token

    def run(self) -> None:
        """Pass messages on until the server is gone."""
        poller = zmq.Poller()
        poller.register(self._server.socket, zmq.POLLIN)
        poller.register(self._outgoing, zmq.POLLIN)
        while True:
            if self._outgoing in dict(poller.poll(int(BEAT_S * 1000))):
                self._server.socket.send(self._outgoing.recv())
            for message in self._server.hear():
                self._obey(message)

    def _obey(self, message: ToChild) -> None:
        match message:
            case RunJob() | LookAgain():
                self.jobs.put(message)
            case StopJob(job_id):
                current = self.current
                if current is not None and current[0] == job_id:
                    current[1].cancel()
                else:
                    self._stopped_early.add(job_id)  # it is in the queue between the threads
            case Quit():
                self.jobs.put(None)
                if self.current is not None:
                    self.current[1].cancel()


class ToServer(Protocol):
    """Where a job's messages go, and what tells it to stop."""

    def send(self, message: FromChild) -> None:
        """From any thread that computes: pass a message on."""
        ...

    def begin(self, job: RunJob) -> CancelToken:
        """A job starts; its token hears cancels from now on."""
        ...


class ProgressSender:
    """Passes progress on to the server, each stage's ends always, else ten times a second; logs stages."""

    def __init__(self, server: ToServer, job_id: str, log: Callable[[str], None]) -> None:
        self._server, self._job_id, self._log = server, job_id, log
        self._stage, self._sent = "", 0.0

    def __call__(self, progress: Progress) -> None:
        """Take one step."""
        now, new_stage = time.monotonic(), progress.stage != self._stage
        if new_stage:
            self._stage = progress.stage
            self._log(f"stage: {progress.stage}")
        if new_stage or progress.done == progress.total or now - self._sent > PROGRESS_EVERY_S:
            self._sent = now
            done, total = max(0, int(progress.done)), max(0, int(progress.total))
            text = progress.message[:1000]
            self._server.send(JobProgress(self._job_id, progress.stage[:128], done, total, text))


def run_job(runner: Any, server: ToServer, order: RunJob) -> JobEnded:
    """Run one job; whatever happens becomes its outcome."""
    from ex4d_backend.job_rows import decode_request
    from ex4d_backend.recording import JobContext, JobLog, Recorder

    token = server.begin(order)
    folder = Path(order.folder)
    items, scratch = folder / f"items-{order.attempt}", folder / f"scratch-{order.attempt}"
    log: JobLog | None = None
    failure: Ex4dError | None = None
    try:
        for each in (items, scratch):
            each.mkdir(parents=True, exist_ok=True)
        log = JobLog(file_at(folder / "log.txt"))
        log.line(f"attempt {order.attempt} starts")
        progress = ProgressSender(server, order.job_id, log.line)
        context = JobContext(
            recorder=Recorder(items, order.job_id, server.send, attempt=order.attempt),
            scratch=scratch,
            blobs=Path(order.blobs),
            clip_pixels=order.clip_pixels,
            watch={"on_progress": progress, "cancel": token},
            log=log.line,
        )
        with announced(progress):
            runner.run(decode_request(order.request), context)
    except Ex4dError as error:
        failure = error
    except MemoryError:
        failure = Ex4dError("The worker ran out of memory; use a shorter or smaller clip.")
    except OSError as error:
        failure = output_error(folder, error)
    except Exception as error:  # noqa: BLE001 - a fault of ours must fail the job, not the worker
        failure = Ex4dError(f"The job hit a fault in the program ({type(error).__name__}: {error}).")
        if log is not None:
            log.line(traceback.format_exc())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    ended = _ended(order.job_id, failure)
    if log is not None:
        log.line(f"{ended.outcome} {ended.message}".rstrip())
        log.close()
    return ended


def _look_again(server: ServerThread, before: Abilities) -> Abilities:
    """What this worker can run now; the server is told if weights were fetched or removed meanwhile."""
    from ex4d_backend import devices

    now = devices.abilities()
    if now != before:
        server.send(now)
    return now


def _ended(job_id: str, failure: Ex4dError | None) -> JobEnded:
    """What the server is told; no failure means it is done."""
    if failure is None:
        return JobEnded(job_id, "done", "")
    if isinstance(failure, Cancelled):
        return JobEnded(job_id, "cancelled", "Cancelled.")
    return JobEnded(job_id, "failed", str(failure)[:4000], failure.failure)


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``python -m ex4d_backend.worker``; started by the server only."""
    parser = child_arguments("ex4d_backend.worker")
    parser.add_argument("--device", required=True)
    args = parser.parse_args(argv)
    keep_blocks_of_frames()
    connection = connect_to_server(args)
    server = ServerThread(connection)
    server.start()

    from ex4d_backend import devices
    from ex4d_backend.jobs import Runner

    runner = Runner(threads=args.threads or None, rasterizer=args.rasterizer)
    ready = devices.ready_message(connection.token, args.device)
    server.send(ready)
    abilities, worked_at = ready.abilities, time.monotonic()
    while True:
        try:
            order = server.jobs.get(timeout=LOOK_AGAIN_S)
        except queue.Empty:
            order = LookAgain()
            if time.monotonic() - worked_at > LET_GO_S:
                runner.let_go()
        if order is None:
            break
        if isinstance(order, LookAgain):
            abilities = _look_again(server, abilities)
            continue
        server.send(run_job(runner, server, order))
        group = joined()
        if group is not None and group.broken:
            time.sleep(0.05)
            os._exit(1)  # the launcher ends the others, and the server starts all of them again
        give_back_kept()
        server.current, worked_at = None, time.monotonic()
    time.sleep(0.05)  # let the server's thread pass the last message on
    os._exit(0)


if __name__ == "__main__":
    main()
