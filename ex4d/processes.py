"""Processes that end with the one that started them."""

import os
import signal
import sys


def end_with_parent(pid: int) -> None:
    """Have the system end this process when the one that started it, ``pid``, ends, even by a kill, where it can.

    Ends this process at once if that one has ended by now.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.name == "posix" and os.getppid() != pid:
        os._exit(3)
