"""The job scheduler: accepts, queues, runs, cancels and ends jobs. Belongs to the I/O loop; computes nothing itself."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

import msgspec

from ex4d_backend.admission import Admission
from ex4d_backend.blobs import BlobStore
from ex4d_backend.child_messages import BlobMade, FromJob, JobEnded, JobProgress, RunJob
from ex4d_backend.client_errors import Refusal, for_client, without_paths
from ex4d_backend.job_folders import JobFolders
from ex4d_backend.job_progress import share_of
from ex4d_backend.job_rows import Job
from ex4d_backend.pool import FETCHES, Pool
from ex4d_backend.settings import ServerSettings
from ex4d_backend.store import JobStore
from ex4d_backend.sweep import Sweep
from ex4d_backend.worker_state import WorkerState
from ex4d_ground.errors import Ex4dError, OutputError
from ex4d_ground.remedies import Failure
from ex4d_protocol import messages as m
from ex4d_protocol.requests import BlobRef, Request, blobs_of

log = logging.getLogger("ex4d_backend.scheduler")

PUSH_EVERY_S = 0.1
QUEUE_NEWS, QUEUE_NEWS_EVERY_S = 50, 0.5
"""So many of the waiting jobs hear of their place, so often: a queue of a thousand must not fill the loop."""
LISTED_WHOLE, SHORT_MESSAGE = 500, 300
"""In a longer list, messages are cut to so many characters."""
START_PAUSE_S = 1.0
"""Before trying again to start jobs when the job table cannot be written."""


class JobScheduler:
    """All jobs of one server."""

    def __init__(
        self,
        settings: ServerSettings,
        store: JobStore,
        blobs: BlobStore,
        pool: Pool,
        *,
        push: Callable[[Job, m.JobState], None],
        check_room: Callable[[int, str], None],
        after_fault: bool = False,
    ) -> None:
        """Take up the store's jobs; ``push`` is called with every change worth telling.

        ``after_fault``: the server before ended by a fault of its own process, which no job can cause.
        """
        self._settings, self.store, self._blobs, self._pool = settings, store, blobs, pool
        self._push = push
        self._admission = Admission(settings, store, blobs, check_room=check_room, forget=self._forget)
        self.folders = JobFolders(settings.folder / "jobs")
        self._queued = {job.job_id: job for job in store.jobs(phase="queued")}
        self._served: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        """How often workers had failed to start when a job came: each waits for one more try at least."""
        self._unread: set[str] = set()
        """Waiting jobs of an earlier run: their blobs are read before they start, for disks fail."""
        self._being_read: set[str] = set()
        self._unpushed: dict[str, Job] = {}
        self._pushed_at = self._start_after = self._queue_sent_at = 0.0
        self._queue_changed, self._sent_trouble = False, ""
        self.draining = False
        self.ended: Counter[str] = Counter()
        """Jobs ended since the start, by phase."""
        self._take_up_lost_jobs(after_fault)
        self.sweep = Sweep(
            settings, store, blobs, self.folders, forget=self._forget, blobs_of=lambda job: blobs_of(self._request(job))
        )

    def _take_up_lost_jobs(self, after_fault: bool) -> None:
        """Jobs that ran when the last server ended start over, unless they seem to be what ended it."""
        for job in [job for job in self.store.jobs() if not job.final]:
            try:
                self._request(job)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                self._queued.pop(job.job_id, None)
                self.store.set_aside(job, error)
        self.folders.discard_scratch()  # of workers that were killed
        for job in self.store.jobs(phase="running"):
            if job.cancelling:
                self.store.set_phase(job, "cancelled", "Cancelled; the backend was restarted meanwhile.")
            elif not after_fault and (ends := job.attempt - job.crashed) >= self._settings.max_attempts:
                reason = f"The backend ended {ends} times while this job ran; it was not started again."
                self.store.set_phase(job, "failed", reason, Failure(Ex4dError.code))
            else:
                self.folders.discard(self.folders.items(job))
                self.store.start_over(job, crashed=after_fault)
                self._queued[job.job_id] = job
                log.info("job %s starts over (attempt %d)", job.job_id, job.attempt)
        self._queued = dict(sorted(self._queued.items(), key=lambda entry: entry[1].seq))
        self._unread = set(self._queued)

    # --- what clients ask ---------------------------------------------------------------------------------

    def submit(self, owner: str, message: m.SubmitJob) -> m.JobAccepted:
        """Accept a job, or say what became of it. Raises Refusal."""
        request = msgspec.msgpack.encode(message.request)
        known = self.store.get(message.job_id)
        if known is not None:
            if known.owner != owner or not self.store.is_request(message.job_id, request):
                raise Refusal("job_conflict", f"Job id {message.job_id} is in use for something else; take a new one.")
            return m.JobAccepted(state=self.state(known), resumed=True)
        if self.draining:
            raise Refusal("server_draining", "The backend is shutting down; send the job again when it is back.")
        self._admission.check(owner, message.request, request, self._queued.values())
        kind = type(message.request).__name__
        job = self.store.add(
            message.job_id, owner=owner, title=message.title, kind=kind, priority=message.priority, request=request
        )
        self._queued[job.job_id], self._failures[job.job_id] = job, self._pool.try_again(kind)
        log.info("job %s (%s) accepted", job.job_id, kind)
        return m.JobAccepted(state=self.state(job))

    def find(self, owner: str | None, job_id: str) -> Job:
        """A job of this owner; of anyone if None. Raises Refusal."""
        job = self.store.get(job_id)
        if job is None or owner not in (None, job.owner):
            raise Refusal("unknown_job", f"There is no job {job_id} here.", job_id=job_id)
        return job

    def cancel(self, owner: str | None, job_id: str) -> m.CancelAccepted:
        """Stop a job. Raises Refusal for an unknown one."""
        job = self.find(owner, job_id)
        if job.final:
            return m.CancelAccepted(job_id=job_id, already_final=True)
        if self._queued.pop(job_id, None) is not None or not self._pool.stop(job_id):
            self._end(job, "cancelled", "Cancelled before it ran.")
        elif not job.cancelling:
            with suppress(OutputError):  # it stops all the same; only a restart would not know
                self.store.set_cancelling(job)
            self._changed(job, message="Cancelling.")
        return m.CancelAccepted(job_id=job_id)

    def list(self, owner: str | None, *, unacknowledged_only: bool) -> m.JobList:
        """The jobs of an owner; of all if None, with their owners."""
        jobs = self.store.jobs(owner=owner)
        wanted = [j for j in jobs if not (unacknowledged_only and j.acknowledged)]
        places = {job_id: place for place, job_id in enumerate(self._queued)}
        states = [self._state(j, places.get(j.job_id, 0), with_owner=owner is None) for j in wanted]
        if len(states) > LISTED_WHOLE:  # so that any list fits into a message
            states = [msgspec.structs.replace(s, message=s.message[:SHORT_MESSAGE], failure=None) for s in states]
        return m.JobList(jobs=tuple(states))

    def acknowledge(self, owner: str, job_id: str) -> m.ResultsAcknowledged:
        """The client has a final job's results: delete them. Raises Refusal."""
        job = self.find(owner, job_id)
        if not job.final:
            raise Refusal("bad_request", f"Job {job_id} is not over yet; its results stay.", job_id=job_id)
        if not job.acknowledged:
            self.store.acknowledge(job)
            self.folders.discard(self.folders.items(job))
        return m.ResultsAcknowledged(job_id=job_id)

    def free(self, owner: str, job_id: str, below: int, attempt: int) -> None:
        """The client has the items before ``below``, of that attempt, and never asks for them again: delete them."""
        job = self.store.get(job_id)
        if job is None or job.owner != owner or job.attempt != attempt or job.acknowledged:
            return
        with suppress(OutputError):  # then they go with the others, when all are acknowledged
            if gone := self.store.free(job, below):
                self.folders.discard_items(job, gone)

    def log_tail(self, owner: str | None, job_id: str) -> m.JobLog:
        """The end of a job's log. Raises Refusal."""
        return m.JobLog(job_id=job_id, text=self.folders.log_tail(self.find(owner, job_id)))

    def state(self, job: Job, *, with_owner: bool = False) -> m.JobState:
        """A job's state as the wire has it; ``with_owner`` for who sees everyone's."""
        place = sum(q.seq < job.seq for q in self._queued.values()) if job.phase == "queued" else 0
        return self._state(job, place, with_owner=with_owner)

    def _state(self, job: Job, place: int, *, with_owner: bool) -> m.JobState:
        waits = job.phase == "queued"
        state = job.state(place)
        if waits and self._pool.trouble:
            state = msgspec.structs.replace(state, message=self._pool.trouble, queue_position=0)
        return msgspec.structs.replace(state, owner=job.owner[:128]) if with_owner else state

    def _send_queue_positions(self) -> None:
        """Tell the first in the queue where they stand, and everyone if workers fail or work again."""
        self._queue_changed, self._queue_sent_at = False, time.monotonic()
        trouble = self._pool.trouble
        everyone, self._sent_trouble = trouble != self._sent_trouble, trouble
        for position, job in enumerate(list(self._queued.values())):
            if not everyone and position >= QUEUE_NEWS:
                break
            state = job.state(position)
            self._push(job, msgspec.structs.replace(state, message=trouble) if trouble else state)

    @property
    def working(self) -> set[str]:
        """The owners of the jobs that are not over."""
        return {job.owner for job in (*self._queued.values(), *self.store.jobs(phase="running"))}

    @property
    def counts(self) -> tuple[int, int]:
        """Queued and running jobs."""
        return len(self._queued), len(self.store.jobs(phase="running"))

    # --- running ------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Give idle workers jobs, and tell what changed."""
        may_start = not self.draining and time.monotonic() >= self._start_after
        if may_start and self._queued:
            self._pool.want({job.kind for job in self._queued.values()}, sum(self.counts))
            for worker in self._pool.idle():
                free = (job for job in self._queued.values() if job.job_id not in self._being_read)
                waiting = [job for job in free if worker.takes(job.kind) and self._suits(worker, job)]
                job = choose_next(waiting, self.store.jobs(phase="running"), self._served)
                if job is None or not self._may_start(job):
                    continue
                try:
                    self.store.set_phase(job, "running")
                except OutputError as error:
                    log.error("no job is started: %s", error)
                    self._start_after = time.monotonic() + START_PAUSE_S
                    break
                del self._queued[job.job_id]
                self._queue_changed = True
                self._served[job.owner] = time.monotonic()
                worker.run(self._order(job))
                self._send_state(job)
        self._give_up()
        now = time.monotonic()
        self.sweep.step()
        news = self._queue_changed or self._pool.trouble != self._sent_trouble
        if news and now - self._queue_sent_at >= QUEUE_NEWS_EVERY_S:
            self._send_queue_positions()
        if self._unpushed and now - self._pushed_at >= PUSH_EVERY_S:
            self._pushed_at = now
            for job in list(self._unpushed.values()):
                self._send_state(job)

    def _suits(self, worker: WorkerState, job: Job) -> bool:
        return self._pool.suits(worker, job.kind, lambda: self.store.request(job.job_id), job.job_id)

    def _may_start(self, job: Job) -> bool:
        """Whether a job's blobs are known to be right; else they are read first, or it ends for want of one."""
        if job.job_id in self._unread:
            self._unread.discard(job.job_id)
            self._being_read.add(job.job_id)
            refs = blobs_of(self._request(job)).values()
            self._blobs.check((ref.sha256 for ref in refs), lambda: self._have_read(job, refs))
        return job.job_id in self._queued and job.job_id not in self._being_read

    def _have_read(self, job: Job, refs: Collection[BlobRef]) -> None:
        self._being_read.discard(job.job_id)
        lost = [ref.name or ref.sha256[:12] for ref in refs if not self._blobs.has(ref.sha256, ref.size)]
        if lost and self._queued.pop(job.job_id, None) is not None:
            text = f"{', '.join(lost[:3])} was lost or damaged on the backend's disk; submit the job again."
            self._end(job, "failed", text, Failure(Ex4dError.code))

    def _give_up(self) -> None:
        """End the jobs that wait in vain. Workers go on being started: whoever comes later may be luckier."""
        if not self._pool.failed_starts:
            return
        for job in list(self._queued.values()):
            reason = self._pool.hopeless(job.kind)
            if reason and self._pool.failures(job.kind) > self._failures.get(job.job_id, 0):
                del self._queued[job.job_id]
                self._end(job, "failed", reason, Failure(Ex4dError.code))

    def _order(self, job: Job) -> RunJob:
        return RunJob(
            job_id=job.job_id,
            attempt=job.attempt,
            request=self.store.request(job.job_id),
            folder=str(self.folders.of(job)),
            blobs=str(self._settings.folder / "blobs"),
            clip_pixels=self._settings.clip_pixels,
        )

    def take(self, message: FromJob) -> None:
        """A worker's word on a running job."""
        job = self.store.get(message.job_id)
        if job is None or job.phase != "running":
            return
        match message:
            case JobProgress():
                job.stage, job.done, job.total = message.stage, message.done, message.total
                job.share = share_of(job)
                self._changed(job, message=message.message)
            case m.Item() | BlobMade():
                self._take_result(job, message)
            case JobEnded():
                self._end(job, message.outcome, message.message, message.failure)
                if job.kind in FETCHES:
                    self._pool.look_again()

    def _take_result(self, job: Job, made: m.Item | BlobMade) -> None:
        try:
            if isinstance(made, BlobMade):
                self._blobs.adopt(job.owner, self.folders.items(job) / made.file, made.sha256, made.size)
            else:
                self.store.add_item(job, made)
                self._changed(job)
        except OutputError as error:
            self._end(job, "failed", str(error), error.failure)
            self._pool.stop(job.job_id)

    def crashed(self, job_id: str, reason: str) -> None:
        """The worker of a running job is gone."""
        job = self.store.get(job_id)
        if job is not None:
            self.folders.discard_scratch(job)
        if job is None or job.phase != "running" or self.draining:
            return  # when draining it stays "running" in the store and starts over with the next server
        if reason == "cancelled":
            self._end(job, "cancelled", "Cancelled; the worker did not stop by itself and was replaced.")
        else:
            text = f"The worker process {reason} while it ran this job; other jobs are not affected. Submit it again."
            self._end(job, "failed", text, Failure(Ex4dError.code))

    def lost(self, job_id: str, reason: str) -> None:
        """The machine of a running job is gone, which is no fault of the job: it starts over elsewhere."""
        job = self.store.get(job_id)
        if job is None or job.phase != "running":
            return
        self.folders.discard_scratch(job)
        if self.draining:
            return  # as above
        if job.cancelling:
            self._end(job, "cancelled", "Cancelled; the machine that ran it was lost.")
        elif job.attempt - job.crashed >= self._settings.max_attempts:
            text = f"The worker {reason}, as others had before it: {job.attempt} attempts; submit the job again."
            self._end(job, "failed", text, Failure(Ex4dError.code))
        else:
            self.folders.discard(self.folders.items(job))
            self.store.start_over(job)
            self._queued = dict(sorted({**self._queued, job_id: job}.items(), key=lambda entry: entry[1].seq))
            log.warning("job %s starts over (attempt %d): its worker %s", job_id, job.attempt, reason)
            self._send_state(job)

    def _end(self, job: Job, phase: str, message: str, failure: Failure | None = None) -> None:
        message = without_paths(message)
        self._failures.pop(job.job_id, None)
        if phase == "failed":
            self._blobs.check_again(blobs_of(self._request(job)))
        if failure is not None:
            failure = Failure(failure.code, for_client(failure.remedy, same_machine=self._settings.loopback_only))
        try:
            self.store.set_phase(job, phase, message, failure)
        except OutputError:
            log.exception("job %s ended as %s, which could not be written", job.job_id, phase)
            job.phase, job.message, job.failure = phase, message, failure
        self.ended[phase] += 1
        log.info("job %s %s %s", job.job_id, phase, message)
        self._send_state(job)

    def _changed(self, job: Job, *, message: str = "") -> None:
        job.message = message
        self._unpushed[job.job_id] = job

    def _send_state(self, job: Job) -> None:
        self._unpushed.pop(job.job_id, None)
        self._push(job, self.state(job))

    # --- cleaning -----------------------------------------------------------------------------------------

    def _request(self, job: Job) -> Request:
        return msgspec.msgpack.decode(self.store.request(job.job_id), type=Request)

    def _forget(self, jobs: Collection[Job]) -> None:
        """Drop jobs that nobody needs, with their folders."""
        for job in jobs:
            self.folders.discard(self.folders.of(job))
        if jobs:
            self.store.forget(*jobs)

    def close(self) -> None:
        """Finish deleting and close the store."""
        self.folders.close()
        self.store.close()


def choose_next(queued: Collection[Job], running: Iterable[Job], served: Mapping[str, float]) -> Job | None:
    """The next job to run, or None: by priority, then fairly between owners, then first come first served.

    Among the jobs of the highest priority, the owner with the fewest running jobs goes first, then the one served
    longest ago (``served``: owner -> time), so that one client's hundred jobs do not hold up another's single one.
    """
    busy = Counter(job.owner for job in running)
    return min(
        queued, key=lambda job: (-job.priority, busy[job.owner], served.get(job.owner, 0.0), job.seq), default=None
    )
