"""Processes of the server's own: how each is started, known, watched, stopped and replaced. Belongs to the I/O loop.

A new kind of child is a subclass of :class:`ChildProcess`, messages of its own in :mod:`~ex4d_backend.child_messages`,
and a module whose ``main`` begins with :func:`ex4d_backend.child.connect_to_server`.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import zmq

from ex4d.device_names import Devices
from ex4d.frames.scratch import SPARE_VARIABLE, VARIABLE
from ex4d.places import VARIABLE as PLACES
from ex4d_backend import child_messages
from ex4d_backend.child_messages import TOKEN_VARIABLE, Beat, FromChild, Quit, Ready, ToChild
from ex4d_backend.data_folder import file_at, folder_at
from ex4d_backend.private_socket import PrivateSocket
from ex4d_backend.process_ids import describe_exit
from ex4d_backend.settings import ServerSettings

log = logging.getLogger("ex4d_backend.supervisor")

BEAT_S = 2.0
STALL_S = 1.0
"""A server that has not come here for so long was held up itself."""
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 30.0
LEAVE_S = 2.0
"""What a child is given to leave by itself."""
MESSAGES_PER_ROUND = 32
LAST_BYTES, LAST_CHARACTERS = 4096, 300
"""Of what a process wrote before it ended: so much is looked at, and so much told."""
LOG_BYTES, MEASURE_LOGS_S = 8 << 20, 5.0
"""Of what a child prints; how often that is looked at."""
MARK_VARIABLE = "EX4D_CHILD_MARK"
SCRATCH_VARIABLES = ("TMPDIR", "TEMP", "TMP", VARIABLE)
"""What tells a process where to put temporary files: below the data folder, private and removed with the process."""


def visible_devices(device: str) -> dict[str, str]:
    """What lets a child see ``device`` ("cpu", "cuda:1", "cuda:0+1") and no other."""
    return {"CUDA_VISIBLE_DEVICES": Devices.named(device).visible}


class ChildProcess:
    """One process of a kind, and the next one when it has ended. A subclass says what it runs and what it is for."""

    on_demand = False
    """Whether only :meth:`start` starts it, not :meth:`poll`."""

    def __init__(
        self,
        supervisor: Supervisor,
        name: str,
        module: str,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str],
        silent_s: float,
    ) -> None:
        """``name`` is for the log and of the file of its own output; it is killed when silent for ``silent_s``.

        Python runs ``module`` with ``arguments`` and ``environment`` beside what every child has.
        """
        self.name = name
        self.log_path = supervisor.log_folder / f"{name.replace(' ', '-').replace(':', '-')}.log"
        self.last_failure = ""
        """Why its last process ended, until the next one is ready."""
        self.failed_starts = 0
        """Processes in a row that ended before they were ready."""
        self.last_words = ""
        """The last line that such a process wrote; "" if none."""
        self.start_at = 0.0
        """Not started before (monotonic seconds)."""
        self.token = ""
        self.identity = b""
        """Of the process's socket, from when it is ready."""
        self._supervisor, self._silent_s = supervisor, silent_s
        self._command = [sys.executable, "-m", module, *supervisor.arguments, *arguments]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
        """Where its process keeps temporary files."""
        self._mark = ""
        """In the environment of its process and of every program that starts, so that none is left behind."""
        self._started = self._heard = 0.0
        self._log_begins = 0
        self._backoff = FIRST_BACKOFF_S
        supervisor.children.append(self)

    # --- what a kind of child says ------------------------------------------------------------------------

    def overdue(self, now: float) -> str:
        """Why a process that answers must be killed all the same, as a clause after its name; "" if it must not."""
        return ""

    def ending(self, code: int) -> str:
        """How its process ended, as a clause after its name."""
        return describe_exit(code)

    def on_ready(self, ready: Ready) -> None:
        """Called when it has imported and compiled everything and takes messages."""

    def on_message(self, message: FromChild, blobs: list[zmq.Frame]) -> None:
        """Called with all it says from then on, heartbeats too."""

    def on_end(self, reason: str) -> None:
        """Called when it ended without being asked to, or could not be started; ``reason`` follows its name."""

    # --- one process --------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether there is a process, ready or not."""
        return self._process is not None

    @property
    def ready(self) -> bool:
        """Whether its process takes messages."""
        return bool(self.identity)

    def send(self, message: ToChild) -> None:
        """Tell its process something, if it is ready."""
        if self.identity:
            self._supervisor.socket.send_multipart([self.identity, child_messages.encode(message)])

    def works(self) -> None:
        """Its process did what it is for: should it end, the next one starts soon."""
        self._backoff = FIRST_BACKOFF_S

    def start(self) -> None:
        """Start its process now."""
        self.token, self.identity, mark = secrets.token_urlsafe(32), b"", secrets.token_hex(16)
        self._mark = f"{MARK_VARIABLE}={mark}"
        self._drop_scratch()
        self._scratch = self._supervisor.new_scratch()
        places = {name: str(self._scratch) for name in SCRATCH_VARIABLES}
        places[SPARE_VARIABLE] = str(self._supervisor.settings.keep_free_bytes)
        own = {
            **self._environment,
            **places,
            **self._supervisor.environment,
            TOKEN_VARIABLE: self.token,
            MARK_VARIABLE: mark,
        }
        try:
            folder_at(self.log_path.parent)
            with file_at(self.log_path).open("ab") as output:
                self._log_begins = output.tell()
                self._process = subprocess.Popen(
                    self._command, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
        except OSError as error:  # a full or read-only disk, no memory, no process left
            self._end(f"could not be started ({error.strerror or error})")
            return
        self._started = self._heard = time.monotonic()
        log.info("%s started as process %d", self.name, self._process.pid)

    def forgive(self, seconds: float) -> None:
        """The server itself stood still for so long: that does not count as its process's silence."""
        self._started, self._heard = self._started + seconds, self._heard + seconds

    def take(self, identity: bytes, message: FromChild, blobs: list[zmq.Frame]) -> None:
        """A message with its token or from its socket."""
        self._heard = time.monotonic()
        if isinstance(message, Ready):
            self.identity, self.last_failure, self.failed_starts = identity, "", 0
            log.info("%s is ready after %.1f s", self.name, self._heard - self._started)
            self.on_ready(message)
        else:
            self.on_message(message, blobs)

    def poll(self, now: float) -> None:
        """Start it if it should run; notice that it died; kill it if it hangs."""
        if self._process is None:
            if not self.on_demand and now >= self.start_at:
                self.start()
        elif (code := self._process.poll()) is not None:
            self._end(self.ending(code))
        elif reason := self._hangs(now) or self.overdue(now):
            log.warning("killing %s: it %s", self.name, reason)
            self._process.kill()
            self._process.wait(timeout=10)
            self._end(reason)

    def _hangs(self, now: float) -> str:
        quiet_s, ready_s = now - self._heard, self._supervisor.settings.worker_ready_s
        if self.ready:
            return f"was silent for {self._silent_s:g} seconds" if quiet_s > self._silent_s else ""
        return f"did not become ready within {ready_s:g} seconds" if quiet_s > ready_s else ""

    def _end(self, reason: str) -> None:
        log.warning("%s %s", self.name, reason)
        end_marked(self._mark)
        self._drop_scratch()
        if not self.ready:
            self.failed_starts, self.last_words = self.failed_starts + 1, self.last_line()
        self._process, self.identity, self.last_failure = None, b"", reason
        self.start_at = time.monotonic() + self._backoff
        self._backoff = min(LONGEST_BACKOFF_S, self._backoff * 2)
        self.on_end(reason)

    def last_line(self) -> str:
        """The last line with something in it that its process has written; "" if none."""
        return _last_line(self.log_path, self._log_begins)

    def _drop_scratch(self) -> None:
        """What its process has left of temporary files goes; a process that was killed could not see to that."""
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            self._supervisor.remove(scratch)

    def leave(self, until: float | None = None) -> None:
        """Ask its process to leave, and see to it: it is killed if it has not by then."""
        self.send(Quit())
        process, self._process = self._process, None
        if process is not None:
            end = time.monotonic() + LEAVE_S if until is None else until
            try:
                process.wait(timeout=max(0.0, end - time.monotonic()) if self.ready else 0.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
                end_marked(self._mark)
        self._drop_scratch()
        self.identity = b""


class Supervisor:
    """All children, and the socket they speak on: :meth:`poll` often, :meth:`handle` when ``socket`` is readable."""

    def __init__(self, settings: ServerSettings, context: zmq.Context[Any]) -> None:
        self.settings = settings
        self.children: list[ChildProcess] = []
        self.log_folder: Path = folder_at(settings.folder / "logs")
        """Of what the children print."""
        self._cleaner = ThreadPoolExecutor(1, "scratch-cleaner")
        self._scratch = folder_at(settings.folder / "scratch")
        for left in self._scratch.iterdir():  # by processes of a server that was killed
            self.remove(left)
        self._private = PrivateSocket(context)
        self.socket = self._private.socket
        self.environment = {**self._private.environment, PLACES: str(settings.places)}
        """Every child's, beside its own."""
        self.arguments = (
            "--server",
            self._private.address,
            "--parent",
            str(os.getpid()),
            "--threads",
            str(settings.threads),
            "--rasterizer",
            settings.rasterizer,
        )
        """Every child's."""
        self._beat_at = self._measured_at = 0.0
        self._polled_at, self._worked_s = time.monotonic(), time.thread_time()

    def new_scratch(self) -> Path:
        """A new folder for one process's temporary files."""
        folder = self._scratch / secrets.token_hex(8)
        with suppress(OSError):  # a full or read-only disk: the process will say so
            folder.mkdir(mode=0o700, parents=True)
        return folder

    def remove(self, folder: Path) -> None:
        """Delete a folder of temporary files, on a thread of its own."""
        self._cleaner.submit(shutil.rmtree, folder, ignore_errors=True)

    def handle(self) -> None:
        """Read what children sent, at most a handful."""
        for _ in range(MESSAGES_PER_ROUND):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            try:
                self._take(frames)
            except Exception:  # whatever it was, one message must never end the server
                log.exception("a message on the children's socket could not be handled")

    def _take(self, frames: list[zmq.Frame]) -> None:
        if len(frames) < 2:
            return  # no child of ours
        sender, body, *blobs = frames
        try:
            message = child_messages.decode_from_child(body.buffer)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            log.warning("an unreadable message on the children's socket was dropped (%s)", type(error).__name__)
            return
        child = self._sender(sender.bytes, message)
        if child is not None:
            child.take(sender.bytes, message, blobs)

    def _sender(self, identity: bytes, message: FromChild) -> ChildProcess | None:
        """Who said it: by the token when it is ready, by its socket from then on."""
        if not isinstance(message, Ready):
            return next((c for c in self.children if c.identity == identity), None)
        shown = message.token.encode()
        for child in self.children:
            if child.running and not child.ready and secrets.compare_digest(child.token.encode(), shown):
                return child
        log.warning("a process without a valid token tried to be one of the server's")
        return None

    def poll(self) -> None:
        """See to every child, and send heartbeats."""
        now = time.monotonic()
        if now - self._measured_at >= MEASURE_LOGS_S:
            self._measured_at = now
            for child in self.children:
                shorten(child.log_path)
        worked_s, self._worked_s = time.thread_time() - self._worked_s, time.thread_time()
        if now - self._polled_at > STALL_S:  # what they said meanwhile has not been read yet
            # The rest of the time the machine kept it waiting: a busy one, a slow disk, or a sleep.
            log.warning("the server stood still for %.1f s (at work for %.1f s)", now - self._polled_at, worked_s)
            for child in self.children:
                child.forgive(now - self._polled_at)
        self._polled_at = now
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            for child in self.children:
                child.send(Beat())
        for child in self.children:
            child.poll(now)

    def shut_down(self) -> None:
        """Ask all children to leave at once, then see to it."""
        for child in self.children:
            child.send(Quit())
        end = time.monotonic() + LEAVE_S
        for child in self.children:
            child.leave(end)
        self._private.close()
        self._cleaner.shutdown(wait=True)


def shorten(path: Path) -> None:
    """Keep the end of a file that a child writes to, in NAME.1, and begin it anew, once it is too long."""
    with suppress(OSError):
        size = path.stat().st_size
        if size <= LOG_BYTES:
            return
        with path.open("rb") as file:
            file.seek(size - LOG_BYTES // 2)
            end = file.read(LOG_BYTES // 2)
        path.with_name(f"{path.name}.1").write_bytes(end)
        os.truncate(path, 0)  # who has it open appends: it goes on at the beginning


def _last_line(path: Path, begins: int) -> str:
    """The last line with something in it that was written to ``path`` from the byte ``begins`` on."""
    try:
        with path.open("rb") as file:
            file.seek(max(begins, path.stat().st_size - LAST_BYTES))
            lines = file.read(LAST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:  # a full or read-only disk, which is why it ended
        return ""
    return next((line.strip()[:LAST_CHARACTERS] for line in reversed(lines) if line.strip()), "")


def end_marked(mark: str) -> None:
    """Kill every process of this user that has ``mark`` (NAME=value) in its environment; only Linux can tell.

    A child that was killed could not stop the programs it ran: they would go on holding the GPU.
    """
    if not mark:
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is someone else's
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
                log.warning("process %s, which a child left behind, was ended", folder.name)
