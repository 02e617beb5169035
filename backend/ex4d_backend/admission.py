"""Which jobs are accepted: what this backend does, has the files of, and has room for beside everybody's others."""

from collections.abc import Callable, Collection, Sequence

from ex4d.weights.catalogue import find_package
from ex4d_backend.blobs import BlobStore
from ex4d_backend.client_errors import Refusal
from ex4d_backend.job_rows import Job
from ex4d_backend.limits import too_many_pixels
from ex4d_backend.settings import ServerSettings
from ex4d_backend.store import JobStore
from ex4d_ground.remedies import fetch_by_hand
from ex4d_protocol.requests import FetchWeights, Generate, RenderGuides, Request, blobs_of

SMALL_REQUEST_BYTES, OWN_REQUEST_BYTES, REQUEST_BYTES = 64 << 10, 64 << 20, 256 << 20
"""Requests beyond the first count against what those that wait may take: of one owner, and of all."""
OWN_JOBS, JOBS = 2000, 20_000
"""Jobs that are kept, over or not: of one owner, and of all. Beyond, those are forgotten whose results were fetched."""

FORGOTTEN_AT_ONCE = 100
"""Of the jobs that are kept one in so many: rare enough to look for them, few enough for nobody to wait for it."""


class Admission:
    """Says no to jobs, with a sentence; forgets old ones to make room for new."""

    def __init__(
        self,
        settings: ServerSettings,
        store: JobStore,
        blobs: BlobStore,
        *,
        check_room: Callable[[int, str], None],
        forget: Callable[[Collection[Job]], None],
    ) -> None:
        self._settings, self._store, self._blobs = settings, store, blobs
        self._check_room, self._forget = check_room, forget

    def check(self, owner: str, request: Request, encoded: bytes, queued: Collection[Job]) -> None:
        """Raise Refusal unless ``owner`` may have this job queued beside ``queued``."""
        self._check_acceptable(owner, request, queued)
        self.check_share(owner, encoded, queued)

    def _check_acceptable(self, owner: str, request: Request, queued: Collection[Job]) -> None:
        if len(queued) >= self._settings.queued_jobs:
            raise Refusal("queue_full", f"The queue is full ({len(queued)} jobs); try again later.")
        if isinstance(request, RenderGuides | Generate):
            out = request.trajectory
            text = too_many_pixels(out.num_frames, out.width, out.height, self._settings.clip_pixels)
            if text:
                raise Refusal("too_large", text)
        if isinstance(request, FetchWeights):
            self._check_fetch(request)
            return
        self._check_room(0, "")
        self._blobs.require(owner, blobs_of(request).values(), "job")

    def check_share(self, owner: str, encoded: bytes, queued: Collection[Job]) -> None:
        """Raise Refusal if this owner has so much here that there would be too little room for others."""
        most, own = self._settings.queued_jobs, sum(job.owner == owner for job in queued)
        if own > most // 4 and len(queued) >= most - most // 4:
            text = f"{own} jobs of this client wait, and the last {most // 4} places are kept for others; try later."
            raise Refusal("queue_full", text)
        if len(encoded) > SMALL_REQUEST_BYTES:
            self._check_room(len(encoded), "")
            own_bytes, everyones = self._store.waiting_bytes(owner)
            if own_bytes + len(encoded) > OWN_REQUEST_BYTES or everyones + len(encoded) > REQUEST_BYTES:
                text = "The jobs that wait take all the room there is for large requests; try again when some are over."
                raise Refusal("queue_full", text)
        if not self._make_room(self._store.jobs(owner=owner), OWN_JOBS) or (
            self._store.count >= JOBS and not self._make_room(self._store.jobs(), JOBS)
        ):
            text = "So many finished jobs wait for this client to fetch their results that no more are taken."
            raise Refusal("queue_full", text)

    def _make_room(self, jobs: Sequence[Job], most: int) -> bool:
        """Forget the oldest jobs that nobody needs, until there are fewer than ``most``; whether there are."""
        if len(jobs) < most:
            return True
        unneeded = [job for job in jobs if job.final and (job.acknowledged or not job.items)]
        self._forget(unneeded[: len(jobs) - most + 1 + most // FORGOTTEN_AT_ONCE])
        return len(jobs) - len(unneeded) < most

    def _check_fetch(self, request: FetchWeights) -> None:
        """Raise Refusal unless weights may be fetched here, and there are such; the disk is the fetcher's business."""
        package = find_package(request.package)
        if not self._settings.weights_downloads:
            raise Refusal(
                "not_allowed",
                f"This backend downloads no weights for its clients (its setting weights_downloads is off): have "
                f"{package.name} fetched on its machine.",
                remedy=fetch_by_hand(package.name),
            )
