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
from ex4d_protocol.connection import Connection
from ex4d_protocol.errors import DamagedItem, UploadFailed
from ex4d_protocol.events import (
    CapabilitiesChanged,
    Event,
    JobChanged,
    JobRejected,
    JobView,
    Reply,
    RequestFailed,
    UploadError,
)
from ex4d_protocol.requests import BlobRef, Request, blobs_of
from ex4d_protocol.tracking import TrackedJob
from ex4d_protocol.uploads import Upload, UploadQueue

MAX_RESUBMISSIONS = 3
MAX_DAMAGED = 3
"""Times one item may come with a wrong checksum before its job's results are given up."""
RATE_LIMITED_PAUSE_S = 0.5
CREDIT = 32
"""Item messages a job may have under way: at most 128 MiB wait for a client that does not read."""


class Session(Connection):
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
    ):
        super().__init__(
            address,
            client_name=client_name,
            client_id=client_id,
            server_key=server_key,
            keypair=keypair,
            context=context,
            versions=versions,
        )
        self._questions: set[int] = set()
        self._have_asked: dict[int, list[BlobRef]] = {}
        self._job_requests: dict[int, str] = {}
        self._uploads = UploadQueue()
        self._waiting_until = 0.0
        self._waiting: list[Callable[[], object]] = []
        self._jobs: dict[str, TrackedJob] = {}

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

    # --- the tick -----------------------------------------------------------------------------------------

    def poll(self, budget_s: float = 0.004) -> list[Event]:
        """Do what can be done now, for about ``budget_s`` seconds at most, and report what happened."""
        deadline = time.monotonic() + budget_s
        self._tick(deadline)
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

    def _take_state(self, state: m.JobState) -> None:
        job = self._jobs.get(state.job_id)
        if job is not None and not job.view.rejected:
            job.take_state(state)
            self._events.append(JobChanged(state))
            self._fetch_if_wanted(job)

    def _take_item(self, item: m.Item, received: framing.Received) -> None:
        job = self._jobs.get(item.job_id)
        if job is None or not received.blobs or received.header.reply_to not in (0, job.fetch_request):
            return  # the rest of an earlier GetResults, still under way when a later one was sent
        try:
            self._events.extend(job.take_item(item, received.blobs[0]))
        except DamagedItem as error:
            self._fetch_again(job, str(error))
            return
        # Given back a few at a time: each Credit wakes the server.
        job.owed_credit += 1
        if job.owed_credit >= CREDIT // 4 and self._data is not None:
            self._data.send(m.Credit(job_id=item.job_id, more=job.owed_credit))
            job.owed_credit = 0

    def _fetch_again(self, job: TrackedJob, damage: str) -> None:
        """Ask for the items from the damaged one on once more; give the job's results up if that does not help."""
        if job.damaged < MAX_DAMAGED:
            job.fetching = False
            self._fetch_if_wanted(job)
        else:
            text = f"{damage[:-1]}, {job.damaged} times; the backend's disk or the connection is faulty."
            self._reject(job, "item_damaged", text)

    def _take_error(self, error: m.ErrorReply, reply_to: int) -> None:
        job_id = self._job_requests.pop(reply_to, error.job_id)
        if error.code == "rate_limited" and self.state == "connected" and reply_to not in self._questions:
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

    def _take_job_error(self, job: TrackedJob, error: m.ErrorReply) -> None:
        retry = error.code in ("blob_missing", "unknown_job") and job.request is not None
        if job.stage in ("submitting", "confirmed", "asking") and retry and not job.final:
            job.resubmissions += 1
            if job.resubmissions <= MAX_RESUBMISSIONS:  # the server has lost it: its store was cleared
                self._uploads.ask_again(job.blobs)
                job.stage, job.view.submitted = "gathering", False
                return
        if job.stage in ("submitting", "asking") or (job.stage == "confirmed" and retry):
            self._reject(job, error.code, error.message)

    # --- sending ------------------------------------------------------------------------------------------

    def _tell(self, message: msgspec.Struct, *, job_id: str | None = None) -> int | None:
        """Send on the control socket if connected; returns the request's id."""
        if self.state != "connected" or self._control is None:
            return None
        request_id = next(self._ids)
        if job_id is not None:
            self._job_requests[request_id] = job_id
        return request_id if self._control.send(message, request_id=request_id) else None

    def _ask_job(self, job: TrackedJob) -> None:
        job.fetching = False
        self._tell(m.GetJob(job_id=job.view.job_id), job_id=job.view.job_id)

    def _fetch_if_wanted(self, job: TrackedJob) -> None:
        wanted = job.fetch and job.stage == "confirmed" and not job.view.results_complete
        if wanted and not job.fetching and self._data is not None and self.state == "connected":
            job.fetching, job.owed_credit = True, 0
            job.drop_parts()
            get = m.GetResults(job_id=job.view.job_id, from_item=job.next_item, attempt=job.attempt, credit=CREDIT)
            job.fetch_request = next(self._ids)
            self._data.send(get, request_id=job.fetch_request)

    def _advance_jobs(self) -> None:
        """Send each gathering job whose uploads are all on the server."""
        for job in self._jobs.values():
            if job.stage != "gathering" or (job.request is None and not self._make_request(job)):
                continue
            uploads = [self._uploads.need(blob) for blob in job.blobs]
            failed = next((u for u in uploads if u.error), None)
            if failed is not None:
                self._reject(job, "blob_missing", failed.error)
            elif self.state == "connected" and all(u.at_server for u in uploads) and job.request is not None:
                submit = m.SubmitJob(
                    job_id=job.view.job_id, request=job.request, priority=job.priority, title=job.title[:128]
                )
                job.stage = "submitting"
                self._tell(submit, job_id=job.view.job_id)

    def _make_request(self, job: TrackedJob) -> bool:
        """Have the caller's request made once its uploads are hashed; whether it is there."""
        failed = next((u for u in job.after if u.error), None)
        if failed is not None:
            self._reject(job, "blob_missing", failed.error)
        if failed is not None or not all(u.hashed for u in job.after) or job.make_request is None:
            return False
        try:
            job.request = job.make_request()
        except UploadFailed as error:
            self._reject(job, "blob_missing", str(error))
            return False
        job.blobs = tuple(blobs_of(job.request).values())
        return True

    def _reject(self, job: TrackedJob, code: str, message: str) -> None:
        job.stage, job.view.rejected = "over", message
        self._events.append(JobRejected(job.view.job_id, code, message))

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
