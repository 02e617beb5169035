"""What goes after a time: results that nobody fetched, uploads that no job needs, kept places that nobody asks for."""

from collections.abc import Callable, Collection, Iterable, Iterator

from ex4d.places import kept_places
from ex4d_backend.blobs import BlobStore
from ex4d_backend.job_folders import JobFolders
from ex4d_backend.job_rows import Job
from ex4d_backend.settings import ServerSettings
from ex4d_backend.store import JobStore
from ex4d_backend.strays import Strays
from ex4d_ground.files import forget_unused


class Sweep:
    """Begun now and then, and gone on with in steps that do not hold up the I/O loop."""

    def __init__(
        self,
        settings: ServerSettings,
        store: JobStore,
        blobs: BlobStore,
        folders: JobFolders,
        *,
        forget: Callable[[Collection[Job]], None],
        blobs_of: Callable[[Job], Iterable[str]],
    ) -> None:
        """``forget`` drops jobs, ``blobs_of`` says which uploads a job refers to."""
        self._settings, self._store, self._blobs, self._folders = settings, store, blobs, folders
        self._forget, self._blobs_of = forget, blobs_of
        self._strays = Strays(folders.path, store)
        self._steps: Iterator[None] | None = None

    def begin(self) -> None:
        """Delete results nobody fetched in time, and kept places of clips nobody asks for any more.

        :meth:`step` goes on with the uploads that no job needs.
        """
        store = self._store
        store.save_clock()
        oldest = store.clock() - self._settings.results_ttl_hours * 3600
        self._forget([j for j in store.jobs() if j.final and j.ended_at is not None and j.ended_at < oldest])
        for folder in self._strays.expired(oldest):
            self._folders.discard(folder)
        unused_s = self._settings.blobs_ttl_hours * 3600
        self._folders.later(forget_unused, kept_places(self._settings.places), unused_s=unused_s)
        self._steps = self._sweep_blobs()

    def step(self) -> None:
        """Go on with what was begun, if anything is left of it."""
        if self._steps is not None and next(self._steps, self) is self:
            self._steps = None

    def run(self) -> None:
        """All of it at once."""
        self.begin()
        while self._steps is not None:
            self.step()

    def _sweep_blobs(self) -> Iterator[None]:
        """In steps of one job: what waiting jobs refer to may be much."""
        in_use: set[str] = set()
        for job in self._store.jobs():
            if not job.final:
                in_use.update(self._blobs_of(job))
                yield
        self._blobs.expire(ttl_s=self._settings.blobs_ttl_hours * 3600, in_use=in_use)
