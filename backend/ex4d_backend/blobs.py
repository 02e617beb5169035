"""Uploads by content: resumable, size-checked, verified by one background thread, never under a client's name."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ex4d.errors import InputError
from ex4d.files import output_error

_HASH_SLICE = 1 << 20


class BlobError(InputError):
    """A blob cannot be taken; ``code`` is the wire's."""

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code


@dataclass
class _Partial:
    path: Path
    size: int
    received: int
    touched: float
    verifying: bool = False


class BlobStore:
    """Content-addressed files below one folder. All methods are for the I/O loop; none hashes.

    ``on_verified`` is called *on the verifying thread* with (sha256, error or ""); hand it over to the loop and
    call :meth:`settle` there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        blob_bytes: int,
        room_for: Callable[[int], str],
        on_verified: Callable[[str, str], None],
        clock: Callable[[], float],
    ) -> None:
        """Open the store. ``room_for(size)`` returns "" or the sentence that says why there is no room.

        ``clock`` counts served seconds; the time of a blob's last use is kept by it as the file's own time.
        """
        self._clock = clock
        self._folder = folder
        self._partials_folder = folder / "partial"
        self._blob_bytes = blob_bytes
        self._room_for = room_for
        self._on_verified = on_verified
        try:
            self._partials_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from None
        self._sizes = {p.name: p.stat().st_size for p in folder.glob("??/*") if len(p.name) == 64}
        self._total = sum(self._sizes.values())
        self._partials: dict[str, _Partial] = {}
        for path in self._partials_folder.glob("*.part"):
            digest, _, size = path.stem.partition("-")
            if size.isdigit():
                self._partials[digest] = _Partial(path, int(size), path.stat().st_size, time.monotonic())
        self._to_verify: queue.SimpleQueue[tuple[str, Path] | None] = queue.SimpleQueue()
        self._verifier = threading.Thread(target=self._verify_all, name="blob-verifier", daemon=True)
        self._verifier.start()

    @property
    def total_bytes(self) -> int:
        """Size of all whole blobs and what has arrived of others."""
        return self._total + sum(p.received for p in self._partials.values())

    def has(self, digest: str, size: int) -> bool:
        """Whether the whole blob is here."""
        return self._sizes.get(digest) == size

    def path(self, digest: str) -> Path:
        """Where a whole blob is."""
        return blob_path(self._folder, digest)

    def touch(self, digest: str) -> None:
        """Note that a job uses it, which puts off its expiry."""
        with suppress(OSError):  # a disk that cannot be written expires nothing either
            os.utime(self.path(digest), (self._clock(), self._clock()))

    def received(self, digest: str, size: int) -> int:
        """How many of its first bytes are here; starts the check if that is all of them."""
        partial = self._partials.get(digest)
        if partial is None or partial.size != size:
            return 0
        self._verify_if_whole(digest, partial)
        return partial.received

    def put(self, digest: str, size: int, offset: int, data: memoryview) -> int:
        """Take a chunk; returns how many bytes are here now (more or fewer than sent if it did not fit).

        Raises BlobError (too large, no room, digest used with another size) or OutputError (disk).
        """
        if digest in self._sizes:
            if self._sizes[digest] != size:
                raise BlobError(f"Blob {digest[:12]} has {self._sizes[digest]} bytes here, not {size}.", "bad_request")
            return size
        partial = self._partials.get(digest) or self._begin(digest, size)
        if partial.size != size:
            raise BlobError(f"Blob {digest[:12]} was begun with {partial.size} bytes, not {size}.", "bad_request")
        if offset == partial.received and not partial.verifying and offset + data.nbytes <= size:
            self._append(partial, data)
        self._verify_if_whole(digest, partial)
        return partial.received

    def _begin(self, digest: str, size: int) -> _Partial:
        if size > self._blob_bytes:
            raise BlobError(
                f"A file of {size} bytes is larger than this backend takes ({self._blob_bytes}).", "too_large"
            )
        reason = self._room_for(size)
        if reason:
            raise BlobError(reason, "storage_full")
        partial = _Partial(self._partials_folder / f"{digest}-{size}.part", size, 0, time.monotonic())
        self._partials[digest] = partial
        return partial

    def _append(self, partial: _Partial, data: memoryview) -> None:
        try:
            with partial.path.open("r+b" if partial.path.exists() else "wb") as file:
                file.seek(partial.received)
                file.write(data)
        except OSError as error:
            raise output_error(self._folder, error) from None
        partial.received += data.nbytes
        partial.touched = time.monotonic()

    def _verify_if_whole(self, digest: str, partial: _Partial) -> None:
        if partial.received == partial.size and not partial.verifying:
            partial.verifying = True
            self._to_verify.put((digest, partial.path))

    def _verify_all(self) -> None:
        while (job := self._to_verify.get()) is not None:
            digest, path = job
            try:
                found = _digest_of(path)
                error = "" if found == digest else "The file changed while it was uploaded; upload it again."
                if not error:
                    target = self.path(digest)
                    target.parent.mkdir(exist_ok=True)
                    path.replace(target)
            except OSError as problem:
                error = str(output_error(self._folder, problem))
            self._on_verified(digest, error)

    def settle(self, digest: str, error: str) -> int:
        """On the loop, after ``on_verified``: count the blob as whole (returns its size), or drop what is wrong."""
        partial = self._partials.pop(digest, None)
        if partial is None:
            return 0
        if error:
            partial.path.unlink(missing_ok=True)
        else:
            self._sizes[digest] = partial.size
            self._total += partial.size
            self.touch(digest)
        return partial.size

    def expire(self, *, ttl_s: float, in_use: set[str]) -> list[str]:
        """Delete blobs and partial uploads nobody has used for ``ttl_s`` and that no waiting job needs."""
        gone: list[str] = []
        now = self._clock()
        for digest in [d for d in self._sizes if d not in in_use]:
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
            self._total -= self._sizes.pop(digest)
        stale = [d for d, p in self._partials.items() if not p.verifying and time.monotonic() - p.touched > ttl_s]
        for digest in stale:
            self._partials.pop(digest).path.unlink(missing_ok=True)
        return gone

    def close(self) -> None:
        """Stop the verifying thread."""
        self._to_verify.put(None)
        self._verifier.join(timeout=5)


def blob_path(folder: Path, digest: str) -> Path:
    """Where the store below ``folder`` keeps a blob. Raises InputError unless ``digest`` is one."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InputError(f"{digest[:70]!r} is not a SHA-256 digest.")
    return folder / digest[:2] / digest


def _digest_of(path: Path) -> str:
    hasher = hashlib.sha256()
    if path.exists():  # a blob of no bytes has no partial file
        with path.open("rb") as file:
            while data := file.read(_HASH_SLICE):
                hasher.update(data)
    else:
        path.touch()
    return hasher.hexdigest()


__all__ = ["BlobError", "BlobStore", "blob_path"]
