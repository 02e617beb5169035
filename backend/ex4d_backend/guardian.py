"""Keeps a server process running: it starts one, and another when that ended by a fault.

A crash of a library (libzmq ends its process where a peer resets a connection in a certain state, see
``framing.KEEP_ALIVE``) or the system's want of memory ends the server like any kill: nothing accepted is lost, and
clients connect again by themselves, once there is a server on the same port. This process sees to that, on every system
and whatever started it. It reads nothing from the network.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal

from ex4d.processes import end_with_parent
from ex4d_backend.data_folder import file_at
from ex4d_backend.process_ids import describe_exit
from ex4d_ground.errors import Ex4dError, InputError, SettingError
from ex4d_ground.files import atomic_path, read_text, require_regular

log = logging.getLogger("ex4d_backend.guardian")

STEADY_S = 60.0
"""A server that ran for so long did not end of how it was started."""
ENDS_IN_A_ROW = 10
"""So many that ran for less are one fault that a start does not mend."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0
"""Before a start, doubled with every end in a row."""
_TOKEN_VARIABLE, _FAULT_VARIABLE = "EX4D_GUARDIAN_TOKEN", "EX4D_GUARDIAN_FAULT"
_ADDRESS_FILE = "guarded"
_OWN_FAULTS = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGTRAP"}
UNEXPECTED = 70
"""Exit code of a guarded server that ended by an exception of its own."""
_FIRST_STATUS_OF_A_CRASH = 0x4000_0000
"""Of Windows' exit codes: those above are exceptions that nobody took."""


class Guardian:
    """Runs this program's own command line as its server process. See :meth:`run`."""

    def __init__(self, *, wait_s: float = FIRST_WAIT_S) -> None:
        """``wait_s`` is waited before the second start, and twice as long before each next one in a row."""
        self._first_wait_s = wait_s
        self._token = secrets.token_hex(16)
        self._server: subprocess.Popen[bytes] | None = None
        self._asked_to_stop = threading.Event()

    def run(self) -> int:
        """Start the server until it ends otherwise than by a fault; returns its exit code.

        SIGTERM and SIGINT are passed on to it. Raises Ex4dError if it ends by a fault again and again.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        in_a_row, again, fault = 0, False, False
        while True:
            began = time.monotonic()
            code = self._serve(fault=fault)
            ran_s = time.monotonic() - began
            if self._asked_to_stop.is_set() or not (is_fault(code) or (again and may_pass(code))):
                return 0 if code in (-signal.SIGTERM, -signal.SIGINT) else _exit_code(code)
            in_a_row = 1 if ran_s >= STEADY_S else in_a_row + 1
            again, fault, how = True, is_own_fault(code), describe_exit(code)
            if in_a_row >= ENDS_IN_A_ROW:
                raise Ex4dError(
                    f"The server ended {in_a_row} times in a row within {STEADY_S:.0f} s of its start, and is not "
                    f"started again; the last one {how}. What it said stands above."
                )
            wait_s = min(LONGEST_WAIT_S, self._first_wait_s * 2 ** (in_a_row - 1))
            log.error("the server %s after %.1f s; it is started again in %.1f s", how, ran_s, wait_s)
            if self._asked_to_stop.wait(wait_s):
                return 0

    def _serve(self, *, fault: bool) -> int:
        """One server process from start to end; its exit code, negative for a signal."""
        own = {_TOKEN_VARIABLE: f"{os.getpid()} {self._token}", _FAULT_VARIABLE: "1" if fault else ""}
        # A session of its own: Ctrl-C in a terminal comes once, by way of this process.
        try:
            self._server = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env={**os.environ, **own},
                stdin=subprocess.PIPE,
                start_new_session=os.name != "nt",
            )
        except OSError as error:  # no memory, or no process left
            log.error("the server could not be started (%s)", error.strerror or error)
            return UNEXPECTED
        if self._asked_to_stop.is_set():  # between two servers
            self._server.terminate()
        return self._server.wait()

    def _pass_on(self, number: int, _frame: Any) -> None:
        self._asked_to_stop.set()
        server = self._server
        if server is not None and server.poll() is None and os.name != "nt":  # there the console tells both
            server.send_signal(number)


def is_wanted(choice: Literal["auto", "on", "off"], *, parent: int | None) -> bool:
    """Whether this process is to be a guardian, by the setting; ``parent`` is the process that the server ends with."""
    if choice == "auto":
        return parent is not None or (sys.stdin is not None and sys.stdin.isatty())
    return choice == "on"


def is_fault(code: int) -> bool:
    """Whether a server with this exit code ended by a crash, an abort, a kill or a fault in its code."""
    if code == UNEXPECTED:
        return True
    if os.name == "nt":
        return code % (1 << 32) >= _FIRST_STATUS_OF_A_CRASH
    return code < 0 and -code not in (signal.SIGTERM, signal.SIGINT)


def is_own_fault(code: int) -> bool:
    """Whether the process itself did what ended it, and not, as with a kill, the machine or a person."""
    if os.name == "nt" or code == UNEXPECTED:
        return is_fault(code)
    return code < 0 and signal.Signals(-code).name in _OWN_FAULTS


def may_pass(code: int) -> bool:
    """Whether what kept a server from starting again may be gone soon: its port or its folder is still held."""
    return code not in (0, SettingError.exit_code)


def _exit_code(code: int) -> int:
    return 128 - code if code < 0 else code


class Guarded:
    """The server's side: what its guardian told it, which is nothing where there is none."""

    def __init__(self) -> None:
        """Ties this process to its guardian: it ends when that one does, even by a kill."""
        told, self.after_fault = os.environ.pop(_TOKEN_VARIABLE, ""), bool(os.environ.pop(_FAULT_VARIABLE, ""))
        """``after_fault``: the server before this one ended by a fault of its own, none of the jobs'."""
        pid, _, self._token = told.partition(" ")
        self.by_guardian = bool(self._token)
        if self.by_guardian:
            end_with_parent(int(pid))
            threading.Thread(target=_end_when_alone, name="guardian", daemon=True).start()

    def address_for(self, folder: Path, address: str) -> str:
        """``address``, or that of this guardian's server before: a free port must be the same one again."""
        if not self.by_guardian:
            return address
        try:
            require_regular(folder / _ADDRESS_FILE, 1024, InputError)
            token, _, last = read_text(folder / _ADDRESS_FILE).strip().partition(" ")
        except (OSError, ValueError):  # there is none yet, or it is damaged
            return address
        return last if token == self._token else address

    def keep_address(self, folder: Path, address: str) -> None:
        """Note where this server listens, for the next one. Raises OutputError."""
        if self.by_guardian:
            with atomic_path(file_at(folder / _ADDRESS_FILE)) as path:
                path.write_text(f"{self._token} {address}\n", "ascii")


def _end_when_alone() -> None:
    """Wait until standard input closes: the guardian has ended, however that was."""
    while os.read(0, 4096):
        pass
    os._exit(3)
