"""The server process: one loop over three sockets. It moves bytes and keeps books; workers do the computing."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import zmq

from ex4d.allocation import give_back_kept
from ex4d_backend import devices
from ex4d_backend.announcements import Announcements
from ex4d_backend.answers import answer_to
from ex4d_backend.blobs import BlobStore
from ex4d_backend.capabilities import capabilities
from ex4d_backend.client_errors import Refusal
from ex4d_backend.client_sessions import ClientSession, ClientSessions
from ex4d_backend.connections import Connections
from ex4d_backend.data_folder import make_private
from ex4d_backend.extensions import serve_extensions
from ex4d_backend.greeting import Greeter
from ex4d_backend.guardian import Guarded
from ex4d_backend.health import health_of
from ex4d_backend.job_rows import Job
from ex4d_backend.keys import Gatekeeper, KeyRing, key_of, new_operator_secret
from ex4d_backend.live_views import UNREAD_PICTURES, LiveViews
from ex4d_backend.metrics import MetricsPage, metrics_text
from ex4d_backend.outbox import Outbox
from ex4d_backend.pool import Pool
from ex4d_backend.ray_workers.pool import RayPool
from ex4d_backend.scheduler import JobScheduler
from ex4d_backend.server_process import TRIM_S, LoopCalls, lock_folder, yield_io_thread
from ex4d_backend.settings import ServerSettings, split_address
from ex4d_backend.sockets import bind_router, handle_message, not_allowed, poller_of, read_messages, refuse
from ex4d_backend.storage_room import StorageRoom
from ex4d_backend.store import JobStore
from ex4d_backend.supervisor import Supervisor
from ex4d_backend.transfers import Transfers, is_small
from ex4d_backend.turns import Turns
from ex4d_backend.uploads import Uploads
from ex4d_ground.errors import OutputError
from ex4d_protocol import framing
from ex4d_protocol import messages as m

log = logging.getLogger("ex4d_backend.server")

BULK_IO_THREAD = 1
"""Of ZeroMQ's two: the data socket's. Everything else has the other to itself."""

CONTROL_WAITING, DATA_WAITING = 4, 2
"""Messages of one connection, of 8 MiB each at most, that are in memory before the loop reads them."""
CONTROL_TAKEN = 128 << 10
"""Bytes of a large message that one connection has taken from it before the next one's turn: a ping comes through
beside many connections that send without end."""
DATA_PER_ROUND = 2
HOUSEKEEPING_S, METRICS_S, SWEEP_S = 0.1, 1.0, 60.0


class Server:
    """See :meth:`run`. Making one binds the sockets and opens the store, or raises one clear sentence."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        still_wanted: Callable[[], bool] = lambda: True,
        guarded: Guarded | None = None,
    ) -> None:
        """Raises OutputError for a data folder or port that cannot be used."""
        self.settings = settings
        self._still_wanted = still_wanted
        self._started = time.monotonic()
        self._stop_asked = 0
        self._drain_until: float | None = None
        self._next_housekeeping = self._next_sweep = self._next_metrics = self._next_trim = 0.0
        self._rate_limited = 0
        self._bulk_yields = False
        self._lock = lock_folder(settings.folder)
        make_private(settings.folder)
        # Bulk data keeps one I/O thread busy (BULK_IO_THREAD).
        self._context: zmq.Context[Any] = zmq.Context(io_threads=2)
        try:
            self._open(settings, guarded or Guarded())
        except BaseException:
            self._context.destroy(linger=0)
            self._lock.release()
            raise

    def _open(self, settings: ServerSettings, guarded: Guarded) -> None:
        operator_secret = new_operator_secret(settings.folder)
        self._open_sockets(settings, guarded)
        self._open_store(settings, guarded)
        self._employ(settings)
        self._open_reception(settings, operator_secret)
        self._metrics = MetricsPage(settings.metrics_port) if settings.metrics_port else None
        self._extensions = serve_extensions(settings.extensions)
        threading.Thread(target=devices.make_ready, name="make-ready").start()

    def _open_sockets(self, settings: ServerSettings, guarded: Guarded) -> None:
        """Where clients come in, and who they are."""
        self._keys = KeyRing(settings.folder) if settings.curve else None
        self._gate = Gatekeeper(self._context, self._keys) if self._keys else None
        host, port = split_address(guarded.address_for(settings.folder, settings.address))
        self._control, self.port = bind_router(
            self._context, host, port, io_thread=0, gate=self._gate, waiting=CONTROL_WAITING, taken_bytes=CONTROL_TAKEN
        )
        at = split_address(settings.data_address) if settings.data_address else (host, 0)
        chosen_by = "data_address" if settings.data_address else "--address"
        self._data, self.data_port = bind_router(
            self._context, *at, io_thread=BULK_IO_THREAD, gate=self._gate, waiting=DATA_WAITING, setting=chosen_by
        )
        self._to_control, self._to_data = Outbox(self._control), Outbox(self._data, unread_bytes=UNREAD_PICTURES)
        self._connections = Connections(self._control, "control"), Connections(self._data, "data")
        self.address = f"tcp://{host}:{self.port}"
        guarded.keep_address(settings.folder, self.address)
        self._post = LoopCalls(self._context)
        self.sessions = ClientSessions(
            requests_per_s=settings.requests_per_s, limit=settings.clients, ping_s=settings.ping_interval_s
        )

    def _open_store(self, settings: ServerSettings, guarded: Guarded) -> None:
        """Jobs, files and how these come and go."""
        store = JobStore(settings.folder / "jobs.sqlite")
        self.notices: list[str] = []
        """What who starts the server should be told: one sentence each."""
        if store.set_aside_as:
            self.notices.append(
                f"The job table was damaged: it was set aside as {store.set_aside_as}, and a new one begun; clients "
                "submit again what they wait for."
            )
        self._blobs = BlobStore(settings.folder / "blobs", clock=store.clock, post=self._post)
        self._uploads = Uploads(
            self._blobs,
            blob_bytes=settings.blob_bytes,
            check_room=lambda *what: self._room.check_upload(*what),
            post=self._post,
            on_settled=lambda upload: self._transfers.settled(upload),
        )
        self._room = StorageRoom(settings, self._blobs, self._uploads, store)
        self.pool = RayPool() if settings.ray else Pool()
        self.scheduler = JobScheduler(
            settings,
            store,
            self._blobs,
            self.pool,
            push=self._push,
            check_room=self._room.check,
            after_fault=guarded.after_fault,
        )
        self._transfers = Transfers(
            self._data,
            self.sessions,
            self._blobs,
            self._uploads,
            self.scheduler,
            post=self._post,
            answer=lambda session, message, request_id: self._to_control.send(session.identity, message, request_id),
        )

    def _employ(self, settings: ServerSettings) -> None:
        """The processes that compute."""
        self._children = Supervisor(settings, self._context)
        wanted = devices.wanted_devices(settings.devices)
        scheduler = self.scheduler
        self.pool.employ(self._children, wanted, scheduler.take, scheduler.crashed, scheduler.lost)
        self.live = LiveViews(self._children, wanted, self.sessions, self._blobs, self._to_control, self._to_data)

    def _open_reception(self, settings: ServerSettings, operator_secret: str) -> None:
        """Who is let in, who is heard when, and what is told to all."""
        self._turns = Turns(
            self._control,
            client_of=self.sessions.owner_of,
            handle=lambda frames: handle_message(self._to_control, frames, self._on_control, self._keys),
            refuse=lambda frames, refusal: refuse(self._to_control, frames, refusal),
            crowded=lambda: self.sessions.crowded,
            choked=self._to_control.choked,
            cut_off=self._cut_off,
        )
        self._news = Announcements(self._to_control, self.sessions.identities, capabilities(self.pool, self.settings))
        self._greeter = Greeter(
            settings,
            self.sessions,
            self._connections[0],
            self._keys,
            operator_secret=operator_secret,
            data_port=self.data_port,
            capabilities=lambda: self._news.newest,
            working=lambda: self.scheduler.working,
        )

    # --- the loop -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until :meth:`ask_to_stop`, then drain. Always leaves the store whole."""
        # Control before bulk data, always: a cancel must not wait behind it.
        handlers: dict[zmq.Socket[Any], Callable[[], None]] = {
            self._control: self._turns.run,
            self._children.socket: self._children.handle,
            self._data: lambda: read_messages(self._to_data, DATA_PER_ROUND, self._on_data, self._keys),
            self._post.socket: self._post.run,
        }
        if self._gate is not None:
            handlers = {self._gate.socket: self._gate.handle, **handlers}
        all_but_data, everything = poller_of(s for s in handlers if s is not self._data), poller_of(handlers)
        more = False
        try:
            while not self._finished():
                # What a slow disk has not taken yet stays with its senders.
                poller = all_but_data if self._uploads.busy else everything
                ready = dict(poller.poll(0 if more else 20))
                for socket, handle in handlers.items():
                    if socket in ready or (socket is self._control and self._turns.ready):
                        handle()
                self._see_to_sending()
                self._housekeeping()
                self._poll_jobs()
                told = self._news.pump()
                more = self._transfers.pump() or told or self._turns.ready
        finally:
            self._close()

    def ask_to_stop(self) -> None:
        """Finish running jobs, then leave; a second call leaves at once. Safe in a signal handler."""
        self._stop_asked += 1

    def _finished(self) -> bool:
        if not self._stop_asked and not self._still_wanted():
            log.info("the program that started this backend has ended")
            self._stop_asked = 1
        if not self._stop_asked:
            return False
        if self._drain_until is None:
            self._drain_until = time.monotonic() + self.settings.drain_s
            self.scheduler.draining = True
            log.info("draining: %d queued and %d running jobs", *self.scheduler.counts)
        _, running = self.scheduler.counts
        return self._stop_asked > 1 or running == 0 or time.monotonic() > self._drain_until

    def _housekeeping(self) -> None:
        now = time.monotonic()
        if now < self._next_housekeeping:
            return
        self._next_housekeeping = now + HOUSEKEEPING_S
        self._bulk_yields = self._bulk_yields or yield_io_thread(BULK_IO_THREAD)
        self._children.poll()
        self._post.run()
        # All are told when a worker came, went, became busy or idle, or can do something else than before.
        self._news.offer(capabilities(self.pool, self.settings))
        control, data = self._connections
        self.sessions.left(control.ended())
        data.ended()
        for connections in self._connections:
            connections.end_strangers()
        self.sessions.expire(self.settings.session_timeout_s)
        self._drop_revoked()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_S
            try:
                self.scheduler.sweep.begin()
                self._uploads.expire(self.settings.blobs_ttl_hours * 3600)
            except OutputError as error:  # a full or read-only disk: what is there stays
                log.error("nothing could be cleaned up: %s", error)
        if now >= self._next_trim:
            self._next_trim = now + TRIM_S
            give_back_kept()
        if self._metrics is not None and now >= self._next_metrics:
            self._next_metrics = now + METRICS_S
            counts = {"restarts": self.pool.restarts, "rate_limited": self._rate_limited}
            self._metrics.publish(metrics_text(self._health(), ended=self.scheduler.ended, **counts))

    def _poll_jobs(self) -> None:
        try:
            self.scheduler.poll()
        except OutputError as error:  # a full or read-only disk: what is there stays, and is tried again
            log.error("jobs could not be seen to: %s", error)

    def _see_to_sending(self) -> None:
        """Send what had no place; end the sessions of clients that do not read, and their connections with them."""
        control, data = self._connections
        for identity in self._to_control.pump():
            session = self.sessions.control(identity)
            log.warning("%s does not read what it is sent; its connection ends", session.owner if session else "a peer")
            self._to_control.forget(identity)
            self.sessions.drop(session)
        for identity in self._to_data.pump():
            self._to_data.forget(identity)
            self.sessions.drop(self.sessions.data(identity))
        self.live.resume()
        for session in self.sessions.take_ended():
            self._to_control.forget(session.identity)
            self._to_data.forget(session.data_identity)
            if not self.sessions.owner_of(session.identity):  # it did not say Hello again on the same connection
                control.end(session.connection)
            data.end(session.data_connection)

    def _cut_off(self, frame: zmq.Frame) -> None:
        session, control = self.sessions.control(frame.bytes), self._connections[0]
        who = session.owner if session else "a peer that did not say Hello"
        log.warning("%s goes on sending what is refused; its connection ends", who)
        self._to_control.forget(frame.bytes)
        self.sessions.drop(session)
        control.end(control.of(frame))

    def _drop_revoked(self) -> None:
        """Results go out without being asked for each: a revoked client's session must end by itself."""
        if self._keys is None:
            return
        for session in self.sessions:
            if self._keys.owner(session.key) is None:
                log.warning("the key of %s was revoked; its session ends", session.owner)
                self._to_control.send(session.identity, not_allowed(self._keys))
                self.sessions.drop(session)

    def _close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
        if self._extensions is not None:
            self._extensions.close()
        for connections in self._connections:
            connections.close()
        self._children.shut_down()
        self._transfers.close()
        self._uploads.close()
        self._blobs.close()
        self.scheduler.close()
        self._context.destroy(linger=200)
        self._lock.release()
        log.info("stopped")

    # --- reading ------------------------------------------------------------------------------------------

    def _on_control(self, identity: bytes, received: framing.Received, frame: zmq.Frame) -> None:
        message = received.message
        if isinstance(message, m.Hello):
            answer = self._greeter.welcome(identity, message, frame)
        else:
            session = self.sessions.control(identity)
            if session is None:
                raise Refusal("no_session", "This connection has not said Hello (or the backend has restarted).")
            if not isinstance(message, m.CancelJob | m.Ping):
                session.asked = session.heard
                self._limit(session)
            if isinstance(message, m.LiveView | m.HaveBlobs | m.ProveBlobs):
                self._answer_later(session, message, received.header.id)
                return
            answer = answer_to(session, message, self.scheduler, self.pool, self._health)
        self._to_control.send(identity, answer, received.header.id)

    def _on_data(self, identity: bytes, received: framing.Received, frame: zmq.Frame) -> None:
        message = received.message
        if isinstance(message, m.Attach):
            session = self.sessions.attach(message.session, identity, key_of(frame))
            if session is None:
                raise Refusal("no_session", "There is no such session; say Hello on the control socket first.")
            self._connections[1].ended()
            session.data_connection = self._connections[1].know(frame)
            self._to_data.send(identity, m.Attached(), received.header.id)
            return
        session = self.sessions.data(identity)
        if session is None:
            raise Refusal("no_session", "This connection is not attached to a session.")
        if isinstance(message, m.GetResults) or (isinstance(message, m.PutChunk) and is_small(received)):
            self._limit(session, f"blob {message.sha256}" if isinstance(message, m.PutChunk) else "")
        self._transfers.handle(session, received)

    def _answer_later(self, session: ClientSession, message: m.LiveView | m.HaveBlobs | m.ProveBlobs, id: int) -> None:
        match message:
            case m.LiveView():
                self.live.ask(session, id, message)
            case m.HaveBlobs():
                self._transfers.have(session, message, id)
            case m.ProveBlobs():
                self._transfers.prove(session, message, id)

    def _limit(self, session: ClientSession, detail: str = "") -> None:
        if not session.bucket.take():
            self._rate_limited += 1
            text = f"More than {self.settings.requests_per_s:g} requests a second came from this client; wait a little."
            raise Refusal("rate_limited", text, detail=detail)

    # --- answers ------------------------------------------------------------------------------------------

    def _push(self, job: Job, state: m.JobState) -> None:
        for session in self.sessions.of_owner(job.owner):
            self._to_control.send(session.identity, state)

    def _health(self) -> m.Health:
        uptime_s = time.monotonic() - self._started
        return health_of(self.scheduler, self.pool, self._room, clients=len(self.sessions), uptime_s=uptime_s)
