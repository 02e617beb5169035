"""Whether a process is there and how it ended, on every system."""

import os
import signal
from typing import Any


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number; one that has ended and was not waited for counts as there."""
    if os.name == "nt":
        import ctypes

        windll: Any = getattr(ctypes, "windll")  # noqa: B009 - exists on Windows only
        handle = windll.kernel32.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
        if not handle:
            return False
        gone = windll.kernel32.WaitForSingleObject(handle, 0) == 0
        windll.kernel32.CloseHandle(handle)
        return not gone
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def describe_exit(code: int) -> str:
    """What a process's exit code means, as a clause after its name."""
    if code == -signal.SIGSEGV:
        return "crashed (segmentation fault)"
    if os.name == "posix" and code == -signal.SIGABRT:
        return "crashed (a library ended it)"
    if os.name == "posix" and code == -signal.SIGKILL:
        return "was killed from outside (often because the system ran out of memory)"
    if code < 0:
        return f"was ended by signal {-code}"
    return f"left with exit code {code}"
