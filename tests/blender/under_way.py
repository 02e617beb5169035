"""A take under way, as the tests of what may happen meanwhile need it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ex4d_ground.files import frame_name


def begin(blender: Any, seed: int = 1) -> Any:
    """A take as the modal operator begins it, left alone as if the operator were gone."""
    from blender_addon.takes import generate

    task = generate.start(blender.context, engine="preview", seed=seed, settings={})
    task.watched_at = 0.0
    return task


def spin(done, seconds: float = 240.0) -> None:
    """What Blender's timer does, until ``done`` and nothing waits to be delivered."""
    from blender_addon.work import session, timer

    end = time.monotonic() + seconds
    while not done() or session.get().undelivered:
        assert time.monotonic() < end, "it never came to an end"
        timer.tick()
        time.sleep(0.005)


@pytest.fixture
def two_frames(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The disk takes two frames of a take and stands still, until this event is set or the take is given up."""
    from blender_addon.work.writer import FolderWriter

    goes_on, write, stop = threading.Event(), FolderWriter.write, FolderWriter._stop

    def held(writer: FolderWriter, name: str | Path, data: bytes | memoryview) -> None:
        if name == frame_name(2):
            writer.hand(lambda: goes_on.wait(240))
        write(writer, name, data)

    def given_up(writer: FolderWriter) -> None:
        writer._dropped = True
        if writer.folder.name.startswith("take_"):  # not where a clip has come
            goes_on.set()
        stop(writer)

    monkeypatch.setattr(FolderWriter, "write", held)
    monkeypatch.setattr(FolderWriter, "_stop", given_up)
    yield goes_on
    goes_on.set()


def spin_to_two_frames(task: Any) -> None:
    """Until two frames of the take are on disk; with :func:`two_frames` the others cannot be."""
    from blender_addon.work import session

    end = time.monotonic() + 240
    while task.arrival.count < 2:
        assert time.monotonic() < end and not task.finished, task.error
        session.get().tick()
        time.sleep(0.005)
    assert not task.finished and task.arrival.count == 2


def started(task: Any) -> bool:
    return task.progress.stage != "starting"


def take_files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())
