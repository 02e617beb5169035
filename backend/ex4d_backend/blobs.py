"""Uploads by content: resumable, size-checked, written and verified by other threads, never under a client's name."""

import hashlib
import os
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ex4d_backend.client_errors import Refusal, without_paths
from ex4d_ground.errors import InputError, OutputError
from ex4d_ground.files import output_error
from ex4d_protocol.requests import BlobRef

PENDING_BYTES, PENDING_CHUNKS = 32 << 20, 512
"""Uploads that may wait for the disk, of all clients together; beyond it clients are not read from."""


@dataclass
class _Partial:
    path: Path
    size: int
    received: int
    """Bytes on disk."""
    touched: float
    queued: int = 0
    """Bytes taken from clients: ``received`` and what waits to be written."""
    pending: int = 0
    """Chunks that wait to be written."""
    hasher: Any = None
    """Of what was written, if all of it was in this run; else the whole file is read at the end."""
    broken: OutputError | None = None
    """Why the last chunk could not be written; those behind it fail with it."""
    verifying: bool = False


Done = Callable[[int, OutputError | None], None]
"""Called on the loop when a chunk is on disk or failed: (bytes there now, error)."""


class BlobStore:
    """Content-addressed files below one folder. All methods are for the I/O loop; none hashes, none writes.

    One thread writes and hashes chunks as they come, another reads files again whose first part came in an earlier
    run. Both hand over by ``post``; ``on_settled`` is called on the loop with (sha256, size, error or "") when a blob
    is whole or was dropped.
    """

    def __init__(
        self,
        folder: Path,
        *,
        blob_bytes: int,
        check_room: Callable[[int, str], None],
        post: Callable[[Callable[[], None]], None],
        on_settled: Callable[[str, int, str], None],
        clock: Callable[[], float],
    ) -> None:
        """Open the store. ``check_room(size, detail)`` raises Refusal if there is no room.

        ``clock`` counts served seconds; the time of a blob's last use is kept by it as the file's own time.
        """
        self._clock = clock
        self._folder = folder
        self._partials_folder = folder / "partial"
        self._blob_bytes = blob_bytes
        self._check_room = check_room
        self._post, self._on_settled = post, on_settled
        try:
            self._partials_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from None
        self._sizes = {p.name: p.stat().st_size for p in folder.glob("??/*") if len(p.name) == 64}
        self._total = sum(self._sizes.values())
        self._pending_bytes = self._pending_chunks = 0
        self._partials: dict[str, _Partial] = {}
        for path in self._partials_folder.glob("*.part"):
            digest, _, size = path.stem.partition("-")
            if size.isdigit():
                there = path.stat().st_size
                self._partials[digest] = _Partial(path, int(size), there, time.monotonic(), queued=there)
        self._writer = ThreadPoolExecutor(1, "blob-writer")
        self._verifier = ThreadPoolExecutor(1, "blob-verifier")

    @property
    def busy(self) -> bool:
        """Whether so much waits to be written that no more should be read from clients."""
        return self._pending_bytes > PENDING_BYTES or self._pending_chunks > PENDING_CHUNKS

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

    def require(self, refs: Collection[BlobRef], what: str) -> None:
        """Note that a job or view uses blobs. Raises Refusal if some were not uploaded; ``what`` needs them."""
        missing = [ref for ref in refs if not self.has(ref.sha256, ref.size)]
        if missing:
            names = ", ".join(ref.name or ref.sha256[:12] for ref in missing[:3])
            raise Refusal("blob_missing", f"{len(missing)} files of this {what} were not uploaded yet ({names}).")
        for ref in refs:
            self.touch(ref.sha256)

    def received(self, digest: str, size: int) -> int:
        """How many of its first bytes are here; starts the check if that is all of them."""
        partial = self._partials.get(digest)
        if partial is None or partial.size != size:
            return 0
        self._verify_if_whole(digest, partial)
        return partial.received

    def put(self, digest: str, size: int, offset: int, data: memoryview, done: Done) -> int | None:
        """Take a chunk. None if it will be written, after which ``done`` is called; ``data`` must stay until then.

        If it did not fit, the number of bytes there are (more or fewer than sent). Raises Refusal: it is too large,
        there is no room, the digest is used with another size, the disk failed a moment ago.
        """
        detail, here = f"blob {digest}", self._sizes.get(digest)
        if here == size:
            return size
        if here is not None:
            raise Refusal("bad_request", f"Blob {digest[:12]} has {here} bytes here, not {size}.", detail=detail)
        partial = self._partials.get(digest) or self._begin(digest, size, detail)
        if partial.size != size:
            text = f"Blob {digest[:12]} was begun with {partial.size} bytes, not {size}."
            raise Refusal("bad_request", text, detail=detail)
        if partial.broken is not None:
            raise Refusal("storage_full", without_paths(str(partial.broken)), detail=detail)
        fits = offset == partial.queued and offset + data.nbytes <= size and not partial.verifying
        if not fits or not data.nbytes:
            self._verify_if_whole(digest, partial)
            return partial.queued
        partial.queued += data.nbytes
        partial.pending += 1
        self._pending_bytes += data.nbytes
        self._pending_chunks += 1
        self._writer.submit(self._write, digest, partial, offset, data, done)
        return None

    def _begin(self, digest: str, size: int, detail: str) -> _Partial:
        if size > self._blob_bytes:
            text = f"A file of {size} bytes is larger than this backend takes ({self._blob_bytes})."
            raise Refusal("too_large", text, detail=detail)
        self._check_room(size, detail)
        path = self._partials_folder / f"{digest}-{size}.part"
        partial = _Partial(path, size, 0, time.monotonic(), hasher=hashlib.sha256())
        self._partials[digest] = partial
        return partial

    def _write(self, digest: str, partial: _Partial, offset: int, data: memoryview, done: Done) -> None:
        """On the writing thread."""
        if partial.broken is None:
            try:
                write_at(partial.path, offset, data)
            except OSError as error:
                partial.broken = output_error(self._folder, error)
            else:
                if partial.hasher is not None:
                    partial.hasher.update(data)
        length = data.nbytes
        self._post(lambda: self._written(digest, partial, length, done))

    def _written(self, digest: str, partial: _Partial, length: int, done: Done) -> None:
        """On the loop, after :meth:`_write`."""
        error = partial.broken
        partial.pending -= 1
        partial.touched = time.monotonic()
        self._pending_bytes -= length
        self._pending_chunks -= 1
        if error is None:
            partial.received += length
            self._verify_if_whole(digest, partial)
        elif not partial.pending:
            # Nothing of it is under way any more: a client may go on from what is there.
            partial.broken, partial.hasher, partial.queued = None, None, partial.received
        done(partial.received, error)

    def _verify_if_whole(self, digest: str, partial: _Partial) -> None:
        if partial.received == partial.size and not partial.verifying:
            partial.verifying = True
            thread = self._verifier if partial.hasher is None else self._writer
            thread.submit(self._verify, digest, partial)

    def _verify(self, digest: str, partial: _Partial) -> None:
        """On either thread."""
        try:
            actual = partial.hasher.hexdigest() if partial.hasher is not None else digest_of(partial.path)
            error = "" if actual == digest else "The file changed while it was uploaded; upload it again."
            if not error:
                partial.path.touch()  # a blob of no bytes has no file yet
                target = self.path(digest)
                target.parent.mkdir(exist_ok=True)
                partial.path.replace(target)
        except OSError as problem:
            error = str(output_error(self._folder, problem))
        self._post(lambda: self._settle(digest, partial, error))

    def _settle(self, digest: str, partial: _Partial, error: str) -> None:
        """On the loop, after :meth:`_verify`: count the blob as whole, or drop what is wrong."""
        if self._partials.get(digest) is partial:
            del self._partials[digest]
        if error:
            partial.path.unlink(missing_ok=True)
        else:
            self._add(digest, partial.size)
        self._on_settled(digest, partial.size, error)

    def _add(self, digest: str, size: int) -> None:
        if digest not in self._sizes:
            self._sizes[digest] = size
            self._total += size
        self.touch(digest)

    def adopt(self, path: Path, digest: str, size: int) -> None:
        """Take over a file a worker made, on the same disk; it is a blob like any upload then. Raises OutputError."""
        if not self.has(digest, size):
            target = self.path(digest)
            try:
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
            except OSError as error:
                raise output_error(self._folder, error) from None
            partial = self._partials.get(digest)
            if partial is not None and not partial.verifying and not partial.pending:
                self._partials.pop(digest).path.unlink(missing_ok=True)
        self._add(digest, size)

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
        quiet = {d: p for d, p in self._partials.items() if not p.verifying and not p.pending}
        stale = [d for d, p in quiet.items() if time.monotonic() - p.touched > ttl_s]
        for digest in stale:
            self._partials.pop(digest).path.unlink(missing_ok=True)
        return gone

    def close(self) -> None:
        """Stop the threads; what was not written yet has not been acknowledged either."""
        for thread in (self._writer, self._verifier):
            thread.shutdown(wait=True, cancel_futures=True)


def write_at(path: Path, offset: int, data: memoryview) -> None:
    """Write ``data`` at ``offset`` of a file that is made if need be; nothing stays of it if that fails."""
    with path.open("r+b" if path.exists() else "wb", buffering=0) as file:
        try:
            file.seek(offset)
            written = 0
            while written < data.nbytes:
                written += file.write(data[written:])
        except OSError:
            with suppress(OSError):
                file.truncate(offset)
            raise


def blob_path(folder: Path, digest: str) -> Path:
    """Where the store below ``folder`` keeps a blob. Raises InputError unless ``digest`` is one."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InputError(f"{digest[:70]!r} is not a SHA-256 digest.")
    return folder / digest[:2] / digest


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
