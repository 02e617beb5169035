"""Work for a Blender of its own without a window: exporters that would hold the artist's own up, and might end it."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from ..work import files
from ..work.addon import log
from ..work.errors import AddonError
from ..work.tasks import Steps, TaskProgress

SPOKEN = "ex4d: "
"""How lines begin that the second Blender means for us: a JSON object with ``stage``, or with ``error``."""

_LEAST_ROOM = 4 << 20
"""Bytes: with less, it is the full disk that ended the second Blender. Exporters abort there, without a word."""


def run(script: Path, told: Path, log_path: Path, *, target: Path) -> Steps[None]:
    """Have a second Blender run ``script`` with the file ``told``, as steps that tell its progress.

    It is ended with the steps, whatever ends them. Raises AddonError with its own sentence if it fails; StorageError,
    which names ``target``, if the disk of its log is full.
    """
    with _started(script, told, log_path) as process, log_path.open("rb") as said:
        error, rest = "", b""
        while True:
            ended = process.poll() is not None
            *lines, rest = (rest + said.read()).split(b"\n")
            for line in (each.decode(errors="replace") for each in lines):
                if line.startswith(SPOKEN):
                    news = _news(line)
                    error = str(news.get("error", error))
                    yield TaskProgress(str(news.get("stage", "")), int(news.get("done", 0)), int(news.get("total", 0)))
            if ended:
                break
            yield None
    if process.returncode and not error:
        with files.writing(target):
            files.try_room(log_path.with_name("room"), _LEAST_ROOM)
    if error or process.returncode:
        raise AddonError(
            error or f"The second Blender, which writes the files, ended with code {process.returncode}; try again.",
            detail="\n".join(log_path.read_text("utf-8", "replace").splitlines()[-30:]),
        )


def _news(line: str) -> dict[str, Any]:
    """What a line tells; nothing if something else wrote into it."""
    with contextlib.suppress(json.JSONDecodeError):
        return json.loads(line.removeprefix(SPOKEN))
    return {}


@contextlib.contextmanager
def _started(script: Path, told: Path, log_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*_command(), str(script), "--", str(told)]
    log.info("starting %s", command)
    try:
        with log_path.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=_environment()
            )
    except OSError as error:
        raise AddonError(
            f"A second Blender, which writes the files, could not be started ({error.strerror or error}); "
            "close what you do not need and try again."
        ) from error
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _command() -> list[str]:
    """What runs a script in Blender without the artist's settings; Blender as a Python module has no program."""
    if not bpy.app.binary_path:
        return [sys.executable]
    return [bpy.app.binary_path, "--background", "--factory-startup", "--python-exit-code", "1", "--python"]


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONSTARTUP")}


def python_paths() -> list[str]:
    """Where this Blender's Python finds what the add-on imports."""
    return [path for path in sys.path if path and Path(path).exists()]


def write_told(path: Path, told: dict[str, object]) -> None:
    """Write what the second Blender is told. Raises StorageError."""
    files.write_whole(path, json.dumps({**told, "python": python_paths()}).encode())
