"""The folders of jobs: where a job's items, log and scratch are, and their removal beside the I/O loop."""

import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ex4d_backend.data_folder import folder_at
from ex4d_backend.item_files import item_file
from ex4d_backend.job_rows import Job

LOG_TAIL_BYTES = 64 << 10


class JobFolders:
    """One folder a job, below that of all."""

    def __init__(self, folder: Path) -> None:
        """Raises OutputError for a folder that cannot be used."""
        self.path = folder_at(folder)
        self._cleaner = ThreadPoolExecutor(1, "job-cleaner")

    def of(self, job: Job) -> Path:
        """The job's own."""
        return self.path / job.folder_name

    def items(self, job: Job) -> Path:
        """Where the items of the job's present attempt are."""
        return self.of(job) / f"items-{job.attempt}"

    def log_tail(self, job: Job) -> str:
        """The end of the job's log, "" if there is none."""
        path = self.of(job) / "log.txt"
        if path.is_file():  # a pipe would be waited for
            with suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
                return file.read(LOG_TAIL_BYTES).decode("utf-8", "replace")
        return ""

    def discard_scratch(self, job: Job | None = None) -> None:
        """Remove what the worker of the job's present attempt was writing; of all jobs if None is named."""
        folders = self.path.glob("*/scratch-*") if job is None else (self.of(job) / f"scratch-{job.attempt}",)
        for folder in folders:
            self.discard(folder)

    def discard_items(self, job: Job, indices: Iterable[int]) -> None:
        """Remove some of the job's items."""
        folder = self.items(job)
        self.later(_unlink, [folder / item_file(index) for index in indices])

    def discard(self, folder: Path) -> None:
        """Remove a folder with all that is in it."""
        self.later(shutil.rmtree, folder, ignore_errors=True)

    def later(self, call: Callable[..., Any], *arguments: Any, **more: Any) -> None:
        """Have the thread that removes things do this, after all that it was given before."""
        self._cleaner.submit(call, *arguments, **more)

    def close(self) -> None:
        """Finish removing."""
        self._cleaner.shutdown(wait=True)


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
