"""The server's side of live views: starts their process when one is wanted, passes requests and answers through."""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import zmq

from ex4d_backend import live_internal as li
from ex4d_backend.blobs import BlobStore
from ex4d_backend.desk import Refusal
from ex4d_backend.pool import describe_exit
from ex4d_backend.sessions import Session, Sessions, send
from ex4d_backend.settings import ServerSettings
from ex4d_backend.worker import TOKEN_VARIABLE
from ex4d_protocol import messages as m
from ex4d_protocol.live import LivePicture, LiveProgress, LiveSuperseded, LiveView
from ex4d_protocol.requests import blobs_of

log = logging.getLogger("ex4d_backend.live_desk")

LIVE_PIXELS = 2560 * 1600
"""Largest picture; larger ones would not come in time anyway."""
BEAT_S = 2.0
SILENT_S = 180.0
"""A process that says nothing for so long hangs: compiling loops for the first time may take a minute."""
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
PER_ROUND = 8
TELL_S = 0.5
"""Who waits for the process to start hears of it this often."""


@dataclass
class Open:
    """A request that has not ended."""

    session: Session
    view: LiveView


class LiveDesk:
    """All live views of a server. Belongs to the I/O loop: call :meth:`poll` often, :meth:`handle` when ``socket`` is
    readable."""

    def __init__(
        self,
        settings: ServerSettings,
        context: zmq.Context[Any],
        sessions: Sessions,
        blobs: BlobStore,
        control: zmq.Socket[Any],
        data: zmq.Socket[Any],
    ) -> None:
        self._settings, self._sessions, self._blobs = settings, sessions, blobs
        self._control, self._data = control, data
        self.socket = context.socket(zmq.ROUTER)
        for option, value in ((zmq.LINGER, 0), (zmq.AFFINITY, 1), (zmq.SNDHWM, 0), (zmq.RCVHWM, 0)):
            self.socket.setsockopt(option, value)
        self._address = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._log_path = settings.folder / "logs" / "live.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._token, self._identity = "", b""
        self._open: dict[tuple[int, int], Open] = {}
        self._clients: dict[int, Session] = {}
        self._checked: dict[int, tuple[Any, Any]] = {}
        """Clip and mesh of each client's last request, whose blobs were seen to be there."""
        self._next_client = 1
        self._started = self._heard = self._beat_at = self._used = self._told_at = 0.0
        self._start_at, self._backoff = 0.0, FIRST_BACKOFF_S

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        return self._process.pid if self._process is not None else None

    # --- what clients ask ---------------------------------------------------------------------------------

    def ask(self, session: Session, request_id: int, view: LiveView) -> None:
        """Take a request; its answers come by themselves. Raises Refusal."""
        self._check(session, view)
        client = self._client(session)
        if client not in self._checked or self._checked[client] != (view.clip, view.mesh):
            self._check_blobs(view)
            self._checked[client] = view.clip, view.mesh
        if self._process is None and time.monotonic() < self._start_at:
            raise Refusal("internal", "The process for live views has just ended; it is started again in a moment.")
        self._used = time.monotonic()
        self._drop_older(client, view)
        self._open[client, request_id] = Open(session, view)
        if self._process is None:
            self._start()
        elif self._identity:
            self._send(li.LiveOrder(client, request_id, view))

    def _check(self, session: Session, view: LiveView) -> None:
        if not self._settings.live:
            raise Refusal("bad_request", "Live views are turned off on this backend (setting live).")
        if not session.data_identity:
            raise Refusal("bad_request", "Attach the data socket first: pictures are sent there.")
        size = view.trajectory.width * view.trajectory.height * view.scale**2
        if size > LIVE_PIXELS:
            w, h = view.trajectory.width, view.trajectory.height
            text = f"A live view of {w}x{h} at scale {view.scale:g} is too large; ask for a smaller scale."
            raise Refusal("too_large", text)

    def _check_blobs(self, view: LiveView) -> None:
        found = blobs_of(view).values()
        missing = [b for b in found if not self._blobs.has(b.sha256, b.size)]
        if missing:
            names = ", ".join(b.name or b.sha256[:12] for b in missing[:3])
            raise Refusal("blob_missing", f"{len(missing)} files of this view were not uploaded yet ({names}).")
        for blob in found:
            self._blobs.touch(blob.sha256)

    def _client(self, session: Session) -> int:
        for number, known in self._clients.items():
            if known is session:
                return number
        number, self._next_client = self._next_client, self._next_client + 1
        self._clients[number] = session
        return number

    def _drop_older(self, client: int, view: LiveView) -> None:
        """Until the process is ready it cannot do so itself: only the newest request of a view waits for it."""
        if self._identity:
            return
        for key, other in list(self._open.items()):
            if key[0] == client and (other.view.view, other.view.picture) == (view.view, view.picture):
                del self._open[key]
                self._tell(other.session, key[1], LiveSuperseded(view=view.view, sequence=other.view.sequence))

    # --- what the process says ----------------------------------------------------------------------------

    def handle(self) -> None:
        """Pass on what came from the process, at most a handful."""
        for _ in range(PER_ROUND):
            try:
                identity, body, *blobs = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            except ValueError:
                continue  # not two frames: no process of ours
            try:
                message = li.decode_from_live(body.buffer)
            except msgspec.DecodeError:
                log.warning("unreadable message on the live socket dropped")
                continue
            if isinstance(message, li.LiveReady):
                self._take_ready(identity.bytes, message)
            elif identity.bytes == self._identity:
                self._heard = time.monotonic()
                if isinstance(message, li.LiveAnswer):
                    self._pass_on(message, tuple(frame.buffer for frame in blobs))

    def _take_ready(self, identity: bytes, ready: li.LiveReady) -> None:
        if self._process is None or not secrets.compare_digest(self._token, ready.token):
            log.warning("a process without a valid token tried to be the one for live views")
            return
        self._identity, self._heard, self._backoff = identity, time.monotonic(), FIRST_BACKOFF_S
        log.info("live views are ready after %.1f s", self._heard - self._started)
        for (client, request_id), waiting in self._open.items():
            self._send(li.LiveOrder(client, request_id, waiting.view))

    def _pass_on(self, answer: li.LiveAnswer, blobs: tuple[memoryview, ...]) -> None:
        key = answer.client, answer.request_id
        found = self._open.get(key)
        if found is None:
            return
        if answer.ended:
            del self._open[key]
        self._used = time.monotonic()
        self._tell(found.session, answer.request_id, answer.message, blobs)

    def _tell(
        self, session: Session, request_id: int, message: msgspec.Struct, blobs: tuple[memoryview, ...] = ()
    ) -> None:
        picture = isinstance(message, LivePicture)
        socket = self._data if picture else self._control
        identity = session.data_identity if picture else session.identity
        try:
            if not identity or not send(socket, identity, message, reply_to=request_id, blobs=blobs):
                log.info("an answer to a live view was dropped: the client does not read")
        except zmq.ZMQError as error:
            log.debug("a client left before its answer (%s)", error)

    # --- the process --------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Notice clients that left and a process that died, hangs or has nothing to do."""
        now = time.monotonic()
        for number, session in list(self._clients.items()):
            if not self._sessions.holds(session):
                self._forget(number)
        if self._process is None:
            return
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            self._send(li.LiveBeat())
        if not self._identity and now - self._told_at >= TELL_S:
            self._told_at = now
            for (_, request_id), waiting in self._open.items():
                view, sequence = waiting.view.view, waiting.view.sequence
                message = LiveProgress(view=view, sequence=sequence, stage="starting")
                self._tell(waiting.session, request_id, message)
        limit = SILENT_S if self._identity else self._settings.worker_ready_s
        if (code := self._process.poll()) is not None:
            self._died(describe_exit(code))
        elif now - max(self._heard, self._started) > limit:
            self._process.kill()
            self._process.wait(timeout=10)
            self._died(f"was silent for {limit:g} seconds")
        elif not self._open and now - self._used > self._settings.live_idle_s:
            log.info("nobody asked for a live view for %g s; its process ends", self._settings.live_idle_s)
            self._end()

    def _forget(self, client: int) -> None:
        del self._clients[client]
        self._checked.pop(client, None)
        for key in [key for key in self._open if key[0] == client]:
            del self._open[key]
        self._send(li.LiveForget(client))

    def _start(self) -> None:
        self._token, self._identity = secrets.token_urlsafe(32), b""
        environment = dict(os.environ, **{TOKEN_VARIABLE: self._token, "CUDA_VISIBLE_DEVICES": ""})
        folder = self._settings.folder
        command = [sys.executable, "-m", "ex4d_backend.live", "--server", self._address]
        command += ["--blobs", str(folder / "blobs"), "--scratch", str(folder / "live")]
        command += ["--threads", str(self._settings.threads), "--memory-bytes", str(self._settings.live_bytes)]
        command += ["--parent", str(os.getpid())]
        try:
            with self._log_path.open("ab") as output:
                self._process = subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
        except OSError as error:  # a full or read-only disk, no memory, no process left
            self._died(f"could not be started ({error.strerror or error})")
            return
        self._started = self._heard = time.monotonic()
        log.info("live views started as process %d", self._process.pid)

    def _died(self, reason: str) -> None:
        log.warning("the process for live views %s", reason)
        self._process, self._identity = None, b""
        self._start_at = time.monotonic() + self._backoff
        self._backoff = min(LONGEST_BACKOFF_S, self._backoff * 2)
        text = f"The process for live views {reason}; jobs are not affected. It starts again with the next request."
        lost, self._open = self._open, {}
        for (_, request_id), found in lost.items():
            self._tell(found.session, request_id, m.ErrorReply(code="internal", message=text))

    def _end(self) -> None:
        """Ask the process to leave, and see to it."""
        process, self._process = self._process, None
        if process is None:
            return
        self._send(li.LiveQuit())
        try:
            process.wait(timeout=2.0 if self._identity else 0.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        self._identity = b""

    def _send(self, message: li.ToLive) -> None:
        if self._identity:
            self.socket.send_multipart([self._identity, li.encode(message)])

    def shut_down(self) -> None:
        """With the server."""
        self._end()
        self.socket.close(0)
