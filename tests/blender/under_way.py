"""A take under way, as the tests of what may happen meanwhile need it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def begin(blender: Any, seed: int = 1) -> Any:
    """A take as the modal operator begins it, left alone as if the operator were gone."""
    from blender_addon.takes import generate

    task = generate.start(blender.context, engine="preview", seed=seed, settings={})
    task.watched_at = 0.0
    return task


def spin(done, seconds: float = 60.0) -> None:
    """What Blender's timer does, until ``done`` and nothing waits to be delivered."""
    from blender_addon.work import session, timer

    end = time.monotonic() + seconds
    while not done() or session.get().undelivered:
        assert time.monotonic() < end, "it never came to an end"
        timer.tick()
        time.sleep(0.005)


def started(task: Any) -> bool:
    return task.progress.stage != "starting"


def take_files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())
