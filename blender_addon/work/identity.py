"""Who this Blender is to a backend: an id that outlives restarts, so that its jobs are found again.

Several Blenders may run at once. Each holds the lock of one numbered folder below the add-on's own; the first takes
``client-1``, and so the only Blender that runs is always the same client. Beside the id lies the journal of the takes
that are under way.
"""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from . import files, locks
from .errors import AddonError


class OpenTake(msgspec.Struct, frozen=True, kw_only=True):
    """A take under way: enough to receive it into its place after a restart."""

    job_id: str = ""
    shot_id: str
    blend_path: str
    """The .blend it belongs to; "" if that was never saved."""
    folder: str = ""
    """Where its frames go; like the job's id "" until that is submitted."""
    engine: str
    seed: int
    settings: dict[str, bool | int | float | str]
    num_frames: int = 0
    """0 in journals of earlier versions."""


@dataclass(frozen=True)
class Identity:
    """This Blender's id and its folder, held until :meth:`release`."""

    client_id: str
    folder: Path
    _lock: IO[bytes]

    def release(self) -> None:
        """Let another Blender be this client."""
        self._lock.close()

    def remember(self, take: OpenTake) -> None:
        """Note a take that was just submitted. Raises AddonError if it cannot be written."""
        files.write_whole(self._entry(take.job_id), msgspec.json.encode(take))

    def forget(self, job_id: str) -> None:
        """The take is safe, failed or cancelled: nothing is left to find again."""
        with contextlib.suppress(OSError):
            self._entry(job_id).unlink(missing_ok=True)

    def open_takes(self) -> Iterator[OpenTake]:
        """The takes that were under way, oldest first. Damaged entries are removed."""
        for path in sorted(self.folder.glob("take-*.json"), key=lambda p: p.stat().st_mtime):
            try:
                yield msgspec.json.decode(path.read_bytes(), type=OpenTake)
            except (OSError, msgspec.MsgspecError):
                path.unlink(missing_ok=True)

    def _entry(self, job_id: str) -> Path:
        return self.folder / f"take-{files.safe_name(job_id)}.json"


def claim(base: Path) -> Identity:
    """Take the first free client below ``base``. Raises AddonError if nothing can be written there."""
    number = 1
    try:
        while (lock := locks.try_lock(base / f"client-{number}" / "lock")) is None:
            number += 1
        folder = base / f"client-{number}"
        id_file = folder / "id"
        if not id_file.exists():
            files.write_whole(id_file, uuid.uuid4().hex.encode())
        return Identity(id_file.read_text(encoding="ascii").strip(), folder, lock)
    except OSError as error:
        raise AddonError(
            f"Cannot write to {base}: {error.strerror or error}; choose another Backend Folder in the preferences."
        ) from error
