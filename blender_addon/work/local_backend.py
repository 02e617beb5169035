"""A backend process that the add-on started and therefore also stops."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

from ex4d_ground.remedies import connect

from . import locks
from .addon import log
from .errors import AddonError
from .tasks import Steps

COMMAND_ENV = "EX4D_BACKEND_COMMAND"
DATA_ENV = "EX4D_BACKEND_DATA_DIR"
SPEAKER = "ex4d-backend: "
"""What the backend puts before a sentence of its own when it cannot go on."""


def find_command(preferred: str = "") -> list[str]:
    """The command that starts a backend, without its arguments.

    In this order: ``preferred``, the environment's EX4D_BACKEND_COMMAND, ``ex4d-backend`` on the PATH, this
    interpreter if it has the backend installed. Raises AddonError if there is none.
    """
    given = preferred or os.environ.get(COMMAND_ENV, "")
    if given:
        return shlex.split(given, posix=os.name != "nt")
    installed = shutil.which("ex4d-backend")
    if installed:
        return [installed]
    if importlib.util.find_spec("ex4d_backend") is not None:
        return [sys.executable, "-m", "ex4d_backend"]
    raise AddonError(
        "No EX-4D backend is installed here; install it with 'pip install ex4d', or set its command in the "
        "add-on's preferences."
    )


class LocalBackend:
    """A running backend on a free port of this machine. Its output goes to ``log_path``.

    It keeps jobs and uploads in a folder below ``base`` and ends by itself if Blender does.
    """

    def __init__(self, command: list[str], *, base: Path):
        folder = _free_data_folder(base)
        self.log_path = folder / "backend.log"
        self._port_file = folder / "address"
        self._command = command[0]
        full = [*command, "--address", "tcp://127.0.0.1:auto", "--data-dir", str(folder)]
        full += ["--port-file", str(self._port_file), "--exit-with-parent", str(os.getpid())]
        log.info("starting %s", shlex.join(full))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._port_file.unlink(missing_ok=True)
            with self.log_path.open("wb") as output:
                self._process = subprocess.Popen(
                    full, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=_clean_environment()
                )
        except OSError as error:
            raise AddonError(
                f"The backend '{self._command}' could not be started ({error.strerror or error}); "
                "check its command in the add-on's preferences."
            ) from error

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_address(self, timeout_s: float) -> Steps[str]:
        """Steps until it listens; returns its address. Raises AddonError if it ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not self._port_file.exists():
            reason = self.why_gone()
            if reason:
                raise AddonError(reason, remedy=connect("to start it again"))
            if time.monotonic() > deadline:
                raise AddonError(
                    f"The backend '{self._command}' did not start within {timeout_s:.0f} s; its log is {self.log_path}."
                )
            yield None
        return self._port_file.read_text(encoding="utf-8").strip()

    def why_gone(self) -> str | None:
        """One sentence if the process has ended, None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        last = self._last_words()
        return f"The local backend has ended (exit code {code}{last}); its log is {self.log_path}."

    def worker_words(self) -> str | None:
        """What the worker last wrote before it ended, and where its log is; None if it wrote nothing."""
        logs = sorted((self.log_path.parent / "logs").glob("worker-*.log"), key=lambda path: path.stat().st_mtime)
        for path in reversed(logs):
            lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines:
                return f"{lines[-1].strip().rstrip('.')}; its log is {path}."
        return None

    def stop(self) -> None:
        """Ask it to end, and insist after five seconds."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=5)

    def _last_words(self) -> str:
        """What the backend said itself before it ended, as ``: words``; "" if it said nothing of its own."""
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        said = [line.removeprefix(SPEAKER) for line in lines if line.startswith(SPEAKER)]
        return f": {said[-1].rstrip('.')}" if said else ""


def _free_data_folder(base: Path) -> Path:
    """The first folder below ``base`` that no running backend holds; a second Blender gets its own."""
    return next(path for number in count(1) if not locks.is_held((path := base / f"local-{number}") / "lock"))


def _clean_environment() -> dict[str, str]:
    """This process's environment without what Blender sets for its own Python."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONSTARTUP")}
