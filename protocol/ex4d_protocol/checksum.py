"""The checksum of a result item: against faulty disks and mistakes on the way, at the speed of memory.

Not against an attacker, who is kept out by CURVE. A CRC or a digest would cost a client as much time as the transfer
itself; sums over 64-bit words run at the speed at which memory can be read.
"""

import numpy as np

BLOCK_BYTES = 32 << 10
_MASK = (1 << 64) - 1


class Checksum:
    """Two sums modulo 2**64 over data that comes in pieces.

    The data is padded with zero bytes to whole blocks of 32 KiB. ``S[k]`` is the sum of block k's little-endian 64-bit
    words; the checksum is the sum of all ``S[k]`` and the sum of all ``(k + 1) * S[k]``, so that a changed word and two
    blocks in the wrong order are both seen. 32 hexadecimal digits, the first sum first.
    """

    def __init__(self) -> None:
        self._sum = self._weighted = self._blocks = 0
        self._rest = b""

    def add(self, data: memoryview | bytes) -> None:
        """Take the next piece."""
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        if self._rest:
            missing = BLOCK_BYTES - len(self._rest)
            self._rest += view[:missing]
            view = view[missing:]
            if len(self._rest) < BLOCK_BYTES:
                return
            self._take(np.frombuffer(self._rest, "<u8"))
        whole = view.nbytes // BLOCK_BYTES * BLOCK_BYTES
        if whole:
            self._take(np.frombuffer(view[:whole], "<u8"))
        self._rest = bytes(view[whole:])

    def _take(self, words: np.ndarray) -> None:  # uint64 [n * BLOCK_BYTES // 8]
        sums = words.reshape(-1, BLOCK_BYTES // 8).sum(axis=1, dtype=np.uint64)
        places = np.arange(self._blocks + 1, self._blocks + 1 + len(sums), dtype=np.uint64)
        self._sum = (self._sum + int(sums.sum())) & _MASK
        self._weighted = (self._weighted + int((sums * places).sum())) & _MASK
        self._blocks += len(sums)

    def digest(self) -> str:
        """The checksum of everything added so far."""
        total, weighted = self._sum, self._weighted
        if self._rest:
            last = int(np.frombuffer(self._rest.ljust(BLOCK_BYTES, b"\0"), "<u8").sum(dtype=np.uint64))
            total, weighted = total + last, weighted + (self._blocks + 1) * last
        return f"{total & _MASK:016x}{weighted & _MASK:016x}"


def checksum_of(data: memoryview | bytes) -> str:
    """The checksum of all of ``data``."""
    checksum = Checksum()
    checksum.add(data)
    return checksum.digest()
