"""A backend process that the add-on started and therefore also stops."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path
from typing import IO

from ex4d_ground.remedies import connect, install_backend

from . import install, locks
from .addon import log
from .errors import AddonError
from .tasks import Steps

COMMAND_ENV = "EX4D_BACKEND_COMMAND"
WEIGHTS_ENV = "EX4D_BACKEND_WEIGHTS_DOWNLOADS"
DATA_ENV = "EX4D_BACKEND_DATA_DIR"
SPEAKER = "ex4d-backend: "
"""What the backend puts before a sentence of its own when it cannot go on."""


def find_command(preferred: str = "") -> list[str]:
    """The command that starts a backend, without its arguments.

    In this order: ``preferred``, the environment's EX4D_BACKEND_COMMAND, the environment that the install command
    makes, ``ex4d-backend`` on the PATH, this interpreter if it has the backend installed. Raises AddonError if there is
    none.
    """
    given = preferred or os.environ.get(COMMAND_ENV, "")
    if given:
        return shlex.split(given, posix=os.name != "nt")
    own, broken = install.installed(), install.is_broken()
    found = shutil.which(install.PROGRAM) if own is None or broken else str(own)
    if found:
        return [found]
    if importlib.util.find_spec("ex4d_backend") is not None:
        return [sys.executable, "-m", "ex4d_backend"]
    if own is not None and broken:
        raise AddonError(f"The backend {own} does not start: its Python is gone.", remedy=install_backend())
    raise AddonError("No EX-4D backend is installed here.", remedy=install_backend())


class LocalBackend:
    """A running backend on a free port of this machine. Its output goes to ``log_path``.

    It keeps jobs and uploads in a folder below ``base`` (of ``preferred``, if one of them is free) and ends by itself
    if Blender does.
    """

    def __init__(self, command: list[str], *, base: Path, preferred: Iterable[Path] = ()):
        self.folder, self._claim = _claim_data_folder(base, preferred)
        folder = self.folder
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
            self._claim.close()
            raise AddonError(
                f"The backend '{self._command}' could not be started ({error.strerror or error}).",
                remedy=install_backend(),
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
        try:
            if self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait(timeout=5)
        finally:
            self._claim.close()

    def _last_words(self) -> str:
        """What the backend said itself before it ended, as ``: words``; "" if it said nothing of its own."""
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        said = [line.removeprefix(SPEAKER) for line in lines if line.startswith(SPEAKER)]
        return f": {said[-1].rstrip('.')}" if said else ""


CLAIM_FILE, LOCK_FILE = "started.lock", "lock"
"""Held by the Blender that starts a backend, and by the backend itself."""
LEAVING_S = 3.0
"""A backend whose Blender is gone needs a moment to notice."""


def _claim_data_folder(base: Path, preferred: Iterable[Path]) -> tuple[Path, IO[bytes]]:
    """A folder below ``base`` that no other Blender and no running backend uses, and the lock that keeps it so.

    A ``preferred`` one, which has takes to deliver, is waited for if its backend is about to end, its Blender being
    gone. Raises AddonError if nothing can be written there.
    """
    wanted = [path for path in dict.fromkeys(preferred) if path.parent == base and path.is_dir()]
    numbered = (base / f"local-{number}" for number in count(1))
    for path in chain(wanted, numbered):
        try:
            claim = locks.try_lock(path / CLAIM_FILE)
        except OSError as error:
            raise AddonError(
                f"Cannot write to {base}: {error.strerror or error}; choose another Backend Folder in the preferences."
            ) from error
        if claim is None:
            continue
        end = time.monotonic() + (LEAVING_S if path in wanted else 0.0)
        while (held := locks.is_held(path / LOCK_FILE)) and time.monotonic() < end:
            time.sleep(0.05)
        if not held:
            return path, claim
        claim.close()
    raise AssertionError("there is no last number")


def _clean_environment() -> dict[str, str]:
    """This process's environment without what Blender sets for its own Python.

    Who uses this backend sits at its machine: it may download weights once they agree, unless someone forbade it.
    """
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONSTARTUP")}
    return {WEIGHTS_ENV: "true", **kept}
