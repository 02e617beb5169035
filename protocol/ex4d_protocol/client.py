"""The typed client used by the add-on, the CLI and the tests.

In a program with its own loop, call :meth:`Client.poll` from a timer and never anything that waits. A script calls
the ``wait_`` and ``ask_`` methods, which poll inside. No threads either way.

    client = Client("tcp://127.0.0.1:7764", client_name="my script")
    client.connect()
    client.wait_connected()
    video, depth = client.upload("shot.mp4"), client.upload("depth.npz")
    job = client.submit(lambda: BuildMesh(clip=ClipSpec(
        video=Media(kind="video", blobs=(video.ref,)), depth=Media(kind="npz", blobs=(depth.ref,)))),
        after=[video, depth])
    client.wait_job(job, on_event=print)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from ex4d_protocol import messages as m
from ex4d_protocol.connection import ConnectionState
from ex4d_protocol.errors import (
    ConnectionFailed,
    IncompatibleError,
    JobCancelled,
    JobFailed,
    ProtocolError,
    RequestRefused,
)
from ex4d_protocol.events import Event, Reply, RequestFailed
from ex4d_protocol.session import Session
from ex4d_protocol.uploads import Upload

__all__ = ["Client", "ConnectionState", "Upload"]

_TICK_S = 0.25
"""Longest sleep of a waiting call, so that pings go out."""


class Client(Session):
    """A client of one backend. See :class:`~ex4d_protocol.session.Session` for what never waits.

    ``address`` is the control socket's, such as ``tcp://127.0.0.1:7764``. ``client_id`` (kept by the caller over
    restarts) owns the jobs. ``server_key`` and ``keypair`` are Z85 CURVE keys for a backend on another machine.
    ``operator`` is the secret in the backend's data folder, for those who look after all clients' jobs.
    """

    # --- questions without waiting ------------------------------------------------------------------------

    def query_preset(self, query: m.PresetQuery) -> int:
        """Ask for a preset's cameras; a Reply event with PresetReply follows."""
        return self.question(query)

    def query_cost(self, query: m.CostQuery) -> int:
        """Ask what a take would cost; a Reply event with CostReply follows."""
        return self.question(query)

    def list_jobs(self, *, unacknowledged_only: bool = False) -> int:
        """Ask for this client's jobs; a Reply event with JobList follows."""
        return self.question(m.ListJobs(unacknowledged_only=unacknowledged_only))

    def ask_health(self) -> int:
        """Ask how the server is; a Reply event with Health follows."""
        return self.question(m.GetHealth())

    def job_log(self, job_id: str) -> int:
        """Ask for a job's log; a Reply event with JobLog follows."""
        return self.question(m.GetJobLog(job_id=job_id))

    # --- waiting calls, for scripts -----------------------------------------------------------------------

    def wait_for(
        self,
        wanted: Callable[[Event], bool],
        timeout_s: float | None,
        *,
        on_event: Callable[[Event], None] | None = None,
    ) -> Event:
        """Poll until an event is ``wanted``; every event up to it goes to ``on_event``.

        Raises ConnectionFailed when the time is over, IncompatibleError if the versions do not fit.
        """
        found = self._wait(timeout_s, on_event, wanted)
        if found is None:
            raise ConnectionFailed(self.last_failure or f"Nothing came from {self.address} in {timeout_s:g} seconds.")
        return found

    def wait_connected(self, timeout_s: float = 10.0) -> m.Welcome:
        """Wait for the handshake. Raises ConnectionFailed (with the reason) or IncompatibleError."""
        self._wait(timeout_s, None, lambda _: self.state == "connected", enough=lambda: self.state == "connected")
        if self.state != "connected" or self.welcome is None:
            reason = self.last_failure or f"No backend answered at {self.address} within {timeout_s:g} seconds."
            raise ConnectionFailed(f"{reason} Start one with: ex4d-backend")
        return self.welcome

    def wait_uploaded(self, upload: Upload, timeout_s: float | None = None) -> Upload:
        """Wait until the server has every byte. Raises RequestRefused if it cannot."""
        self._wait(timeout_s, None, None, enough=lambda: upload.at_server or bool(upload.error))
        if upload.error:
            raise RequestRefused(upload.error, code="blob_missing")
        if not upload.at_server:
            raise ConnectionFailed(self.last_failure or f"{upload.name} was not uploaded in {timeout_s} seconds.")
        return upload

    def wait_job(
        self,
        job_id: str,
        timeout_s: float | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
    ) -> m.JobState:
        """Wait until the job is done and, if fetched, every item was given to ``on_event``.

        Reconnects on the way if need be. Raises JobFailed, JobCancelled, RequestRefused, or ConnectionFailed when
        the time is over.
        """
        job = self._jobs[job_id]

        def over() -> bool:
            return bool(job.view.rejected) or (
                job.final and (job.view.results_complete or not job.fetch or job.stage == "over")
            )

        self._wait(timeout_s, on_event, None, enough=over)
        state = job.view.state
        if job.view.rejected:
            raise RequestRefused(job.view.rejected, code="job_rejected")
        if state is None or not over():
            raise ConnectionFailed(self.last_failure or f"Job {job_id} did not end within {timeout_s} seconds.")
        if state.phase == "failed":
            raise JobFailed(state.message)
        if state.phase == "cancelled":
            raise JobCancelled(state.message or "Cancelled.")
        return state

    def ask(self, message: msgspec.Struct, timeout_s: float = 10.0) -> Any:
        """Ask one question and wait for its answer. Raises RequestRefused or ConnectionFailed."""
        request_id = self.question(message)
        answer = self.wait_for(lambda e: isinstance(e, Reply | RequestFailed) and e.request_id == request_id, timeout_s)
        if isinstance(answer, RequestFailed):
            raise RequestRefused(answer.error.message, code=answer.error.code)
        if not isinstance(answer, Reply):
            raise ProtocolError(f"Expected a reply, got {type(answer).__name__}.")
        return answer.message

    def ask_preset(self, query: m.PresetQuery, timeout_s: float = 10.0) -> m.PresetReply:
        """The cameras of a preset. Raises RequestRefused for an unknown one or a bad amount."""
        return self.ask(query, timeout_s)

    def _wait(
        self,
        timeout_s: float | None,
        on_event: Callable[[Event], None] | None,
        wanted: Callable[[Event], bool] | None,
        *,
        enough: Callable[[], bool] = lambda: False,
    ) -> Event | None:
        """Poll until ``wanted`` or ``enough`` or the time is over. Raises IncompatibleError.

        Events behind the wanted one stay for the next poll.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not enough():
            events = self.poll(0.05)
            for i, event in enumerate(events):
                if on_event is not None:
                    on_event(event)
                if wanted is not None and wanted(event):
                    self._events.extendleft(reversed(events[i + 1 :]))
                    return event
            if self.state == "incompatible":
                raise IncompatibleError(self.last_failure)
            left = _TICK_S if end is None else end - time.monotonic()
            if left <= 0:
                break
            if not events and not enough():
                self.wait_readable(min(left, _TICK_S))
        return None
