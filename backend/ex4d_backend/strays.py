"""Job folders that no row of the job table knows: what a kill, a damaged row or a table set aside leave behind."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ex4d_backend.store import JobStore
from ex4d_ground.errors import OutputError

log = logging.getLogger("ex4d_backend.strays")
_NAME = re.compile(r"[0-9a-f]{32}")


class Strays:
    """Found once, when the server starts: while it runs, a folder goes with its row.

    They are kept as long as results that nobody fetches, so that a person can still save what a damaged table named.
    """

    def __init__(self, folder: Path, store: JobStore) -> None:
        """Look for them among the folders of jobs in ``folder``. What is not named like one is let alone."""
        self._folder, self._store = folder, store
        known = {job.folder_name for job in store.jobs()}
        with os.scandir(folder) as entries:
            names = {e.name for e in entries if _NAME.fullmatch(e.name) and e.is_dir(follow_symlinks=False)} - known
        try:
            self._seen_at = store.note_strays(names)
        except OutputError as error:  # a full or read-only disk: they stay, and are looked for at the next start
            log.error("folders of jobs that are in no table stay: %s", error)
            self._seen_at = {}
        if names:
            log.info("%d folders in %s are of no job in the table", len(names), folder)

    def expired(self, oldest: float) -> Iterator[Path]:
        """Those first seen before ``oldest``, in served seconds, that are still of no job; each comes once."""
        if not any(seen_at < oldest for seen_at in self._seen_at.values()):
            return
        known = {job.folder_name for job in self._store.jobs()}
        for name, seen_at in list(self._seen_at.items()):
            if seen_at < oldest:
                del self._seen_at[name]
                if name not in known:
                    yield self._folder / name
