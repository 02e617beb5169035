"""The job desk: accepts, queues, runs, cancels and ends jobs. Belongs to the I/O loop; computes nothing itself."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from ex4d.errors import OutputError
from ex4d_backend import internal
from ex4d_backend.blobs import BlobStore
from ex4d_backend.jobs_order import choose_next
from ex4d_backend.limits import too_many_pixels
from ex4d_backend.pool import Pool
from ex4d_backend.settings import ServerSettings
from ex4d_backend.share import share_of
from ex4d_backend.store import Job, JobStore
from ex4d_backend.wording import for_client
from ex4d_protocol import messages as m
from ex4d_protocol.requests import Generate, RenderGuides, Request, blobs_of

log = logging.getLogger("ex4d_backend.desk")

PUSH_EVERY_S = 0.1
LOG_TAIL_BYTES = 64 << 10
QUEUE_TOLD, QUEUE_TOLD_EVERY_S = 50, 0.5
"""So many of the waiting jobs hear of their place, so often: a queue of a thousand must not fill the loop."""
START_PAUSE_S = 1.0
"""Before trying again to start jobs when the job table cannot be written."""


class Refusal(Exception):
    """A request that is answered with an ErrorReply."""

    def __init__(self, code: m.ErrorCode, message: str, *, detail: str = "", job_id: str = ""):
        super().__init__(message)
        self.reply = m.ErrorReply(code=code, message=message, detail=detail, job_id=job_id)


class JobDesk:
    """All jobs of one server."""

    def __init__(
        self,
        settings: ServerSettings,
        store: JobStore,
        blobs: BlobStore,
        *,
        push: Callable[[Job, m.JobState], None],
        room_for: Callable[[int], str],
    ) -> None:
        """Take up the store's jobs; ``push`` is called with every change worth telling."""
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._push = push
        self._room_for = room_for
        self._folder = settings.folder / "jobs"
        self._folder.mkdir(exist_ok=True)
        self._queued = {job.job_id: job for job in store.in_phase("queued")}
        self._served: dict[str, float] = {}
        self._unpushed: dict[str, Job] = {}
        self._pushed_at = self._start_after = self._queue_told_at = 0.0
        self._queue_changed, self._told_trouble = False, ""
        self._cleaner = ThreadPoolExecutor(1, "job-cleaner")
        self.pool: Pool | None = None
        self.draining = False
        self.ended: Counter[str] = Counter()
        """Jobs ended since the start, by phase."""
        self._take_up_lost_jobs()

    def _take_up_lost_jobs(self) -> None:
        """Jobs that ran when the last server ended start over, unless they seem to be what ended it."""
        for job in self._store.in_phase("running"):
            self._discard(self._items_folder(job))
            if job.cancelling:
                self._store.set_phase(job, "cancelled", "Cancelled; the backend was restarted meanwhile.")
            elif job.attempt >= self._settings.max_attempts:
                reason = f"The backend ended {job.attempt} times while this job ran; it was not started again."
                self._store.set_phase(job, "failed", reason)
            else:
                self._store.start_over(job)
                self._queued[job.job_id] = job
                log.info("job %s starts over (attempt %d)", job.job_id, job.attempt)
        self._queued = dict(sorted(self._queued.items(), key=lambda entry: entry[1].seq))

    # --- what clients ask ---------------------------------------------------------------------------------

    def submit(self, owner: str, message: m.SubmitJob) -> m.JobAccepted:
        """Accept a job, or say what became of it. Raises Refusal."""
        request = msgspec.msgpack.encode(message.request)
        known = self._store.get(message.job_id)
        if known is not None:
            if known.owner != owner or self._store.request(message.job_id) != request:
                raise Refusal("job_conflict", f"Job id {message.job_id} is in use for something else; take a new one.")
            return m.JobAccepted(state=self.state(known), resumed=True)
        self._check_acceptable(message.request)
        kind = type(message.request).__name__
        job = self._store.add(
            message.job_id, owner=owner, title=message.title, kind=kind, priority=message.priority, request=request
        )
        self._queued[job.job_id] = job
        log.info("job %s (%s) accepted", job.job_id, kind)
        return m.JobAccepted(state=self.state(job))

    def _check_acceptable(self, request: Request) -> None:
        if self.draining:
            raise Refusal("server_draining", "The backend is shutting down; send the job again when it is back.")
        if len(self._queued) >= self._settings.queued_jobs:
            raise Refusal("queue_full", f"The queue is full ({len(self._queued)} jobs); try again later.")
        if isinstance(request, RenderGuides | Generate):
            out = request.trajectory
            text = too_many_pixels(out.num_frames, out.width, out.height, self._settings.clip_pixels)
            if text:
                raise Refusal("too_large", text)
        reason = self._room_for(0)
        if reason:
            raise Refusal("storage_full", reason)
        missing = [b for b in blobs_of(request).values() if not self._blobs.has(b.sha256, b.size)]
        if missing:
            names = ", ".join(b.name or b.sha256[:12] for b in missing[:3])
            raise Refusal("blob_missing", f"{len(missing)} files of this job were not uploaded yet ({names}).")
        for blob in blobs_of(request).values():
            self._blobs.touch(blob.sha256)

    def find(self, owner: str | None, job_id: str) -> Job:
        """A job of this owner; of anyone if None. Raises Refusal."""
        job = self._store.get(job_id)
        if job is None or owner not in (None, job.owner):
            raise Refusal("unknown_job", f"There is no job {job_id} here.", job_id=job_id)
        return job

    def cancel(self, owner: str | None, job_id: str) -> m.CancelAccepted:
        """Stop a job. Raises Refusal for an unknown one."""
        job = self.find(owner, job_id)
        if job.final:
            return m.CancelAccepted(job_id=job_id, already_final=True)
        if self._queued.pop(job_id, None) is not None or self.pool is None or not self.pool.stop(job_id):
            self._end(job, "cancelled", "Cancelled before it ran.")
        elif not job.cancelling:
            with suppress(OutputError):  # it stops all the same; only a restart would not know
                self._store.set_cancelling(job)
            self._note(job, message="Cancelling.")
        return m.CancelAccepted(job_id=job_id)

    def list(self, owner: str | None, *, unacknowledged_only: bool) -> m.JobList:
        """The jobs of an owner; of all if None, with their owners."""
        jobs = self._store.all() if owner is None else self._store.of_owner(owner)
        wanted = [j for j in jobs if not (unacknowledged_only and j.acknowledged)]
        return m.JobList(jobs=tuple(self.described(owner, j) for j in wanted))

    def described(self, owner: str | None, job: Job) -> m.JobState:
        """:meth:`state`, with the job's owner if it is told to someone who sees everyone's (``owner`` None)."""
        state = self.state(job)
        return msgspec.structs.replace(state, owner=job.owner[:128]) if owner is None else state

    def acknowledge(self, owner: str, job_id: str) -> m.ResultsAcknowledged:
        """The client has a final job's results: delete them. Raises Refusal."""
        job = self.find(owner, job_id)
        if not job.final:
            raise Refusal("bad_request", f"Job {job_id} is not over yet; its results stay.", job_id=job_id)
        if not job.acknowledged:
            self._store.acknowledge(job)
            self._discard(self._items_folder(job))
        return m.ResultsAcknowledged(job_id=job_id)

    def log_tail(self, owner: str | None, job_id: str) -> m.JobLog:
        """The end of a job's log. Raises Refusal."""
        path = self._job_folder(self.find(owner, job_id)) / "log.txt"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
                text = file.read(LOG_TAIL_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            text = ""
        return m.JobLog(job_id=job_id, text=text)

    def state(self, job: Job) -> m.JobState:
        """A job's state as the wire has it."""
        if job.phase != "queued":
            return job.state()
        trouble = self.pool.trouble if self.pool is not None else ""
        if trouble:
            return msgspec.structs.replace(job.state(), message=trouble)
        return job.state(sum(q.seq < job.seq for q in self._queued.values()))

    def workers_changed(self) -> None:
        """A worker came, went, or took a job: those who wait hear of it, though not of every step."""
        self._queue_changed = True

    def _tell_queue(self) -> None:
        """Tell the first in the queue where they stand, and everyone if workers fail or work again."""
        self._queue_changed, self._queue_told_at = False, time.monotonic()
        trouble = self.pool.trouble if self.pool is not None else ""
        everyone, self._told_trouble = trouble != self._told_trouble, trouble
        for position, job in enumerate(list(self._queued.values())):
            if not everyone and position >= QUEUE_TOLD:
                break
            state = job.state(position)
            self._push(job, msgspec.structs.replace(state, message=trouble) if trouble else state)

    # --- results ------------------------------------------------------------------------------------------

    def items(self, job: Job, first: int, count: int) -> list[m.Item]:
        """Descriptions of the items from ``first`` on that are there, ``count`` at most."""
        return self._store.items(job.job_id, first, count)

    def items_folder(self, job: Job) -> str:
        """Where the items of the job's present attempt are, with a separator at its end."""
        return f"{self._items_folder(job)}{os.sep}"

    def job(self, job_id: str) -> Job | None:
        """A job by id, whoever owns it."""
        return self._store.get(job_id)

    @property
    def counts(self) -> tuple[int, int]:
        """Queued and running jobs."""
        return len(self._queued), len(self._store.in_phase("running"))

    # --- running ------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Give idle workers jobs, and tell what changed."""
        may_start = not self.draining and time.monotonic() >= self._start_after
        if self.pool is not None and may_start and self._queued:
            for worker in self.pool.idle():
                job = choose_next(self._queued.values(), self._store.in_phase("running"), self._served)
                if job is None:
                    break
                try:
                    self._store.set_phase(job, "running")
                except OutputError as error:
                    log.error("no job is started: %s", error)
                    self._start_after = time.monotonic() + START_PAUSE_S
                    break
                del self._queued[job.job_id]
                self._served[job.owner] = time.monotonic()
                self.pool.run(worker, self._order(job))
                self._tell(job)
        now = time.monotonic()
        if self._queue_changed and now - self._queue_told_at >= QUEUE_TOLD_EVERY_S:
            self._tell_queue()
        if self._unpushed and now - self._pushed_at >= PUSH_EVERY_S:
            self._pushed_at = now
            for job in list(self._unpushed.values()):
                self._tell(job)

    def _order(self, job: Job) -> internal.RunJob:
        return internal.RunJob(
            job_id=job.job_id,
            attempt=job.attempt,
            request=self._store.request(job.job_id),
            folder=str(self._job_folder(job)),
            blobs=str(self._settings.folder / "blobs"),
            clip_pixels=self._settings.clip_pixels,
        )

    def take(self, message: internal.FromJob) -> None:
        """A worker's word on a running job."""
        job = self._store.get(message.job_id)
        if job is None or job.phase != "running":
            return
        match message:
            case internal.JobProgress():
                job.stage, job.done, job.total = message.stage, message.done, message.total
                job.share = share_of(job)
                self._note(job, message=message.message)
            case internal.ItemReady():
                self._take_item(job, message)
            case internal.BlobMade():
                self._take_blob(job, message)
            case internal.JobEnded():
                self._end(job, message.outcome, message.message)

    def _take_item(self, job: Job, ready: internal.ItemReady) -> None:
        item = msgspec.convert({**msgspec.structs.asdict(ready), "type": "Item", "attempt": job.attempt}, m.Item)
        try:
            self._store.add_item(job, item)
        except OutputError as error:
            self._fail_running(job, error)
            return
        self._note(job)

    def _take_blob(self, job: Job, made: internal.BlobMade) -> None:
        try:
            self._blobs.adopt(self._items_folder(job) / made.file, made.sha256, made.size)
        except OutputError as error:
            self._fail_running(job, error)

    def _fail_running(self, job: Job, error: OutputError) -> None:
        self._end(job, "failed", str(error))
        if self.pool is not None:
            self.pool.stop(job.job_id)

    def crashed(self, job_id: str, reason: str) -> None:
        """The worker of a running job is gone."""
        job = self._store.get(job_id)
        if job is None or job.phase != "running" or self.draining:
            return  # when draining it stays "running" in the store and starts over with the next server
        if reason == "cancelled":
            self._end(job, "cancelled", "Cancelled; the worker did not stop by itself and was replaced.")
        else:
            text = f"The worker process {reason} while it ran this job; other jobs are not affected. Submit it again."
            self._end(job, "failed", text)

    def _end(self, job: Job, phase: str, message: str) -> None:
        message = for_client(message, same_machine=self._settings.loopback_only)
        try:
            self._store.set_phase(job, phase, message)
        except OutputError:
            log.exception("job %s ended as %s, which could not be written", job.job_id, phase)
            job.phase, job.message = phase, message
        self.ended[phase] += 1
        log.info("job %s %s %s", job.job_id, phase, message)
        self._tell(job)

    def _note(self, job: Job, *, message: str = "") -> None:
        job.message = message
        self._unpushed[job.job_id] = job

    def _tell(self, job: Job) -> None:
        self._unpushed.pop(job.job_id, None)
        self._push(job, self.state(job))

    # --- cleaning -----------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Delete results nobody fetched in time, and uploads no job needs."""
        self._store.save_clock()
        oldest = self._store.clock() - self._settings.results_ttl_hours * 3600
        for job in self._store.all():
            if job.final and job.ended_at is not None and job.ended_at < oldest:
                self._discard(self._job_folder(job))
                self._store.forget(job)
        in_use: set[str] = set()
        for job in self._store.all():
            if not job.final:
                request = msgspec.msgpack.decode(self._store.request(job.job_id), type=Request)
                in_use.update(blobs_of(request))
        self._blobs.expire(ttl_s=self._settings.blobs_ttl_hours * 3600, in_use=in_use)

    def result_bytes(self) -> int:
        """Disk space of all kept results."""
        return self._store.result_bytes()

    def _discard(self, folder: Path) -> None:
        self._cleaner.submit(shutil.rmtree, folder, ignore_errors=True)

    def _job_folder(self, job: Job) -> Path:
        return self._folder / job.folder_name

    def _items_folder(self, job: Job) -> Path:
        return self._job_folder(job) / f"items-{job.attempt}"

    def close(self) -> None:
        """Finish deleting and close the store."""
        self._cleaner.shutdown(wait=True)
        self._store.close()
