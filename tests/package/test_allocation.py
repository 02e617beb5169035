"""Memory of frames that are no longer needed serves the next ones."""

import subprocess
import sys

import pytest

CODE = """
import ctypes, resource, sys
from ex4d import allocation
getattr(allocation, sys.argv[1])()
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    block = c.malloc(8 << 20)
    ctypes.memset(block, 1, 8 << 20)
    c.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun)
allocation.give_back_kept()
"""


def page_faults(policy: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, policy], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only GNU's C library is told so")
def test_freed_blocks_of_frames_are_used_again_instead_of_being_cleared_anew() -> None:
    assert page_faults("keep_blocks_of_frames") * 10 < page_faults("give_back_large_blocks")
