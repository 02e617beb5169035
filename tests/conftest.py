"""Ends the test process cleanly where Blender's module cannot."""

from __future__ import annotations

import os
import sys

import pytest

_status = 0


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    global _status
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    # With other libraries' threads in the process, Blender's own destructors can wait forever at interpreter exit.
    # By now every fixture is torn down and the summary is printed.
    if "bpy" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status)
