"""Uploads under way: each belongs to who sends it, is written by a thread, and becomes a blob once it was verified."""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ex4d_backend.blob_files import (
    REMOVED,
    digest_of,
    flush_file,
    flush_folders,
    owner_mark,
    partial_name,
    partial_of,
    size_of,
    write_at,
)
from ex4d_backend.blobs import BlobStore
from ex4d_backend.client_errors import Refusal, without_paths
from ex4d_backend.data_folder import file_at, folder_at, set_aside
from ex4d_ground.errors import OutputError
from ex4d_ground.files import output_error

log = logging.getLogger("ex4d_backend.uploads")

PENDING_BYTES, PENDING_CHUNKS = 32 << 20, 512
"""Uploads that may wait for the disk, of all clients together; beyond it clients are not read from."""
PARTIALS_EACH, PARTIALS = 64, 4096
"""Uploads that may be under way, of one client and of all; beyond it the one that was quiet for longest is dropped."""
FLUSHED_BYTES = 8 << 20
"""So much of an upload is handed to the disk for good while the rest still comes, so that its end waits for little."""
RESERVED_S = 60.0
"""An upload's announced size counts as used so long after its last chunk."""


@dataclass
class _Partial:
    owner: str
    """Who sends it; "" after a restart, until its owner asks for it."""
    key: tuple[str, str, int]
    """Mark of whose it is, digest, size."""
    path: Path
    received: int
    """Bytes on disk."""
    touched: float
    queued: int = 0
    """Bytes taken from the client: ``received`` and what waits to be written."""
    pending: int = 0
    """Chunks that wait to be written."""
    hasher: Any = None
    """Of what is written, if all of it is in this run; else the whole file is read at the end."""
    broken: OutputError | None = None
    """Why the last chunk could not be written; those behind it fail with it."""
    left: int = 0
    """Bytes to go on from after that."""
    verifying: bool = False
    unflushed: int = 0
    """Bytes written since the disk was last asked to hold them; for the writing thread."""
    flush: Future[None] | None = None
    """The last time it was asked."""

    @property
    def digest(self) -> str:
        return self.key[1]

    @property
    def size(self) -> int:
        return self.key[2]

    @property
    def quiet(self) -> bool:
        """Whether no thread has anything to do with it."""
        return not self.verifying and not self.pending and (self.flush is None or self.flush.done())

    @property
    def forgotten(self) -> BaseException | None:
        """Why the disk does not hold what it was asked to hold: it tells that once, of any byte there is."""
        return self.flush.exception() if self.flush is not None and self.flush.done() else None


@dataclass(frozen=True)
class Settled:
    """What became of an upload all of whose bytes had come."""

    owner: str
    digest: str
    size: int
    error: str = ""
    """Why it was dropped, as a sentence."""
    again: bool = False
    """It was begun before a crash and is damaged: it is to be sent from its start."""


Done = Callable[[int, OutputError | None], None]
"""Called on the loop when a chunk is on disk or failed: (bytes there now, error)."""


