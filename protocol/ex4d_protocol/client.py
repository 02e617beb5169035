"""The typed client used by the add-on, the CLI and the tests.

In a program with its own loop, call :meth:`Client.poll` from a timer and never anything that waits. A script calls
the ``wait_`` methods and :meth:`Client.ask`, which poll inside. No threads either way.

    client = Client("tcp://127.0.0.1:7764", client_name="my script")
    client.connect()
    client.wait_connected()
    video, depth = client.upload("shot.mp4"), client.upload("depth.npz")
    job = client.submit(lambda: BuildMesh(clip=ClipSpec(
        video=Media(kind="video", blobs=(video.ref,)), depth=Media(kind="npz", blobs=(depth.ref,)))),
        after=[video, depth])
    client.wait_job(job, on_event=print)
"""

import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ex4d_ground.remedies import Failure, start_backend
from ex4d_protocol import messages as m
from ex4d_protocol.base import PROTOCOL_MAJOR, PROTOCOL_MINOR
from ex4d_protocol.connection import Connection, ConnectionState
from ex4d_protocol.errors import ConnectionFailed, IncompatibleError, JobCancelled, JobFailed, RequestRefused
from ex4d_protocol.events import Event, JobView, Reply, RequestFailed
from ex4d_protocol.framing import Received
from ex4d_protocol.job_book import JobBook
from ex4d_protocol.questions import LiveRequests, Questions
from ex4d_protocol.transport import HUNG_UP
from ex4d_protocol.uploads import Upload, UploadQueue

__all__ = ["Client", "Upload"]

OnEvent = Callable[[Event], None]
IsWanted = Callable[[Event], bool]
RATE_LIMITED_PAUSE_S = 0.5
_TICK_S = 0.25
"""Longest sleep of a waiting call, so that pings go out."""


