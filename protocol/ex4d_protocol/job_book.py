"""The client's half of every job: submitted once its uploads are there, followed, its items fetched and checked.

Nothing is lost with a connection: job ids are the client's, so everything unanswered is asked again on the next one.
"""

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from ex4d_ground.remedies import Remedy
from ex4d_protocol import messages as m
from ex4d_protocol import minors
from ex4d_protocol.base import MAX_RESULT_STREAMS
from ex4d_protocol.connection import Connection
from ex4d_protocol.errors import DamagedItem, RequestRefused, UploadFailed
from ex4d_protocol.events import Event, JobChanged, JobRejected, ResultsComplete
from ex4d_protocol.framing import Received
from ex4d_protocol.requests import Request, blobs_of
from ex4d_protocol.tracked_job import TrackedJob
from ex4d_protocol.uploads import Upload, UploadQueue

MAX_RESUBMISSIONS = 3
MAX_DAMAGED = 3
"""Times one item may come with a wrong checksum before its job's results are given up."""
CREDIT = 32
"""Item messages a job may have under way: at most 128 MiB wait for a client that does not read."""
MAX_FETCHES, MAX_WAITING_FETCHES = MAX_RESULT_STREAMS * 3 // 4, MAX_RESULT_STREAMS // 4
"""Result streams under way at a time, and how many of them may be of jobs that still wait for their turn: those must
never keep what is done from being delivered. The server's own limit is not used up, for what it may still count."""


