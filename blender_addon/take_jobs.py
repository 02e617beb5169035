"""Receiving a take: from a job just submitted, or from one that outlived a connection or Blender itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ex4d_protocol import events as ev
from ex4d_protocol.requests import Generate

from . import files, jobs
from .errors import AddonError, JobFailed, LinkLost, StoppedKeeping, StorageError
from .identity import Identity, OpenTake
from .link import Link
from .tasks import Steps
from .writer import FolderWriter


@dataclass(frozen=True)
class GeneratedTake:
    """A finished take on disk and what made it."""

    folder: Path
    metadata: dict[str, Any]
    coverage: NDArray[np.float64]  # [N]
    num_frames: int


def generate(
    link: Link,
    make: Callable[..., Generate],
    clip: jobs.StoredClip,
    folder: Path,
    *,
    identity: Identity,
    note: Callable[[str, Path], OpenTake],
    about: Mapping[str, object],
    **arguments: Any,
) -> Steps[GeneratedTake]:
    """Generate a take into the next free ``take_NNN`` of ``folder``. Its ``take.json`` is written last.

    ``note`` makes the journal's entry from the job's id and the take's folder. ``about`` says what the take will be,
    in the words of ``take.json``, as long as it is not whole. ``arguments`` go to :func:`jobs.run_with_clip`.
    """
    target = files.free_folder(folder, "take")
    submitted: list[str] = []

    def on_submit(job_id: str) -> None:
        _forget(identity, submitted)
        identity.remember(note(job_id, target))
        submitted[:] = [job_id]

    with _journalled(identity, submitted), FolderWriter(target, in_place=True) as writer, _keeping(writer):
        items = _TakeItems(writer, about)
        job_id = yield from jobs.run_with_clip(
            link,
            clip,
            make,
            title="Generate",
            on_item=items.take,
            full=lambda: writer.full,
            on_submit=on_submit,
            **arguments,
        )
        done = items.finish()
        yield from writer.finish()
    link.client.ack(job_id)
    return done


def resume(link: Link, identity: Identity, entry: OpenTake) -> Steps[GeneratedTake]:
    """Receive a take that was under way when Blender or the connection went."""
    target = Path(entry.folder)
    about = _about(target, entry)
    # Frames of the earlier try make way: all come again.
    opened = FolderWriter(target, replaces=True, in_place=True)
    with _journalled(identity, [entry.job_id]), opened as writer, _keeping(writer):
        items = _TakeItems(writer, about)
        yield from link.follow_job(entry.job_id, on_item=items.take, full=lambda: writer.full)
        done = items.finish()
        yield from writer.finish()
    link.client.ack(entry.job_id)
    return done


class _TakeItems:
    """Has a Generate job's items written as they come."""

    def __init__(self, writer: FolderWriter, about: Mapping[str, object]):
        self._writer = writer
        self._about = about
        self._coverage = np.zeros(0)
        self._metadata: dict[str, Any] = {}
        self._frames: set[int] = set()

    def take(self, item: ev.ItemReceived) -> None:
        """Store one item. Raises StorageError if an earlier one could not be written."""
        if item.name == "frame":
            if not self._frames:
                self._writer.write(files.PARTIAL_FILE, json.dumps(self._about).encode())
            self._writer.write(files.frame_name(item.frame), item.data)
            self._frames.add(item.frame)
        elif item.name == "coverage":
            self._coverage = np.array(item.array(), np.float64)
        elif item.name == "take":
            self._metadata = item.json()

    def finish(self) -> GeneratedTake:
        """Have ``take.json`` written. Raises AddonError if a frame is missing."""
        count = len(self._frames)
        if not count or self._frames != set(range(count)):
            raise AddonError(f"The take has gaps: only {count} frames came back; generate it again.")
        # Coverage goes along, so that a take found again later can be listed as if it had been delivered at once.
        document = {**self._metadata, "coverage": self._coverage.tolist()}
        self._writer.write(files.TAKE_FILE, json.dumps(document, indent=2).encode())
        self._writer.hand((self._writer.folder / files.PARTIAL_FILE).unlink)
        return GeneratedTake(self._writer.folder, self._metadata, self._coverage, count)


@contextmanager
def _keeping(writer: FolderWriter) -> Iterator[None]:
    """Leave the frames that have arrived where the user wants it, and where nobody said that they may go."""
    try:
        yield
    except (StoppedKeeping, JobFailed, LinkLost, GeneratorExit):
        if (writer.folder / files.PARTIAL_FILE).exists():
            writer.keep()
        raise


def _about(folder: Path, entry: OpenTake) -> Mapping[str, object]:
    """What an earlier try wrote about the take, or the journal's entry if it came to nothing."""
    try:
        found = json.loads((folder / files.PARTIAL_FILE).read_bytes())
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict):
        return found
    return {"engine": entry.engine, "seed": entry.seed, "settings": dict(entry.settings)}


@contextmanager
def _journalled(identity: Identity, submitted: list[str]) -> Iterator[None]:
    """Strike the entry off once there is nothing left to find again: not while the job may still be running."""
    try:
        yield
    except (LinkLost, GeneratorExit):
        raise
    except StorageError as error:
        if not submitted:
            raise
        why = str(error).split(";")[0]
        raise StorageError(
            f"{why}; the backend keeps the take: free some space and press Connect to receive it.", error.detail
        ) from error
    except BaseException:
        _forget(identity, submitted)
        raise
    _forget(identity, submitted)


def _forget(identity: Identity, submitted: list[str]) -> None:
    for job_id in submitted:
        identity.forget(job_id)
