"""Ends a process where Blender's module cannot: a pytest plugin, and the same for the scripts of tests.

With other libraries' threads in the process, Blender's own destructors can wait forever while the interpreter ends, and
4.2 frees classes of panels after it, which crashes. So the process is left once the outcome is known.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest

_status: int | None = None
"""Of a session that came to its end; without one, the interpreter ends as it would, with a code of its own."""


def register(config: pytest.Config, *plugins: object) -> None:
    """Register plugins of ours once, whichever conftest is read first."""
    for plugin in plugins:
        if not config.pluginmanager.is_registered(plugin):
            config.pluginmanager.register(plugin)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    global _status
    yield  # what another plugin raises here ends the session without a status
    _status = int(session.exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if "bpy" in sys.modules and _status is not None:  # every fixture is torn down, and the summary is printed
        _end(_status)


@contextlib.contextmanager
def leave() -> Iterator[None]:
    """End the process after the block, with exit code 1 and the traceback if it raises."""
    try:
        yield
    except BaseException:
        sys.excepthook(*sys.exc_info())
        _end(1)
        raise
    _end(0)


def _end(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