class Client:
    """A client of one backend, over a connection that may come and go: nothing that was asked is lost with it.

    ``address`` is the control socket's, such as ``tcp://127.0.0.1:7764``. ``client_id`` (kept by the caller over
    restarts) owns the jobs. ``server_key`` and ``keypair`` are Z85 CURVE keys for a backend on another machine.
    ``operator`` is the secret in the backend's data folder, for those who look after all clients' jobs.

    Its parts do the work, each told of the messages and connections that concern it: UploadQueue (``upload``), JobBook
    (``submit``, ``follow``, ``cancel``, ``fetch``, ``ack``), Questions (``question``), LiveRequests (``live``).
    """

    def __init__(
        self,
        address: str,
        *,
        client_name: str = "client",
        client_id: str | None = None,
        server_key: bytes | None = None,
        keypair: tuple[bytes, bytes] | None = None,
        versions: Mapping[str, str] | None = None,
        operator: str = "",
    ):
        self.address = address
        self.client_id = client_id or uuid.uuid4().hex
        hello = m.Hello(
            client_id=self.client_id,
            client_name=client_name[:128],
            major=PROTOCOL_MAJOR,
            minor=PROTOCOL_MINOR,
            versions=dict(versions or {}),
            operator=operator,
        )
        self._events: deque[Event] = deque()
        self.connection = Connection(
            address,
            hello,
            self._events,
            take=self._take,
            attached=self._attached,
            lost=self._lost,
            server_key=server_key,
            keypair=keypair,
        )
        self._questions = Questions(self.connection, self._events)
        self._live = LiveRequests(self.connection, self._events)
        self._uploads = UploadQueue(self.connection, self._events)
        self._jobs = JobBook(self.connection, self._uploads, self._events)
        self._paused_until = 0.0
        # What callers use of the parts.
        self.connect, self.close = self.connection.connect, self.connection.close
        self.upload = self._uploads.add
        self.jobs: Mapping[str, JobView] = self._jobs.tracked
        """Every job submitted or followed here, by id."""
        self.submit, self.follow, self.cancel = self._jobs.submit, self._jobs.follow, self._jobs.cancel
        self.fetch, self.ack = self._jobs.fetch, self._jobs.ack
        self.question, self.live = self._questions.ask, self._live.ask

    @property
    def state(self) -> ConnectionState:
        """Whether there is a connection."""
        return self.connection.state

    @property
    def welcome(self) -> m.Welcome | None:
        """What the server said of itself in the latest handshake; None before the first."""
        return self.connection.welcome

    @property
    def capabilities(self) -> m.Capabilities:
        """What the server can do now; empty before the first handshake."""
        return self.connection.capabilities

    # --- the tick -----------------------------------------------------------------------------------------

    def poll(self, budget_s: float = 0.002) -> list[Event]:
        """Do what can be done now, for about ``budget_s`` seconds, and report what happened.

        What is begun when the time is over is at most one part of an item (4 MiB) and 1 MiB of an upload.
        """
        now = time.monotonic()
        deadline = now + budget_s
        self.connection.tick(now + budget_s / 2 if self._uploads.busy else deadline)
        if time.monotonic() >= self._paused_until:
            postponed, self.connection.postponed = self.connection.postponed, []
            for again in postponed:
                again()
            self._jobs.advance()
        self._uploads.hash_some(deadline)
        if self.state == "connected" and time.monotonic() >= self._paused_until:
            self._uploads.send_some(deadline)
        events = list(self._events)
        self._events.clear()
        return events

    def wait_readable(self, timeout_s: float) -> None:
        """Sleep until there may be something to do; for callers that may block."""
        if not (self._events or self._uploads.busy):
            self.connection.wait_readable(timeout_s)

    def _take(self, received: Received) -> None:
        """Hand a message to the part that it concerns. Raises FrameError, IncompatibleError."""
        message, reply_to = received.message, received.header.reply_to
        match message:
            case m.Item():
                self._jobs.take_item(message, received)
            case m.ResultsEnd():
                self._jobs.take_end(message, reply_to)
            case m.JobState():
                self._jobs.take_state(message)
            case m.JobAccepted():
                self._jobs.take_state(message.state)
            case m.BlobsMissing():
                self._uploads.take_missing(message, reply_to)
            case m.ChunkAck():
                self._uploads.take_ack(message, reply_to)
            case m.LivePicture() | m.LiveCoverage() | m.LiveProgress() | m.LiveSuperseded():
                self._live.take(message, received)
            case m.Welcome():
                self.connection.take_welcome(message)
            case m.Attached():
                self.connection.take_attached()
            case m.Capabilities():
                self.connection.take_capabilities(message)
            case m.ErrorReply():
                self._take_error(message, reply_to)
                return
        self._jobs.answered(reply_to)
        self._questions.answered(message, reply_to)

    def _take_error(self, error: m.ErrorReply, reply_to: int) -> None:
        if any(part.refused(error, reply_to) for part in (self._live, self.connection, self._questions)):
            return
        if error.code == "rate_limited" and self.state == "connected":
            self._paused_until = time.monotonic() + RATE_LIMITED_PAUSE_S
        owned = self._uploads.refused(error, reply_to) or self._jobs.refused(error, reply_to)
        if not owned and self.state == "connecting":
            self.connection.lose(error.message)

    def _attached(self) -> None:
        self._uploads.attached()
        self._jobs.attached()

    def _lost(self) -> None:
        self.connection.postponed.clear()  # the next connection asks everything anew
        for part in (self._questions, self._live, self._uploads, self._jobs):
            part.lost()

    # --- waiting calls, for scripts -----------------------------------------------------------------------

    def wait_for(self, wanted: IsWanted, timeout_s: float | None, *, on_event: OnEvent | None = None) -> Event:
        """Poll until an event is ``wanted``; every event up to it goes to ``on_event``.

        Raises ConnectionFailed when the time is over, IncompatibleError if the versions do not fit.
        """
        late = f"Nothing came from {self.address} in {timeout_s or 0:g} seconds."
        event = self._wait(lambda: False, timeout_s, late, wanted=wanted, on_event=on_event)
        assert event is not None
        return event

    def wait_connected(self, timeout_s: float = 10.0) -> m.Welcome:
        """Wait for the handshake. Raises ConnectionFailed (with the reason) or IncompatibleError."""
        late = (
            f"No backend answered at {self.address} within {timeout_s:g} seconds: what is there is silent, or nothing "
            "gets through to it."
        )
        try:
            self._wait(lambda: self.state == "connected", timeout_s, late, wanted=lambda _: self.state == "connected")
        except ConnectionFailed as error:
            # One that hung up is there, and refused this client: starting another would not help.
            hung_up = any(reason in str(error) for reason in HUNG_UP)
            raise ConnectionFailed(str(error), remedy=None if hung_up else start_backend()) from None
        assert self.welcome is not None
        return self.welcome

    def wait_uploaded(self, upload: Upload, timeout_s: float | None = None) -> Upload:
        """Wait until the server has every byte. Raises RequestRefused if it cannot."""
        late = f"{upload.name} was not uploaded in {timeout_s} seconds."
        self._wait(lambda: upload.at_server or bool(upload.error), timeout_s, late)
        if upload.error:
            raise RequestRefused(upload.error, code="blob_missing")
        return upload

    def wait_job(self, job_id: str, timeout_s: float | None = None, *, on_event: OnEvent | None = None) -> m.JobState:
        """Wait until the job is done and, if fetched, every item was given to ``on_event``.

        Reconnects on the way if need be. Raises JobFailed, JobCancelled, RequestRefused, or ConnectionFailed when
        the time is over.
        """
        job = self._jobs.tracked[job_id]

        def over() -> bool:
            complete = job.results_complete or not job.fetch or job.stage == "over"
            return bool(job.rejected) or (job.final and complete)

        self._wait(over, timeout_s, f"Job {job_id} did not end within {timeout_s} seconds.", on_event=on_event)
        state = job.state
        if job.rejected or state is None:
            raise RequestRefused(job.rejected, code=job.rejected_code, remedy=job.remedy)
        if state.phase == "failed":
            failure = state.failure or Failure()
            raise JobFailed(state.message, code=failure.code, remedy=failure.remedy)
        if state.phase == "cancelled":
            raise JobCancelled(state.message or "Cancelled.")
        return state

    def ask(self, message: msgspec.Struct, timeout_s: float = 10.0) -> Any:
        """Ask one question and wait for its answer. Raises RequestRefused or ConnectionFailed."""
        request_id = self.question(message)
        answer = self.wait_for(lambda e: isinstance(e, Reply | RequestFailed) and e.request_id == request_id, timeout_s)
        if isinstance(answer, RequestFailed):
            refusal = answer.error
            raise RequestRefused(refusal.message, code=refusal.code, remedy=refusal.remedy)
        assert isinstance(answer, Reply)
        return answer.message

    def _wait(
        self,
        enough: Callable[[], bool],
        timeout_s: float | None,
        late: str,
        *,
        wanted: IsWanted = lambda _: False,
        on_event: OnEvent | None = None,
    ) -> Event | None:
        """Poll until ``enough`` or until an event is ``wanted``, and return that; events behind it stay for later.

        Raises ConnectionFailed when the time is over (with what is ``late`` if nothing else is known), and
        IncompatibleError.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not enough():
            events = self.poll(0.05)
            for i, event in enumerate(events):
                if on_event is not None:
                    on_event(event)
                if wanted(event):
                    self._events.extendleft(reversed(events[i + 1 :]))
                    return event
            if self.state == "incompatible":
                raise IncompatibleError(self.connection.last_failure)
            if enough():
                break
            left = _TICK_S if end is None else end - time.monotonic()
            if left <= 0:
                raise ConnectionFailed(self.connection.last_failure or late)
            if not events:
                self.wait_readable(min(left, _TICK_S))
        return None
