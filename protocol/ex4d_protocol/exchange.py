"""The client's half of every job: submitted once its uploads are there, followed, its items fetched and checked.

Nothing is lost with a connection: job ids are the client's, so everything unanswered is asked again on the next one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.connection import Connection
from ex4d_protocol.errors import DamagedItem, UploadFailed
from ex4d_protocol.events import JobChanged, JobRejected
from ex4d_protocol.requests import blobs_of
from ex4d_protocol.tracking import TrackedJob
from ex4d_protocol.uploads import UploadQueue

MAX_RESUBMISSIONS = 3
MAX_DAMAGED = 3
"""Times one item may come with a wrong checksum before its job's results are given up."""
CREDIT = 32
"""Item messages a job may have under way: at most 128 MiB wait for a client that does not read."""


class JobExchange(Connection):
    """What is said about jobs, both ways. Not used by itself: see :class:`~ex4d_protocol.session.Session`."""

    def __init__(self, address: str, **kwargs: Any):
        super().__init__(address, **kwargs)
        self._job_requests: dict[int, str] = {}
        """Which job an unanswered request is about."""
        self._uploads = UploadQueue()
        self._jobs: dict[str, TrackedJob] = {}

    # --- receiving ---------------------------------------------------------------------------------------

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