class JobBook:
    """Every job of one client, and what the server says of them."""

    def __init__(self, connection: Connection, uploads: UploadQueue, events: deque[Event]):
        self.tracked: dict[str, TrackedJob] = {}
        self._connection = connection
        self._uploads = uploads
        self._events = events
        self._asked: dict[int, str] = {}
        """Which job an unanswered request is about."""
        self._fetching: set[str] = set()
        """Jobs whose GetResults was sent in this connection and has not ended."""
        self._to_fetch: dict[str, None] = {}
        """Jobs that wait for one of those to end, in order."""

    # --- what a caller asks for ---------------------------------------------------------------------------

    def submit(
        self,
        request: Request | Callable[[], Request],
        *,
        after: Sequence[Upload] = (),
        job_id: str | None = None,
        priority: int = 0,
        title: str = "",
        fetch: bool = True,
        frees: bool = False,
    ) -> str:
        """Run a job once its blobs are on the server; returns its id.

        A callable ``request`` is called when every upload in ``after`` is hashed, so that it may use their
        ``ref``. With ``fetch`` its items are streamed as they are done. With ``frees`` the server deletes them as they
        arrive: a later run of this program cannot take the job up again. Submitting an id twice changes nothing.
        """
        job_id = job_id or uuid.uuid4().hex
        if job_id not in self.tracked:
            make = request if callable(request) else lambda: request
            how = {"priority": priority, "title": title, "fetch": fetch, "frees": frees}
            self.tracked[job_id] = TrackedJob(job_id, request=make, after=tuple(after), **how)
        return job_id

    def follow(self, job_id: str, *, fetch: bool = True, received: Iterable[tuple[str, int]] = ()) -> None:
        """Take up a job from an earlier run of this program (same ``client_id``).

        ``received`` names the (name, frame) items that are safe already and need not be delivered again.
        """
        if job_id not in self.tracked:
            known = dict.fromkeys(received, 0)
            self.tracked[job_id] = TrackedJob(job_id, submitted=True, received=known, stage="asking", fetch=fetch)
            self._ask_state(self.tracked[job_id])

    def cancel(self, job_id: str) -> None:
        """Stop this job and no other; also before it was sent."""
        job = self.tracked[job_id]
        if job.stage == "gathering":
            job.stage = "over"
            job.state = m.JobState(job_id=job_id, phase="cancelled", message="Cancelled before it was sent.")
            self._events.append(JobChanged(job.state))
        elif job.stage != "over" and not job.final:
            job.cancel_wanted = True
            self._connection.tell(m.CancelJob(job_id=job_id))

    def fetch(self, job_id: str) -> None:
        """Stream the job's items from where they stopped."""
        job = self.tracked[job_id]
        job.fetch = True
        self._fetch_if_wanted(job)

    def ack(self, job_id: str) -> None:
        """Everything received is safe here: the server may delete the job's results."""
        self.tracked[job_id].ack_wanted = True
        self._ask(m.AckResults(job_id=job_id))

    def advance(self) -> None:
        """Send each gathering job whose uploads are all on the server, and ask for results whose turn it is."""
        for job_id in list(self._to_fetch):
            self._fetch_if_wanted(self.tracked[job_id])
        for job in self.tracked.values():
            if job.stage == "gathering":
                try:
                    self._gather(job)
                except UploadFailed as error:
                    self._reject(job, "blob_missing", str(error))
                except RequestRefused as error:
                    self._reject(job, error.code, str(error), error.remedy)

    def _gather(self, job: TrackedJob) -> None:
        """Have the request made once its uploads are hashed, and send it once they are there.

        Raises UploadFailed, and RequestRefused where the server is too old for it.
        """
        if callable(job.request):
            _check(job.after)
            if not all(upload.hashed for upload in job.after):
                return
            job.request = job.request()
            job.blobs = tuple(blobs_of(job.request).values())
        welcome = self._connection.welcome
        if job.request and welcome is not None and self._connection.state == "connected" and job.fits is not welcome:
            job.adapted = minors.adapted(job.request, welcome)
            minors.require(job.adapted, welcome)
            job.fits = welcome
        uploads = [self._uploads.need(blob) for blob in job.blobs]
        _check(uploads)
        if self._connection.state != "connected" or not all(upload.at_server for upload in uploads):
            return
        if job.adapted is not None:
            job.stage = "submitting"
            title = job.title[:128]
            self._ask(m.SubmitJob(job_id=job.job_id, request=job.adapted, priority=job.priority, title=title))

    # --- what the server says -----------------------------------------------------------------------------

    def attached(self) -> None:
        """A new connection: ask again whatever is open."""
        for job in self.tracked.values():
            if job.stage == "submitting":
                job.stage = "gathering"
            elif job.stage in ("confirmed", "asking") and not (job.final and job.results_complete):
                self._ask_state(job)
            if job.cancel_wanted and not job.final:
                self._connection.tell(m.CancelJob(job_id=job.job_id))
            if job.ack_wanted:
                self._connection.tell(m.AckResults(job_id=job.job_id))

    def lost(self) -> None:
        """The connection is gone: nothing asked over it will be answered."""
        for open_requests in (self._asked, self._fetching, self._to_fetch):
            open_requests.clear()
        for job in self.tracked.values():
            job.drop_parts()

    def answered(self, reply_to: int) -> None:
        """A request was not refused."""
        self._asked.pop(reply_to, None)

    def take_state(self, state: m.JobState) -> None:
        """Note the server's word on a job."""
        job = self.tracked.get(state.job_id)
        if job is not None and not job.rejected:
            job.state, job.submitted, job.stage = state, True, "confirmed"
            self._events.append(JobChanged(state))
            self._fetch_if_wanted(job)

    def take_item(self, item: m.Item, received: Received) -> None:
        """Take one Item message. Raises FrameError if it does not fit."""
        job = self.tracked.get(item.job_id)
        if job is None or not received.blobs or received.header.reply_to not in (0, job.fetch_request):
            return  # the rest of an earlier GetResults, still under way when a later one was sent
        try:
            event = job.take_item(item, received.blobs[0])
        except DamagedItem as error:
            if job.damaged >= MAX_DAMAGED:
                text = f"{str(error)[:-1]}, {job.damaged} times; the backend's disk or the connection is faulty."
                job.lose(item.index, text)
            # Ask for the items from this one on once more, or for those after it.
            self._fetching.discard(job.job_id)
            self._fetch_if_wanted(job)
            return
        if event is not None:
            self._events.append(event)
        # Given back a few at a time: each Credit wakes the server.
        job.owed_credit += 1
        if job.owed_credit >= CREDIT // 4 and self._connection.data is not None:
            freed = job.next_item if job.frees and not job.lost else 0
            self._connection.data.send(
                m.Credit(job_id=item.job_id, more=job.owed_credit, freed=freed, attempt=job.attempt)
            )
            job.owed_credit = 0

    def take_end(self, end: m.ResultsEnd, reply_to: int) -> None:
        """Note that no more items come."""
        job = self.tracked.get(end.job_id)
        if job is not None and reply_to in (0, job.fetch_request):
            self._fetching.discard(job.job_id)
            if job.lost and not job.rejected and end.phase == "done":  # of one that failed, the reason is what counts
                first = next(iter(job.lost.values()))
                more = f" So are {len(job.lost) - 1} more." if len(job.lost) > 1 else ""
                self._reject(job, "item_damaged", f"{first}{more} The other {len(job.received)} items are here.")
            elif not job.results_complete:
                job.results_complete = True
                self._events.append(ResultsComplete(end.job_id, len(job.received), end.phase))

    def refused(self, error: m.ErrorReply, reply_to: int) -> bool:
        """An error came; whether it is about a job."""
        job = self.tracked.get(self._asked.pop(reply_to, error.job_id))
        fetched = next((self.tracked[i] for i in self._fetching if self.tracked[i].fetch_request == reply_to), None)
        if fetched is not None:
            self._fetching.discard(fetched.job_id)
        if error.code == "item_damaged" and fetched is not None:
            self._fetching.add(fetched.job_id)  # the stream goes on
            number = error.detail.removeprefix("item ")
            fetched.lose(int(number) if number.isdecimal() else -1, error.message)
        elif error.code == "rate_limited":
            self._postpone(job, fetched)
        elif job is not None:
            self._take_error(job, error, about_results=fetched is not None)
        return job is not None

    def _postpone(self, job: TrackedJob | None, fetched: TrackedJob | None) -> None:
        postponed = self._connection.postponed
        if fetched is not None:
            postponed.append(partial(self._fetch_if_wanted, fetched))
        elif job is not None and job.stage == "submitting":
            job.stage = "gathering"
        elif job is not None and job.stage == "asking":
            postponed.append(partial(self._ask_state, job))
        elif job is not None and job.ack_wanted:
            postponed.append(partial(self.ack, job.job_id))

    def _take_error(self, job: TrackedJob, error: m.ErrorReply, *, about_results: bool) -> None:
        retry = error.code in ("blob_missing", "unknown_job") and job.request is not None
        if job.stage in ("submitting", "confirmed", "asking") and retry and not job.final:
            job.resubmissions += 1
            if job.resubmissions <= MAX_RESUBMISSIONS:  # the server has lost it: its store was cleared
                self._uploads.ask_again(job.blobs)
                job.stage, job.submitted = "gathering", False
                return
        if job.stage in ("submitting", "asking") or (job.stage == "confirmed" and (retry or about_results)):
            self._reject(job, error.code, error.message, error.remedy)

    # --- sending ------------------------------------------------------------------------------------------

    def _ask(self, message: m.SubmitJob | m.GetJob | m.AckResults) -> None:
        request_id = self._connection.tell(message)
        if request_id is not None:
            self._asked[request_id] = message.job_id

    def _ask_state(self, job: TrackedJob) -> None:
        self._fetching.discard(job.job_id)
        self._ask(m.GetJob(job_id=job.job_id))

    def _fetch_if_wanted(self, job: TrackedJob) -> None:
        """Ask for a job's items, or note that it is to be done when fewer streams are under way."""
        self._to_fetch.pop(job.job_id, None)
        if not job.fetch or job.stage != "confirmed" or job.results_complete or job.job_id in self._fetching:
            return
        waits = job.state is not None and job.state.phase == "queued"
        if len(self._fetching) >= (MAX_WAITING_FETCHES if waits else MAX_FETCHES):
            self._to_fetch[job.job_id] = None
            return
        get = m.GetResults(job_id=job.job_id, from_item=job.next_item, attempt=job.attempt, credit=CREDIT)
        request_id = self._connection.tell(get, bulk=True)
        if request_id is not None:
            self._fetching.add(job.job_id)
            job.fetch_request, job.owed_credit = request_id, 0
            job.drop_parts()

    def _reject(self, job: TrackedJob, code: str, message: str, remedy: Remedy | None = None) -> None:
        job.stage, job.rejected, job.rejected_code, job.remedy = "over", message, code, remedy
        self._fetching.discard(job.job_id)
        self._events.append(JobRejected(job.job_id, code, message, remedy))


def _check(uploads: Iterable[Upload]) -> None:
    """Raise UploadFailed if one of them has failed."""
    for upload in uploads:
        if upload.error:
            raise UploadFailed(upload.error)
