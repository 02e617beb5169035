"""Who this Blender is to a backend: an id that outlives restarts, so that its jobs are found again.

Several Blenders may run at once. Each holds the lock of one numbered folder below the add-on's own; the first takes
``client-1``, and so the only Blender that runs is always the same client. Beside the id lies the journal of the takes
that are under way.
"""

import contextlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from . import files, locks
from .addon import log
from .errors import AddonError

ID = re.compile(rb"[0-9A-Za-z_-]{8,64}")
"""What a client's id looks like."""


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
    backend: str = ""
    """Where it is made: the backend's address, or the data folder of one that was started here; "" in earlier ones."""


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
        files.write_whole(self._entry(take.job_id), msgspec.json.encode(take), durable=True)

    def forget(self, job_id: str) -> None:
        """The take is safe, failed or cancelled: nothing is left to find again."""
        with contextlib.suppress(OSError):
            self._entry(job_id).unlink(missing_ok=True)

    def open_takes(self) -> Iterator[OpenTake]:
        """The takes that were under way, oldest first. Damaged entries are set aside: the backend knows its jobs."""
        for path in sorted(self.folder.glob("take-*.json"), key=_modified):
            try:
                entry = msgspec.json.decode(path.read_bytes(), type=OpenTake)
            except OSError as error:
                log.warning("the journal's entry %s cannot be read: %s", path, error)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                log.warning("the journal's entry %s is damaged and set aside: %s", path, error)
                _set_aside(path)
            else:
                if self._entry(entry.job_id) == path and Path(entry.folder).is_absolute():
                    yield entry
                else:
                    log.warning("the journal's entry %s is of another take and set aside", path)
                    _set_aside(path)

    def backend_folders(self) -> list[Path]:
        """Data folders of backends started here that takes under way are waited for from, the oldest first."""
        folders = [Path(take.backend) for take in self.open_takes() if take.backend]
        return [folder for folder in dict.fromkeys(folders) if folder.is_absolute()]

    def _entry(self, job_id: str) -> Path:
        return self.folder / f"take-{files.safe_name(job_id)}.json"


def claim(base: Path) -> Identity:
    """Take the first free client below ``base``. Raises AddonError if nothing can be written there."""
    number = 1
    try:
        while (lock := locks.try_lock(base / f"client-{number}" / "lock")) is None:
            number += 1
        folder = base / f"client-{number}"
        return Identity(_client_id(folder / "id"), folder, lock)
    except OSError as error:
        raise AddonError(
            f"Cannot write to {base}: {error.strerror or error}; choose another Backend Folder in the preferences."
        ) from error


def _client_id(path: Path) -> str:
    """The id that is kept in ``path``; a new one if there is none, or none that could be one. Raises OSError."""
    if path.exists():
        found = path.read_bytes().strip()
        if ID.fullmatch(found):
            return found.decode("ascii")
        log.warning("%s holds no id and is set aside; jobs of an earlier session are not found again", path)
        _set_aside(path)
    made = uuid.uuid4().hex
    files.write_whole(path, made.encode(), durable=True)
    return made


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def _set_aside(path: Path) -> None:
    """Rename a damaged file, for people to look at."""
    with contextlib.suppress(OSError):
        path.replace(path.with_name(f"{path.name}.damaged"))
