"""What a step needs of the connection: jobs and questions, as generators over the client's events."""

import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from ex4d_ground import stages
from ex4d_ground.remedies import Failure, connect, start_backend
from ex4d_protocol import events as ev
from ex4d_protocol.client import Client, Upload
from ex4d_protocol.requests import Request

from .addon import log
from .errors import AddonError, JobFailed, LinkLost, StoppedKeeping, StorageError, TaskCancelled
from .tasks import Steps, TaskProgress
from .writer import FolderWriter

OnItem = Callable[[ev.ItemReceived], None]

SLOWED_POLL_S = 0.5
"""How often a connection is read while the disk is behind: enough for it to stay open."""


class JobRefused(AddonError):
    """The backend would not take the job; ``code`` is the protocol's."""


MAX_WORKER_DEATHS = 2
"""So many ends of a worker before it was ever ready are no accident."""


@dataclass(frozen=True)
class _Job:
    """A job whose items are waited for."""

    job_id: str
    on_item: OnItem
    into: FolderWriter | None
    """The folder that the items are written to: while its disk is behind, no more is taken."""
    uploads: frozenset[int] = frozenset()
    """What has to arrive there first."""
    keep: bool = True
    """Closing the steps leaves it running."""


class BackendLink:
    """The client plus the inboxes of the steps that wait for its events.

    ``why_gone`` says in a sentence why a backend that was started here has ended, ``why_no_worker`` what its worker
    last said; both None if there is nothing to say. ``on_restarted`` is called when it was ended and started again.
    """

    def __init__(
        self,
        client: Client,
        *,
        grace_s: float,
        why_gone: Callable[[], str | None],
        why_no_worker: Callable[[], str | None] = lambda: None,
        on_restarted: Callable[[], None] = lambda: None,
    ):
        self.client = client
        self._why_no_worker = why_no_worker
        self._on_restarted, self._server_id = on_restarted, ""
        self._deaths = 0
        self.silent_since: float | None = None
        self._grace_s = grace_s
        self._why_gone = why_gone
        self._inboxes: list[deque[ev.Event]] = []
        self._slowed: set[str] = set()
        """Jobs whose items cannot be stored as fast as they come."""
        self._read_at = 0.0

    def poll(self, budget_s: float) -> bool:
        """Take what arrived and hand it to every waiting step. Returns whether anything arrived."""
        if self._slowed:
            if time.monotonic() - self._read_at < SLOWED_POLL_S:
                return False
            budget_s = 0.0
        self._read_at = time.monotonic()
        events = self.client.poll(budget_s)
        for event in events:
            if isinstance(event, ev.Disconnected):
                log.warning("backend %s: %s", self.client.address, event.reason)
                self.silent_since = self.silent_since or time.monotonic()
            elif isinstance(event, ev.Connected):
                self.silent_since = None
                before, self._server_id = self._server_id, event.welcome.server_id
                if before not in ("", self._server_id):
                    self._on_restarted()
            elif isinstance(event, ev.CapabilitiesChanged):
                self._deaths += any(device.worker == "restarting" for device in event.capabilities.devices)
            for inbox in self._inboxes:
                inbox.append(event)
        return bool(events)

    @contextlib.contextmanager
    def inbox(self) -> Iterator[deque[ev.Event]]:
        """Events from now on, until the block is left."""
        mine: deque[ev.Event] = deque()
        self._inboxes.append(mine)
        try:
            yield mine
        finally:
            self._inboxes = [other for other in self._inboxes if other is not mine]  # two empty ones are equal

    def check_alive(self) -> None:
        """Raise LinkLost if the backend is gone for good or has been silent for longer than the grace time."""
        reason = self._why_gone()
        if reason:
            raise LinkLost(reason, remedy=connect("to start it again"))
        if self.silent_since is not None and time.monotonic() - self.silent_since > self._grace_s:
            text = f"The backend at {self.client.address} stopped answering; start it again."
            raise LinkLost(text, remedy=connect("and run this once more"))

    def wait_connected(self, timeout_s: float) -> Steps[None]:
        """Wait for the handshake. Raises AddonError if nobody answers or the protocol's major differs."""
        deadline = time.monotonic() + timeout_s
        with self.inbox() as inbox:
            while self.client.state != "connected":
                while inbox:
                    event = inbox.popleft()
                    if isinstance(event, ev.Incompatible):
                        raise AddonError(event.message)
                reason = self._why_gone()
                if reason:
                    raise AddonError(reason, remedy=connect("to start it again"))
                if time.monotonic() > deadline:
                    raise AddonError(f"No EX-4D backend answers at {self.client.address}.", remedy=start_backend())
                yield None
        self.silent_since = None

    def wait_engines(self, timeout_s: float) -> Steps[None]:
        """Wait until the first worker is ready and the backend has said what it can do."""
        deadline = time.monotonic() + timeout_s
        while not self.client.capabilities.engines:
            self.check_alive()
            if self._deaths >= MAX_WORKER_DEATHS:
                said = self._why_no_worker()
                raise AddonError(
                    f"The backend's worker keeps ending: {said}"
                    if said
                    else f"The worker of the backend at {self.client.address} keeps ending; look at its log there."
                )
            if time.monotonic() > deadline:
                raise AddonError(
                    f"The backend at {self.client.address} answers but its worker did not start within "
                    f"{timeout_s:.0f} s; look at the backend's log."
                )
            yield None

    def wait_until(self, done: Callable[[], bool], timeout_s: float, what: str) -> Steps[None]:
        """Wait for what the backend tells by itself; ``what`` it does then. Raises AddonError if it does not."""
        deadline = time.monotonic() + timeout_s
        while not done():
            self.check_alive()
            if time.monotonic() > deadline:
                raise AddonError(f"The backend did not {what} within {timeout_s:.0f} s; look at its log.")
            yield None

    def ask(self, question: Struct, *, timeout_s: float = 20.0) -> Steps[Any]:
        """One message of the protocol and its answer. Raises AddonError with the backend's own sentence if refused."""
        deadline = time.monotonic() + timeout_s
        with self.inbox() as inbox:
            request_id = self.client.question(question)
            while True:
                while inbox:
                    event = inbox.popleft()
                    if isinstance(event, ev.Reply) and event.request_id == request_id:
                        return event.message
                    if isinstance(event, ev.RequestFailed) and event.request_id == request_id:
                        refusal = event.error
                        raise AddonError(refusal.message, refusal.detail, code=refusal.code, remedy=refusal.remedy)
                self.check_alive()
                if time.monotonic() > deadline:
                    raise AddonError(f"The backend did not answer within {timeout_s:.0f} s; try again.")
                yield None

    def run_job(
        self,
        request: Request | Callable[[], Request],
        *,
        after: Sequence[Upload] = (),
        title: str,
        on_item: OnItem,
        into: FolderWriter | None = None,
        on_submit: Callable[[str], None] | None = None,
    ) -> Steps[str]:
        """Submit a job, hand over its items as they come, and return its id when everything was delivered.

        While the disk of ``into`` is behind no more is taken; what goes wrong there ends the steps. ``on_submit`` is
        told the id first; whoever gives one can find the job again, so closing the steps (not cancelling them) leaves
        it running, and its results stay on the backend until ``client.ack(job_id)``; others' go as they arrive.
        Cancelling stops this job and no other.
        Raises AddonError with the backend's sentence if the job fails.
        """
        with self.inbox() as inbox:
            job_id = uuid.uuid4().hex
            if on_submit is not None:
                on_submit(job_id)
            self.client.submit(request, after=after, title=title, job_id=job_id, frees=on_submit is None)
            uploads = frozenset(upload.upload_id for upload in after)
            return (yield from self._watch(inbox, _Job(job_id, on_item, into, uploads, on_submit is not None)))

    def follow_job(self, job_id: str, *, on_item: OnItem, into: FolderWriter) -> Steps[str]:
        """Take up a job from an earlier connection or an earlier run of Blender; as :meth:`run_job` from there.

        Raises JobRefused if the backend does not know it.
        """
        with self.inbox() as inbox:
            self.client.follow(job_id)
            return (yield from self._watch(inbox, _Job(job_id, on_item, into)))

    def _watch(self, inbox: deque[ev.Event], job: _Job) -> Steps[str]:
        try:
            while True:
                while not self._slow_down(job) and inbox:
                    progress = self._on_event(inbox.popleft(), job)
                    if progress is _COMPLETE:
                        return job.job_id
                    if progress is not None:
                        yield progress
                self.check_alive()
                yield None
        except TaskCancelled:
            self.client.cancel(job.job_id)
            raise
        except (GeneratorExit, StorageError):
            if not job.keep:
                self.client.cancel(job.job_id)
            raise
        finally:
            self._slowed.discard(job.job_id)

    def _slow_down(self, job: _Job) -> bool:
        full = job.into is not None and job.into.full
        if full:
            self._slowed.add(job.job_id)
        else:
            self._slowed.discard(job.job_id)
        return full

    def _on_event(self, event: ev.Event, job: _Job) -> TaskProgress | None:
        match event:
            case ev.UploadProgress() if event.upload_id in job.uploads:
                stage = stages.HASHING if event.stage == "hash" else stages.UPLOADING
                return TaskProgress(stage, event.done, event.total)
            case ev.UploadError() if event.upload_id in job.uploads:
                raise AddonError(event.message)
            case ev.JobRejected(job_id=other_id) if other_id == job.job_id:
                raise JobRefused(event.message, code=event.code, remedy=event.remedy)
            case ev.ItemReceived(job_id=other_id) if other_id == job.job_id:
                job.on_item(event)
                return self._receiving(job.job_id)
            case ev.JobChanged() if event.job_id == job.job_id:
                return _progress_of(event)
            case ev.ResultsComplete(job_id=other_id) if other_id == job.job_id and event.phase == "done":
                return _COMPLETE
            case _:
                return None

    def _receiving(self, job_id: str) -> TaskProgress:
        """How far the job is while it runs; then how many of its items are here."""
        view = self.client.jobs[job_id]
        state = view.state
        if state is not None and state.phase == "running" and state.stage:
            return TaskProgress(state.stage, state.done, state.total, state.message, state.share)
        known = state is not None and state.phase == "done"
        return TaskProgress("receiving", len(view.received), state.items if known and state is not None else 0)


_COMPLETE = TaskProgress("complete")


def _progress_of(event: ev.JobChanged) -> TaskProgress:
    state = event.state
    if state.phase == "failed":
        text = state.message or "The backend's job failed; look at its log."
        failure = state.failure or Failure()
        raise JobFailed(text, state.job_id, code=failure.code, remedy=failure.remedy)
    if state.phase == "cancelled":
        raise StoppedKeeping(state.message or "The job was cancelled on the backend.")
    stage = f"queued ({state.queue_position} before it)" if state.phase == "queued" else state.stage
    return TaskProgress(stage or state.phase, state.done, state.total, state.message, state.share)
