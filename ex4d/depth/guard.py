"""Runs a program and sees to its end: when this process's standard input closes, whoever closed it, all of it is ended.

Started as a script of its own, ``python guard.py PROGRAM ARGUMENTS``, by who wants the program's work. However that one
ends, by a kill too, the system closes its end of the pipe. The program runs in a process group (on Windows: a job
object) together with what it starts; on Linux, what has left the group is found by a mark in its environment, and the
program also ends with this process. Its output goes where this process's goes; its exit is repeated here.
"""

import ctypes
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

MARK = "EX4D_GUARD_MARK"
CANNOT_START = 126
"""Exit code when the program could not be started; why, is the last line of the output."""
TERM_S = 3.0
"""Between asking a program to end and killing it."""


def main(command: list[str]) -> int:
    """Run ``command``; returns the exit code, negative for a signal."""
    mark = os.environ.get(MARK) or secrets.token_hex(16)
    try:
        job = _own_job() if os.name == "nt" else None
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, MARK: mark},
            start_new_session=os.name != "nt",
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    except OSError as error:
        sys.stdout.write(f"cannot be started ({error.strerror or error})\n")
        sys.stdout.flush()
        return CANNOT_START
    threading.Thread(target=_end_when_alone, args=(child, mark, job), daemon=True).start()
    code = child.wait()
    _kill_all(child.pid, mark)  # what it left behind
    return code


def _end_when_alone(child: subprocess.Popen[bytes], mark: str, job: Any) -> None:
    """Wait until standard input closes, then end the program: it is asked, then killed."""
    while os.read(0, 4096):
        pass
    if os.name != "nt":
        _signal_group(child.pid, signal.SIGTERM)
        end = time.monotonic() + TERM_S
        while child.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
    _kill_all(child.pid, mark)
    if job is not None:
        os._exit(1)  # the job object ends with its last handle, and all in it with that
    os._exit(128 + signal.SIGTERM)


def _signal_group(group: int, number: int) -> None:
    with suppress(OSError):  # all of it has ended
        os.killpg(group, number)


def _kill_all(group: int, mark: str) -> None:
    if os.name == "nt":
        return
    _signal_group(group, signal.SIGKILL)
    kill_marked(mark)


def kill_marked(mark: str) -> None:
    """Kill what has ``mark`` in its environment, but this process; only Linux can tell."""
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if int(folder.name) != os.getpid() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _own_job() -> Any:
    """Put this process into a job object of Windows that kills all in it when its last handle closes."""
    kernel: Any = getattr(ctypes, "windll").kernel32  # noqa: B009 - exists on Windows only
    kernel.CreateJobObjectW.restype = ctypes.c_void_p
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    job = kernel.CreateJobObjectW(None, None)
    # JOBOBJECT_EXTENDED_LIMIT_INFORMATION (9): all zero but LimitFlags, which follows two 64-bit times.
    limits = (ctypes.c_uint64 * 18)()
    ctypes.cast(limits, ctypes.POINTER(ctypes.c_uint32))[4] = 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    kernel.SetInformationJobObject(ctypes.c_void_p(job), 9, limits, ctypes.sizeof(limits))
    kernel.AssignProcessToJobObject(ctypes.c_void_p(job), ctypes.c_void_p(kernel.GetCurrentProcess()))
    return job


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    if ended < 0 and os.name != "nt":
        signal.signal(-ended, signal.SIG_DFL) if -ended not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -ended)
    os._exit(ended if ended >= 0 else 1)