class Uploads:
    """What clients are sending. All methods are for the I/O loop; none hashes, none writes.

    Threads write and finish; they hand over by ``post``, and ``on_settled`` is called on the loop when an upload is
    whole or was dropped.
    """

    def __init__(
        self,
        blobs: BlobStore,
        *,
        blob_bytes: int,
        check_room: Callable[[int, str, int], None],
        post: Callable[[Callable[[], None]], None],
        on_settled: Callable[[Settled], None],
    ) -> None:
        """Go on with what an earlier server began.

        ``check_room(size, detail, announced)`` raises Refusal if there is no room beside what the client's other
        uploads have ``announced`` and not sent.

        Raises OutputError.
        """
        self._blobs = blobs
        self._folder = folder_at(blobs.folder / "partial")
        self._blob_bytes = blob_bytes
        self._check_room = check_room
        self._post, self._on_settled = post, on_settled
        self._pending_bytes = self._pending_chunks = 0
        self._partials = {partial.key: partial for partial in _partials_in(self._folder)}
        self._finishing: deque[_Partial] = deque()
        self._writer = ThreadPoolExecutor(1, "upload-writer")
        self._hasher = ThreadPoolExecutor(1, "upload-hasher")
        self._flusher = ThreadPoolExecutor(1, "upload-flusher")
        self._finisher = ThreadPoolExecutor(1, "upload-finisher")

    @property
    def busy(self) -> bool:
        """Whether so much waits to be written that no more should be read from clients."""
        waiting = self._pending_chunks + len(self._finishing)
        return self._pending_bytes > PENDING_BYTES or waiting > PENDING_CHUNKS

    @property
    def received_bytes(self) -> int:
        """What has arrived of uploads that are not whole."""
        return sum(p.received for p in self._partials.values())

    @property
    def reserved_bytes(self) -> int:
        """What is still to come of the uploads under way."""
        return self._announced(self._partials.values())

    @staticmethod
    def _announced(partials: Iterable[_Partial]) -> int:
        since = time.monotonic() - RESERVED_S
        return sum(p.size - p.received for p in partials if p.touched >= since)

    def received(self, owner: str, digest: str, size: int) -> int:
        """How many of its first bytes came from ``owner``; starts the check if that is all of them."""
        partial = self._partials.get((owner_mark(owner), digest, size))
        if partial is None:
            return 0
        partial.owner = owner
        self._finish_if_whole(partial)
        return partial.received

    def put(self, owner: str, digest: str, size: int, offset: int, data: memoryview, done: Done) -> int | None:
        """Take a chunk. None if it will be written, after which ``done`` is called; ``data`` must stay until then.

        If it did not fit, the number of bytes there are (more or fewer than sent). Raises Refusal: it is too large,
        there is no room, the disk failed a moment ago.
        """
        if self._blobs.has_for(owner, digest, size):
            return size
        partial = self._admit(owner, digest, size)
        if partial.broken is not None:
            text = without_paths(str(partial.broken))
            raise Refusal("storage_full", text, detail=f"blob {digest}")
        fits = offset == partial.queued and offset + data.nbytes <= size and not partial.verifying
        if not fits or not data.nbytes:
            self._finish_if_whole(partial)
            return partial.queued
        partial.queued += data.nbytes
        partial.pending += 1
        self._pending_bytes += data.nbytes
        self._pending_chunks += 1
        written = self._writer.submit(self._write, partial, offset, data)
        self._hasher.submit(self._hash, partial, data, written, done)
        return None

    def _admit(self, owner: str, digest: str, size: int) -> _Partial:
        """The upload, begun if need be, its whole size provided for."""
        detail, now = f"blob {digest}", time.monotonic()
        if size > self._blob_bytes:
            text = f"A file of {size} bytes is larger than this backend takes ({self._blob_bytes})."
            raise Refusal("too_large", text, detail=detail)
        key = owner_mark(owner), digest, size
        partial = self._partials.get(key)
        if partial is None:
            self._check_room(size, detail, self._announced(p for p in self._partials.values() if p.key[0] == key[0]))
            self._make_place(key[0], detail)
            path = self._folder / partial_name(*key)
            partial = self._partials[key] = _Partial(owner, key, path, 0, now, hasher=hashlib.sha256())
        elif now - partial.touched > RESERVED_S:
            beside = self._announced(p for p in self._partials.values() if p.key[0] == key[0])  # it counts no more
            self._check_room(size - partial.received, detail, beside)
        partial.owner, partial.touched = owner, now
        return partial

    def _make_place(self, mark: str, detail: str) -> None:
        """Drop what was quiet for longest of a client's uploads, or of all; those that are whole do not count."""
        open_ones = [p for p in self._partials.values() if not p.verifying]
        own = [p for p in open_ones if p.key[0] == mark]
        for crowd, limit in ((own, PARTIALS_EACH), (open_ones, PARTIALS)):
            quiet = sorted((p for p in crowd if p.quiet), key=lambda p: p.touched)
            for partial in quiet[: max(0, len(crowd) + 1 - limit)]:
                self._give_up(partial)
            if len(crowd) - len(quiet) >= limit:
                text = f"{limit} uploads are under way; go on with this one later."
                raise Refusal("rate_limited", text, detail=detail)

    def _give_up(self, partial: _Partial) -> None:
        self._partials.pop(partial.key, None)
        with suppress(OSError):
            partial.path.unlink(missing_ok=True)

    def _write(self, partial: _Partial, offset: int, data: memoryview) -> None:
        """On the writing thread."""
        if partial.broken is not None:
            return
        try:
            if partial.forgotten is not None:
                raise partial.forgotten
            if not offset:
                folder_at(self._folder)
                file_at(partial.path)
            write_at(partial.path, offset, data)
        except OSError as error:
            partial.left = size_of(partial.path)
            partial.broken = self._failed(error)
        else:
            self._flush_some(partial, data.nbytes)

    def _hash(self, partial: _Partial, data: memoryview, written: Future[None], done: Done) -> None:
        """On the hashing thread, while the same chunk is written."""
        if partial.hasher is not None:  # what is not written after all goes with the hasher, see _written
            partial.hasher.update(data)
        written.result()
        length = data.nbytes
        self._post(lambda: self._written(partial, length, done))

    def _flush_some(self, partial: _Partial, written: int) -> None:
        """On the writing thread: have the disk hold what there is, beside what is done here, unless it is at it."""
        partial.unflushed += written
        last = partial.flush  # one that failed stays, see _Partial.forgotten
        if partial.unflushed >= FLUSHED_BYTES and (last is None or (last.done() and last.exception() is None)):
            partial.unflushed = 0
            partial.flush = self._flusher.submit(_flush_what_is_there, partial.path)

    def _written(self, partial: _Partial, length: int, done: Done) -> None:
        """On the loop, when a chunk is written and hashed, or could not be."""
        error = partial.broken
        partial.pending -= 1
        partial.touched = time.monotonic()
        self._pending_bytes -= length
        self._pending_chunks -= 1
        if error is None:
            partial.received += length
            self._finish_if_whole(partial)
        elif not partial.pending:
            # Nothing of it is under way any more: a client may go on from what is there.
            if partial.forgotten is not None:
                partial.left, partial.flush = 0, None
            partial.received = partial.queued = min(partial.received, partial.left)
            partial.broken = partial.hasher = None
        done(partial.received, error)

    def _finish_if_whole(self, partial: _Partial) -> None:
        if partial.received == partial.size and not partial.verifying:
            partial.verifying = True
            self._finishing.append(partial)
            self._finisher.submit(self._finish_some)

    def _finish_some(self) -> None:
        """On the finishing thread: verify uploads that are whole, and have the disk hold them before they count.

        All that wait are done together, for a disk takes a hundred small files in little more time than one.
        """
        batch = [self._finishing.popleft() for _ in range(len(self._finishing))]
        settled = [(partial, *self._verify(partial)) for partial in batch]
        moved: list[Path] = []
        for i, (partial, error, again) in enumerate(settled):
            if error or again:
                continue
            target = self._blobs.path(partial.digest)
            try:
                folder_at(target.parent)
                partial.path.replace(file_at(target))
                moved.append(target.parent)
            except OSError as problem:
                settled[i] = partial, str(self._failed(problem)), False
        try:
            flush_folders([self._blobs.folder, *moved] if moved else [])
        except OSError as problem:
            log.warning("uploads may be lost if the power fails now: %s", output_error(self._folder, problem))
        self._post(lambda: self._settle(settled))

    def _verify(self, partial: _Partial) -> tuple[str, bool]:
        """On the finishing thread: (why it cannot be taken, whether to send it again from its start)."""
        if partial.flush is not None:
            wait([partial.flush])  # it has the file open, which is moved or removed now
        try:
            if not partial.size:
                partial.path.touch()  # a blob of no bytes has no file yet
            if size_of(partial.path) != partial.size:
                return REMOVED, False
            if partial.forgotten is not None:
                raise partial.forgotten
            actual = partial.hasher.hexdigest() if partial.hasher is not None else digest_of(partial.path)
            if actual != partial.digest:
                changed = "The file changed while it was uploaded; upload it again."
                return ("", True) if partial.hasher is None else (changed, False)
            flush_file(partial.path)
        except OSError as problem:
            return str(self._failed(problem)), False
        return "", False

    def _failed(self, error: OSError) -> OutputError:
        """What the client is told of it; who runs the server finds it in the log, with the folder."""
        told = error if isinstance(error, OutputError) else output_error(self._folder, error)
        log.error("an upload cannot be kept: %s", told)
        return told

    def _settle(self, settled: list[tuple[_Partial, str, bool]]) -> None:
        """On the loop, after :meth:`_finish_some`: count blobs as whole, or drop what is wrong."""
        for partial, error, again in settled:
            if self._partials.get(partial.key) is partial:
                del self._partials[partial.key]
            if error or again:
                with suppress(OSError):
                    partial.path.unlink(missing_ok=True)
            else:
                self._blobs.add(partial.owner, partial.digest, partial.size)
            self._on_settled(Settled(partial.owner, partial.digest, partial.size, error, again))

    def expire(self, ttl_s: float) -> None:
        """Drop what nobody has gone on with for ``ttl_s``."""
        for partial in [p for p in self._partials.values() if p.quiet and time.monotonic() - p.touched > ttl_s]:
            self._give_up(partial)

    def close(self) -> None:
        """Stop the threads; what was not written yet has not been acknowledged either."""
        # Each may wait for one behind it.
        for thread in (self._hasher, self._writer, self._finisher, self._flusher):
            thread.shutdown(wait=True, cancel_futures=True)


def _flush_what_is_there(path: Path) -> None:
    with suppress(FileNotFoundError):  # removed by hand, or given up: who needs it looks for it
        flush_file(path)


def _partials_in(folder: Path) -> Iterable[_Partial]:
    """Uploads that an earlier server began; those of no owner are of an older one, and are removed."""
    for path in folder.iterdir():
        key = partial_of(path.name)
        if key is None:
            continue
        if not path.is_file():
            set_aside(path)  # else this upload could never go on
            continue
        with suppress(OSError):
            if key[0]:
                there = path.stat().st_size
                yield _Partial("", key, path, there, time.monotonic(), queued=there)
            else:
                path.unlink()
