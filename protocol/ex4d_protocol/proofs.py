"""Proof of having a blob without sending it: a digest of a nonce and of stretches of its bytes that the nonce picks.

Both sides compute the same. Who has not got the bytes cannot, whatever digests and sizes they know; who has seen part
of them cannot either, but by luck.
"""

import hashlib
from collections.abc import Callable, Iterator

STRETCHES, STRETCH_BYTES = 32, 4096
"""So many stretches of so many bytes; a blob that is not larger than all of them together is taken whole."""
MAX_PROOFS = 100
"""Proofs in one ProveBlobs: a client sends the next when it is answered."""


def stretches(nonce: str, sha256: str, size: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of each stretch, in order; they may overlap."""
    if size <= STRETCHES * STRETCH_BYTES:
        yield 0, size
        return
    for k in range(STRETCHES):
        picked = hashlib.sha256(f"{nonce} {sha256} {k}".encode()).digest()
        yield int.from_bytes(picked[:8], "little") % (size - STRETCH_BYTES + 1), STRETCH_BYTES


def proof_of(nonce: str, sha256: str, size: int, read: Callable[[int, int], bytes | memoryview]) -> str:
    """The proof, 64 hexadecimal digits: SHA-256 of ``"NONCE SHA256 "`` and of the bytes ``read(offset, length)``."""
    hasher = hashlib.sha256(f"{nonce} {sha256} ".encode())
    for offset, length in stretches(nonce, sha256, size):
        hasher.update(read(offset, length))
    return hasher.hexdigest()
