"""Files by content: verified before they count, and used only by those who have shown that they have the bytes."""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ex4d_backend.blob_files import blob_path, digest_of
from ex4d_backend.client_errors import Refusal
from ex4d_backend.data_folder import folder_at, set_aside
from ex4d_backend.possession import Possession
from ex4d_ground.files import output_error
from ex4d_protocol.proofs import proof_of
from ex4d_protocol.requests import BlobRef

log = logging.getLogger("ex4d_backend.blobs")

CHECK_AGAIN_S = 10.0
"""A blob whose job or live view failed is read again if it was last found right longer ago than that."""


class BlobStore:
    """Content-addressed files below one folder. All methods are for the I/O loop; none hashes.

    A blob found on disk at the start counts once it was read through and is what its name says (:meth:`check`). It is
    used by those alone who sent it, proved that they have it, or whose job made it. A thread reads and hands over by
    ``post``.
    """

    def __init__(self, folder: Path, *, post: Callable[[Callable[[], None]], None], clock: Callable[[], float]) -> None:
        """Open the store. ``clock`` counts served seconds; a blob's last use is kept by it as the file's own time.

        Raises OutputError.
        """
        self._clock, self._post = clock, post
        self.folder = folder_at(folder)
        self._sizes = _blobs_in(folder)
        self._verified: dict[str, float] = {}
        """Blobs that were read or written in this run, and when (monotonic)."""
        self._checks: dict[str, list[Callable[[], None]]] = {}
        """What waits for the blobs that are being read."""
        self._total = sum(self._sizes.values())
        self._possession = Possession(folder / "owners", self._sizes)
        self._reader = ThreadPoolExecutor(1, "blob-reader")
        self._prover = ThreadPoolExecutor(1, "blob-prover")

    # --- what is here -------------------------------------------------------------------------------------

    @property
    def total_bytes(self) -> int:
        """Size of all whole blobs."""
        return self._total

    def has(self, digest: str, size: int) -> bool:
        """Whether the whole blob is here, and was found to be right in this run."""
        return digest in self._verified and self._sizes.get(digest) == size

    def has_for(self, owner: str, digest: str, size: int) -> bool:
        """Whether it is here and ``owner`` has shown to have it."""
        return self.has(digest, size) and self._possession.has(owner, digest)

    def path(self, digest: str) -> Path:
        """Where a whole blob is."""
        return blob_path(self.folder, digest)

    def touch(self, digest: str) -> None:
        """Note that a job uses it, which puts off its expiry."""
        with suppress(OSError):  # a disk that cannot be written expires nothing either
            os.utime(self.path(digest), (self._clock(), self._clock()))

    def require(self, owner: str, refs: Collection[BlobRef], what: str) -> None:
        """Note that a job or view of ``owner`` uses blobs. Raises Refusal if some are not there for it."""
        missing = [ref for ref in refs if not self.has_for(owner, ref.sha256, ref.size)]
        if missing:
            names = ", ".join(ref.name or ref.sha256[:12] for ref in missing[:3])
            raise Refusal("blob_missing", f"{len(missing)} files of this {what} were not uploaded yet ({names}).")
        for ref in refs:
            self.touch(ref.sha256)

    # --- reading what was there before --------------------------------------------------------------------

    def check(self, digests: Iterable[str], then: Callable[[], None]) -> None:
        """Call ``then`` once those of ``digests`` that are here were found right in this run, or dropped."""
        doubted = [digest for digest in set(digests) if digest in self._sizes and digest not in self._verified]
        if not doubted:
            then()
            return
        left = len(doubted)

        def one_less() -> None:
            nonlocal left
            left -= 1
            if not left:
                then()

        for digest in doubted:
            self._read_through(digest, one_less)

    def check_again(self, digests: Iterable[str]) -> bool:
        """What used these failed: read them again, in case the disk has changed them meanwhile.

        Whether some are not there any more, which is known at once.
        """
        now, lost = time.monotonic(), False
        for digest in digests:
            if digest in self._sizes and self._size_on_disk(digest) != self._sizes[digest]:
                self._lose(digest)
            if digest not in self._sizes:
                lost = True
            elif now - self._verified.get(digest, now) > CHECK_AGAIN_S:
                self._read_through(digest, lambda: None)
        return lost

    def _size_on_disk(self, digest: str) -> int:
        try:
            return self.path(digest).stat().st_size
        except OSError:
            return -1

    def _read_through(self, digest: str, then: Callable[[], None]) -> None:
        waiting = self._checks.setdefault(digest, [])
        waiting.append(then)
        if len(waiting) == 1:
            self._reader.submit(self._check, digest, self._verified.get(digest))

    def _check(self, digest: str, known: float | None) -> None:
        """On the reading thread."""
        try:
            right = digest_of(self.path(digest)) == digest
        except OSError:
            right = False
        self._post(lambda: self._checked(digest, right, known))

    def _checked(self, digest: str, right: bool, known: float | None) -> None:
        """On the loop, after :meth:`_check`; a blob that came anew meanwhile stays."""
        if right:
            self._verified[digest] = time.monotonic()
        elif digest in self._sizes and self._verified.get(digest) == known:
            self._lose(digest)
        for then in self._checks.pop(digest, []):
            then()

    def _lose(self, digest: str) -> None:
        log.error("blob %s is damaged or gone; who needs it is asked for it again", digest)
        with suppress(OSError):
            self.path(digest).unlink()
        self._drop(digest)

    def _drop(self, digest: str) -> None:
        self._total -= self._sizes.pop(digest)
        self._verified.pop(digest, None)
        self._possession.forget(digest)

    def prove(self, owner: str, nonce: str, proofs: Collection[tuple[BlobRef, str]], then: Callable[[], None]) -> None:
        """Let ``owner`` use those blobs whose proof is right, then call ``then`` on the loop."""
        known = [(ref, proof) for ref, proof in proofs if self.has(ref.sha256, ref.size)]
        self._prover.submit(self._compare, owner, nonce, known, then)

    def _compare(self, owner: str, nonce: str, known: list[tuple[BlobRef, str]], then: Callable[[], None]) -> None:
        """On a thread of its own: who waits for it is not held up by large files that are read through."""
        right: list[str] = []
        for ref, proof in known:
            with suppress(OSError), self.path(ref.sha256).open("rb") as file:

                def read(offset: int, length: int, file: Any = file) -> bytes:
                    file.seek(offset)
                    return file.read(length)

                if proof_of(nonce, ref.sha256, ref.size, read) == proof:
                    right.append(ref.sha256)

        def believe() -> None:
            for digest in right:
                if digest in self._sizes:
                    self._possession.grant(owner, digest)
            then()

        self._post(believe)

    def add(self, owner: str, digest: str, size: int) -> None:
        """A whole and right file of ``owner`` has come to its place."""
        self._total += size - self._sizes.get(digest, 0)
        self._sizes[digest] = size
        self._verified[digest] = time.monotonic()
        self._possession.grant(owner, digest)
        self.touch(digest)

    def adopt(self, owner: str, path: Path, digest: str, size: int) -> None:
        """Take over a file that a job of ``owner`` made, on the same disk; it is a blob like any upload then.

        Raises OutputError.
        """
        if not self.has(digest, size):
            target = self.path(digest)
            try:
                folder_at(target.parent)
                path.replace(target)
            except OSError as error:
                raise output_error(self.folder, error) from None
        self.add(owner, digest, size)

    # --- cleaning -----------------------------------------------------------------------------------------

    def expire(self, *, ttl_s: float, in_use: set[str]) -> list[str]:
        """Delete blobs nobody has used for ``ttl_s`` and that no waiting job needs."""
        gone: list[str] = []
        now = self._clock()
        for digest in [d for d in self._sizes if d not in in_use and d not in self._checks]:
            path = self.path(digest)
            try:
                used = path.stat().st_mtime
                if used > now + 1.0:
                    self.touch(digest)  # from elsewhere, by another clock: it begins to count now
                elif used < now - ttl_s:
                    path.unlink()
                    gone.append(digest)
            except OSError:
                gone.append(digest)  # removed by hand: no longer here either way
        for digest in gone:
            self._drop(digest)
        self._possession.tidy()
        return gone

    def close(self) -> None:
        """Stop the threads."""
        for thread in (self._reader, self._prover):
            thread.shutdown(wait=True, cancel_futures=True)
        self._possession.close()


def _blobs_in(folder: Path) -> dict[str, int]:
    """Digest and size of what lies in a blob's place; what is no file is set aside. Raises OutputError."""
    found: dict[str, int] = {}
    for path in folder.glob("??/*"):
        if len(path.name) != 64:
            continue
        if not path.is_file() or path.is_symlink():
            set_aside(path)
            continue
        found[path.name] = path.stat().st_size
    return found
