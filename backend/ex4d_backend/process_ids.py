"""Whether a process is there, on every system."""

import os
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
