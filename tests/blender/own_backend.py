"""Waiting for a backend that the add-on's own code has started."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blender_addon.work.local_backend import LocalBackend


def address_of(running: LocalBackend) -> str:
    """Where it listens, once it does."""
    steps = running.wait_address(240)
    while True:
        try:
            next(steps)
            time.sleep(0.05)
        except StopIteration as end:
            return end.value
