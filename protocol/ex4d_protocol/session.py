"""The non-blocking client: uploads, submits and follows jobs over a connection that may come and go.

Nothing is lost with a connection: job ids are the client's, so everything unanswered is asked again on the next one.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq

from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.events import (
    CapabilitiesChanged,
    Event,
    JobChanged,
    JobView,
    Reply,
    RequestFailed,
    UploadError,
)
from ex4d_protocol.exchange import JobExchange
from ex4d_protocol.live_requests import LiveRequests
from ex4d_protocol.requests import BlobRef, Request
from ex4d_protocol.tracking import TrackedJob
from ex4d_protocol.uploads import Upload

RATE_LIMITED_PAUSE_S = 0.5


class Session(JobExchange):
    """See :class:`ex4d_protocol.client.Client`, which adds the calls that wait."""

    def __init__(
        self,
        address: str,
        *,
        client_name: str = "client",
        client_id: str | None = None,
        server_key: bytes | None = None,
        keypair: tuple[bytes, bytes] | None = None,
        context: zmq.Context[Any] | None = None,
        versions: Mapping[str, str] | None = None,
        operator: str = "",
    ):
        super().__init__(
            address,
            client_name=client_name,
            client_id=client_id,
            server_key=server_key,
            keypair=keypair,
            context=context,
            versions=versions,
            operator=operator,
        )
        self._questions: set[int] = set()
        self._live = LiveRequests()
        self._have_asked: dict[int, list[BlobRef]] = {}
        self._waiting_until = 0.0
        self._waiting: list[Callable[[], object]] = []

    # --- what a caller asks for ---------------------------------------------------------------------------

    @property
    def jobs(self) -> Mapping[str, JobView]:
        """Every job submitted or followed here, by id."""
        return {job_id: job.view for job_id, job in self._jobs.items()}

    def close(self) -> None:
        """Leave at once. Jobs go on on the server; what was not sent yet is dropped."""
        super().close()
        self._uploads.close()

    def upload(self, source: str | Path | bytes | memoryview, *, name: str = "") -> Upload:
        """Hash a file or bytes (in slices, inside poll) and send what the server lacks.

        Bytes are not copied: do not change them until :class:`Uploaded` is reported. Raises UploadFailed if the
        file cannot be read.
        """
        return self._uploads.add(source, name)

    def submit(
        self,
        request: Request | Callable[[], Request],
        *,
        after: Sequence[Upload] = (),
        job_id: str | None = None,
        priority: int = 0,
        title: str = "",
        fetch: bool = True,
    ) -> str:
        """Run a job once its blobs are on the server; returns its id.

        A callable ``request`` is called when every upload in ``after`` is hashed, so that it may use their
        ``ref``. With ``fetch`` its items are streamed as they are done. Submitting an id twice changes nothing.
        """
        job_id = job_id or uuid.uuid4().hex
        if job_id not in self._jobs:
            make = request if callable(request) else lambda: request
            self._jobs[job_id] = TrackedJob(
                JobView(job_id), make_request=make, after=tuple(after), priority=priority, title=title, fetch=fetch
            )
        return job_id

    def follow(self, job_id: str, *, fetch: bool = True, received: Iterable[tuple[str, int]] = ()) -> None:
        """Take up a job from an earlier run of this program (same ``client_id``).

        ``received`` names the (name, frame) items that are safe already and need not be delivered again.
        """
        if job_id not in self._jobs:
            view = JobView(job_id, submitted=True, received=dict.fromkeys(received, 0))
            self._jobs[job_id] = TrackedJob(view, stage="asking", fetch=fetch)
            if self.state == "connected":
                self._ask_job(self._jobs[job_id])

    def cancel(self, job_id: str) -> None:
        """Stop this job and no other; also before it was sent."""
        job = self._jobs[job_id]
        if job.stage == "gathering":
            job.stage = "over"
            job.view.state = m.JobState(job_id=job_id, phase="cancelled", message="Cancelled before it was sent.")
            self._events.append(JobChanged(job.view.state))
        elif job.stage != "over" and not job.final:
            job.cancel_wanted = True
            self._tell(m.CancelJob(job_id=job_id))

    def fetch(self, job_id: str) -> None:
        """Stream the job's items from where they stopped."""
        job = self._jobs[job_id]
        job.fetch = True
        self._fetch_if_wanted(job)

    def ack(self, job_id: str) -> None:
        """Everything received is safe here: the server may delete the job's results."""
        job = self._jobs[job_id]
        job.ack_wanted = True
        self._tell(m.AckResults(job_id=job_id), job_id=job_id)

    def question(self, message: msgspec.Struct) -> int:
        """Send any control message that has one answer; it comes as Reply or RequestFailed with this id.

        If there is no connection, or it is lost before the answer, RequestFailed is reported at once.
        """
        request_id = self._tell(message)
        if request_id is None:
            request_id = next(self._ids)
            self._events.append(RequestFailed(request_id, self._no_connection()))
        else:
            self._questions.add(request_id)
        return request_id

    def live(self, view: m.LiveView) -> int:
        """Ask what cameras see now. LiveAnswer events with this id follow, or RequestFailed; never both as the last."""
        request_id = self._tell(view)
        if request_id is None:
            request_id = next(self._ids)
            self._events.append(RequestFailed(request_id, self._no_connection()))
        else:
            self._live.asked(request_id)
        return request_id

    # --- the tick -----------------------------------------------------------------------------------------

    def poll(self, budget_s: float = 0.002) -> list[Event]:
        """Do what can be done now, for about ``budget_s`` seconds, and report what happened.

        What is begun when the time is over is at most one part of an item (4 MiB) and 1 MiB of an upload.
        """
        now = time.monotonic()
        deadline = now + budget_s
        self._tick(now + budget_s / 2 if self._uploads.busy else deadline)
        if time.monotonic() >= self._waiting_until:
            self._do_what_waited()
            self._advance_jobs()
        self._events.extend(self._uploads.hash_some(deadline))
        if self.state == "connected" and time.monotonic() >= self._waiting_until:
            self._ask_blobs()
            self._send_chunks(deadline)
        events = list(self._events)
        self._events.clear()
        return events

    def wait_readable(self, timeout_s: float) -> None:
        """Sleep until there may be something to do; for callers that may block."""
        if not (self._events or self._uploads.busy):
            super().wait_readable(timeout_s)

    # --- receiving ---------------------------------------------------------------------------------------

    def _handle(self, received: framing.Received) -> None:
        message, reply_to = received.message, received.header.reply_to
        match message:
            case m.Item():
                self._take_item(message, received)
            case m.ChunkAck():
                self._events.extend(self._uploads.told_ack(message))
            case m.JobState() | m.JobAccepted():
                self._job_requests.pop(reply_to, None)
                self._take_state(message.state if isinstance(message, m.JobAccepted) else message)
            case m.ResultsEnd():
                job = self._jobs.get(message.job_id)
                if job is not None and reply_to in (0, job.fetch_request):
                    self._events.extend(job.take_end(message))
            case m.LivePicture() | m.LiveCoverage() | m.LiveProgress() | m.LiveSuperseded():
                self._events.extend(self._live.answered(reply_to, message, received.blobs))
            case m.BlobsMissing():
                self._events.extend(self._uploads.told_missing(self._have_asked.pop(reply_to, []), message))
            case m.Capabilities():
                self.capabilities = message
                self._events.append(CapabilitiesChanged(message))
            case m.Welcome():
                self._take_welcome(message)
            case m.Attached():
                self._take_attached()
            case m.ErrorReply():
                self._take_error(message, reply_to)
            case m.Pong():
                pass
            case _:
                self._job_requests.pop(reply_to, None)
        if reply_to in self._questions:
            self._questions.discard(reply_to)
            self._events.append(Reply(reply_to, message))

    def _attached(self) -> None:
        self._uploads.window = max(1, self.capabilities.limits.upload_window)
        self._uploads.restart()
        for job in self._jobs.values():
            if job.stage == "submitting":
                job.stage = "gathering"
            elif job.stage in ("confirmed", "asking") and not (job.final and job.view.results_complete):
                self._ask_job(job)
            if job.cancel_wanted and not job.final:
                self._tell(m.CancelJob(job_id=job.view.job_id))
            if job.ack_wanted:
                self._tell(m.AckResults(job_id=job.view.job_id))

    def _lost(self) -> None:
        for request_id in self._questions:
            self._events.append(RequestFailed(request_id, self._no_connection()))
        self._events.extend(self._live.lost(self._no_connection()))
        self._questions.clear()
        self._have_asked.clear()
        self._job_requests.clear()
        self._waiting.clear()  # the next connection asks everything anew
        for job in self._jobs.values():
            job.fetching = False
            job.drop_parts()

    def _no_connection(self) -> m.ErrorReply:
        text = self.last_failure or f"There is no connection to {self.address} yet."
        return m.ErrorReply(code="no_session", message=text)

    def _take_error(self, error: m.ErrorReply, reply_to: int) -> None:
        job_id = self._job_requests.pop(reply_to, error.job_id)
        if self._live.failed(reply_to):
            self._events.append(RequestFailed(reply_to, error))
        elif error.code == "rate_limited" and self.state == "connected" and reply_to not in self._questions:
            self._wait_a_little(error, reply_to, self._jobs.get(job_id))
        elif error.code == "incompatible" and self.state == "connecting":
            self._take_incompatible(error.message)
        elif error.code == "no_session":
            self._lose("it has restarted and no longer knows this session")
        elif error.code == "not_allowed" and not reply_to:
            self._lose(error.message.rstrip("."))
        elif reply_to in self._questions:
            self._questions.discard(reply_to)
            self._events.append(RequestFailed(reply_to, error))
        elif reply_to in self._have_asked:
            for ref in self._have_asked.pop(reply_to):
                self._events.extend(self._uploads.refused(ref.sha256, error.message))
        elif error.detail.startswith("blob "):
            self._events.extend(self._uploads.refused(error.detail[5:], error.message))
        elif job_id in self._jobs:
            self._take_job_error(self._jobs[job_id], error)
        elif self.state == "connecting":
            self._lose(error.message)

    def _wait_a_little(self, error: m.ErrorReply, reply_to: int, job: TrackedJob | None) -> None:
        """The server asks for patience: do what it refused again later, and nothing new until then."""
        self._waiting_until = time.monotonic() + RATE_LIMITED_PAUSE_S
        if reply_to in self._have_asked:
            refs = self._have_asked.pop(reply_to)
            self._waiting.append(lambda: self._uploads.ask_again(refs))
        elif error.detail.startswith("blob "):
            self._waiting.append(lambda: self._uploads.send_again(error.detail[5:]))
        elif job is not None and job.stage == "submitting":
            job.stage = "gathering"
        elif job is not None and job.stage == "asking":
            self._waiting.append(lambda: self._ask_job(job))
        elif job is not None and job.ack_wanted:
            self._waiting.append(lambda: self.ack(job.view.job_id))
        else:
            for each in self._jobs.values():
                if each.fetching and each.fetch_request == reply_to:
                    each.fetching = False
                    self._waiting.append(lambda fetched=each: self._fetch_if_wanted(fetched))

    def _do_what_waited(self) -> None:
        waiting, self._waiting = self._waiting, []
        for again in waiting:
            again()

    # --- sending blobs ------------------------------------------------------------------------------------

    def _ask_blobs(self) -> None:
        refs = self._uploads.to_ask()
        if refs:
            request_id = self._tell(m.HaveBlobs(blobs=tuple(refs)))
            if request_id is not None:
                self._have_asked[request_id] = refs

    def _send_chunks(self, deadline: float) -> None:
        while self._data is not None and (chunk := self._uploads.next_chunk()) is not None:
            if isinstance(chunk, UploadError):
                self._events.append(chunk)
                continue
            message, data = chunk
            self._data.send(message, request_id=next(self._ids), blobs=[data])
            if time.monotonic() >= deadline:
                return
