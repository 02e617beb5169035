"""Receiving a take: from a job just submitted, or from one that outlived a connection or Blender itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ex4d_protocol import events as ev
from ex4d_protocol.requests import Generate

from . import files, jobs
from .errors import AddonError, LinkLost
from .identity import Identity, OpenTake
from .link import Link
from .tasks import Steps


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
    **arguments: Any,
) -> Steps[GeneratedTake]:
    """Generate a take into the next free ``take_NNN`` of ``folder``. Its ``take.json`` is written last.

    ``note`` makes the journal's entry from the job's id and the take's folder. ``arguments`` go to
    :func:`jobs.run_with_clip`.
    """
    target = files.free_folder(folder, "take")
    submitted: list[str] = []

    def on_submit(job_id: str) -> None:
        _forget(identity, submitted)
        submitted[:] = [job_id]
        identity.remember(note(job_id, target))

    with _journalled(identity, submitted), _receiving(target) as writer:
        job_id = yield from jobs.run_with_clip(
            link, clip, make, title="Generate", on_item=writer.take, on_submit=on_submit, **arguments
        )
        done = writer.finish()
    link.client.ack(job_id)
    return done


def resume(link: Link, identity: Identity, entry: OpenTake) -> Steps[GeneratedTake]:
    """Receive a take that was under way when Blender or the connection went."""
    target = Path(entry.folder)
    shutil.rmtree(target, ignore_errors=True)  # frames of the earlier try; all come again
    with _journalled(identity, [entry.job_id]), _receiving(target) as writer:
        yield from link.follow_job(entry.job_id, on_item=writer.take)
        done = writer.finish()
    link.client.ack(entry.job_id)
    return done


class _TakeWriter:
    """Writes a Generate job's items to a folder as they come."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._coverage = np.zeros(0)
        self._metadata: dict[str, Any] = {}
        self._frames: set[int] = set()

    def take(self, item: ev.ItemReceived) -> None:
        """Store one item. Raises AddonError if it cannot be written."""
        if item.name == "frame":
            files.write_whole(self._folder / files.frame_name(item.frame), item.data)
            self._frames.add(item.frame)
        elif item.name == "coverage":
            self._coverage = np.array(item.array(), np.float64)
        elif item.name == "take":
            self._metadata = item.json()

    def finish(self) -> GeneratedTake:
        """Write ``take.json``. Raises AddonError if a frame is missing."""
        count = len(self._frames)
        if not count or self._frames != set(range(count)):
            raise AddonError(f"The take has gaps: only {count} frames came back; generate it again.")
        # Coverage goes along, so that a take found again later can be listed as if it had been delivered at once.
        document = {**self._metadata, "coverage": self._coverage.tolist()}
        files.write_whole(self._folder / files.TAKE_FILE, json.dumps(document, indent=2).encode())
        return GeneratedTake(self._folder, self._metadata, self._coverage, count)


@contextmanager
def _receiving(target: Path) -> Iterator[_TakeWriter]:
    with jobs.new_folder(target, in_place=True) as folder:
        yield _TakeWriter(folder)


@contextmanager
def _journalled(identity: Identity, submitted: list[str]) -> Iterator[None]:
    """Strike the entry off once there is nothing left to find again: not while the job may still be running."""
    try:
        yield
    except (LinkLost, GeneratorExit):
        raise
    except BaseException:
        _forget(identity, submitted)
        raise
    _forget(identity, submitted)


def _forget(identity: Identity, submitted: list[str]) -> None:
    for job_id in submitted:
        identity.forget(job_id)
