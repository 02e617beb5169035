"""Uploads by content: hash in slices, ask what the server lacks, send that in chunks under a window."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO

from ex4d_protocol.errors import UploadFailed
from ex4d_protocol.events import Event, Uploaded, UploadError, UploadProgress
from ex4d_protocol.messages import BlobsMissing, ChunkAck, PutChunk
from ex4d_protocol.requests import BlobRef

SLICE_BYTES = 1 << 20
"""Hashed or sent at a time: a millisecond or two, so that no tick of the caller's is long."""


class Upload:
    """A file or bytes on their way to the server. Made by :meth:`Client.upload`."""

    def __init__(self, upload_id: int, source: Path | memoryview | None, size: int, name: str):
        self.upload_id = upload_id
        self.name = name
        self.size = size
        self.error = ""
        self.at_server = False
        """Whether the server has confirmed every byte in this connection."""
        self.sent_bytes = 0
        self._source = source
        self._file: BinaryIO | None = None
        self._hasher = hashlib.sha256()
        self._hashed_bytes = 0
        self._ref: BlobRef | None = None
        self._next_offset = 0
        self._acked = 0
        self._in_flight = 0

    @property
    def hashed(self) -> bool:
        """Whether the digest is known, so that :attr:`ref` may be used in a request."""
        return self._ref is not None

    @property
    def ref(self) -> BlobRef:
        """The blob's reference. Raises UploadFailed before it is hashed or if the file cannot be read."""
        if self._ref is None:
            raise UploadFailed(self.error or f"{self.name} is still being read; wait until upload.hashed is true.")
        return self._ref

    @property
    def has_source(self) -> bool:
        """Whether this client can send the bytes (a reference from elsewhere cannot be sent again)."""
        return self._source is not None

    def _read(self, offset: int, length: int) -> bytes | memoryview:
        if isinstance(self._source, memoryview):
            return self._source[offset : offset + length]
        if self._source is None:
            raise UploadFailed(f"The bytes of {self.name or 'a blob'} are not at hand; upload the file again.")
        try:
            if self._file is None:
                self._file = self._source.open("rb")
            self._file.seek(offset)
            data = self._file.read(length)
        except OSError as error:
            raise UploadFailed(f"Cannot read {self._source}: {error.strerror or error}.") from None
        if len(data) != length:
            raise UploadFailed(f"{self._source} became shorter while it was read; upload it again.")
        return data

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class UploadQueue:
    """All uploads of one client, without sockets: it says what to ask and send, and is told what came back."""

    def __init__(self) -> None:
        self.window = 8
        self._ids = count(1)
        self._hashing: deque[Upload] = deque()
        self._unasked: list[Upload] = []
        self._asked: dict[str, Upload] = {}
        self._sending: deque[Upload] = deque()
        self._by_digest: dict[str, Upload] = {}
        self._same_digest: dict[str, list[Upload]] = {}
        self._by_file: dict[tuple[str, int, int], Upload] = {}

    def close(self) -> None:
        """Close every file that is being read."""
        for upload in (*self._hashing, *self._sending):
            upload._close()

    def add(self, source: str | Path | bytes | memoryview, name: str) -> Upload:
        """Queue a file or bytes for hashing. Raises UploadFailed if the file cannot be opened."""
        if isinstance(source, str | Path):
            path = Path(source)
            try:
                stat = path.stat()
            except OSError as error:
                raise UploadFailed(f"Cannot read {path}: {error.strerror or error}.") from None
            if not path.is_file():
                raise UploadFailed(f"{path} is not a file; upload the files in it one by one.")
            key = (str(path.absolute()), stat.st_size, stat.st_mtime_ns)
            known = self._by_file.get(key)
            if known is not None and not known.error:
                return known
            upload = Upload(next(self._ids), path, stat.st_size, name or path.name)
            self._by_file[key] = upload
        else:
            view = memoryview(source).cast("B")
            upload = Upload(next(self._ids), view, view.nbytes, name)
        self._hashing.append(upload)
        return upload

    def need(self, blob: BlobRef) -> Upload:
        """The upload that provides ``blob``; one without a source if it is not from here."""
        known = self._by_digest.get(blob.sha256)
        if known is None:
            known = Upload(next(self._ids), None, blob.size, blob.name)
            known._ref = blob
            self._by_digest[blob.sha256] = known
            self._unasked.append(known)
        return known

    def ask_again(self, blobs: Iterable[BlobRef]) -> None:
        """The server turned out to lack these after all."""
        for blob in blobs:
            upload = self.need(blob)
            upload.at_server = False
            if upload not in self._unasked and blob.sha256 not in self._asked and upload not in self._sending:
                self._unasked.append(upload)

    def send_again(self, digest: str) -> None:
        """A chunk was turned away for now: find out what the server has, and go on from there."""
        upload = self._by_digest.get(digest)
        if upload is not None and upload in self._sending:
            self._sending.remove(upload)
            upload._in_flight = 0
            self._unasked.append(upload)

    def restart(self) -> None:
        """A new connection: ask again about everything that is hashed."""
        self._asked.clear()
        self._sending.clear()
        self._unasked = [u for u in self._by_digest.values() if not u.error]
        for upload in self._unasked:
            upload.at_server = False
            upload._in_flight = 0

    @property
    def busy(self) -> bool:
        """Whether there is anything to hash or send right now; a full window is waited for, not polled."""
        if self._hashing or self._unasked:
            return True
        return self._window_open and any(u._next_offset < u.size for u in self._sending)

    @property
    def _window_open(self) -> bool:
        return sum(u._in_flight for u in self._sending) < self.window

    def hash_some(self, deadline: float) -> Iterator[Event]:
        """Hash slices until ``deadline`` (time.monotonic), at least one if there is any."""
        while self._hashing:
            upload = self._hashing[0]
            try:
                length = min(SLICE_BYTES, upload.size - upload._hashed_bytes)
                upload._hasher.update(upload._read(upload._hashed_bytes, length))
            except UploadFailed as error:
                self._hashing.popleft()
                yield self._failed(upload, str(error))
                continue
            upload._hashed_bytes += length
            if upload._hashed_bytes >= upload.size:
                self._hashing.popleft()
                self._finish_hash(upload)
            yield UploadProgress(upload.upload_id, "hash", upload._hashed_bytes, upload.size, upload.name)
            if time.monotonic() >= deadline:
                return

    def _finish_hash(self, upload: Upload) -> None:
        ref = BlobRef(sha256=upload._hasher.hexdigest(), size=upload.size, name=upload.name[:128])
        upload._ref = ref
        upload._close()  # a long sequence would otherwise hold one open file per frame until it is sent
        known = self._by_digest.get(ref.sha256)
        if known is None:
            self._by_digest[ref.sha256] = upload
            self._unasked.append(upload)
        elif known.has_source:
            self._same_digest.setdefault(ref.sha256, []).append(upload)
            upload.at_server = known.at_server
        else:
            known._source = upload._source
            known.error = ""
            self._same_digest.setdefault(ref.sha256, []).append(upload)
            self.ask_again([ref])

    def to_ask(self) -> list[BlobRef]:
        """Blobs to name in the next HaveBlobs."""
        refs = [u.ref for u in self._unasked[:1000]]
        self._asked.update({u.ref.sha256: u for u in self._unasked[:1000]})
        del self._unasked[:1000]
        return refs

    def told_missing(self, asked: list[BlobRef], reply: BlobsMissing) -> Iterator[Event]:
        """Take the answer to one HaveBlobs."""
        missing = {m.sha256: m.received for m in reply.missing}
        for ref in asked:
            upload = self._asked.pop(ref.sha256, None)
            if upload is None:
                continue
            if ref.sha256 not in missing:
                yield from self._arrived(upload)
            elif not upload.has_source:
                yield self._failed(upload, f"The server no longer has {ref.name or 'a file'}; upload it again.")
            else:
                upload._in_flight = 0
                upload._next_offset = upload._acked = min(missing[ref.sha256], upload.size)
                self._sending.append(upload)

    def next_chunk(self) -> tuple[PutChunk, bytes | memoryview] | UploadError | None:
        """The next chunk the window allows, or the error that kept it from being read."""
        if not self._window_open:
            return None
        for upload in self._sending:
            if upload._next_offset < upload.size or (upload.size == 0 and not upload._in_flight):
                break
        else:
            return None
        offset = upload._next_offset
        try:
            data = upload._read(offset, min(SLICE_BYTES, upload.size - offset))
        except UploadFailed as error:
            self._sending.remove(upload)
            return self._failed(upload, str(error))
        upload._next_offset += len(data)
        upload._in_flight += 1
        upload.sent_bytes += len(data)
        return PutChunk(sha256=upload.ref.sha256, size=upload.size, offset=offset), data

    def told_ack(self, ack: ChunkAck) -> Iterator[Event]:
        """Take one ChunkAck."""
        upload = self._by_digest.get(ack.sha256)
        if upload is None or upload not in self._sending:
            return
        upload._in_flight = max(0, upload._in_flight - 1)
        if ack.complete:
            self._sending.remove(upload)
            yield from self._arrived(upload)
            return
        if ack.received > upload._next_offset or not upload._in_flight:
            upload._next_offset = ack.received  # another client sent more, or a chunk was refused
        upload._acked = ack.received
        yield UploadProgress(upload.upload_id, "send", ack.received, upload.size, upload.name)

    def refused(self, digest: str, message: str) -> Iterator[Event]:
        """The server refused a blob (too large, disk full, corrupt)."""
        upload = self._by_digest.get(digest)
        if upload is not None:
            if upload in self._sending:
                self._sending.remove(upload)
            yield self._failed(upload, message)

    def _arrived(self, upload: Upload) -> Iterator[Event]:
        upload._close()
        for each in (upload, *self._same_digest.get(upload.ref.sha256, ())):
            if not each.at_server:
                each.at_server = True
                yield Uploaded(each.upload_id, upload.ref, each.sent_bytes)

    def _failed(self, upload: Upload, message: str) -> UploadError:
        upload._close()
        upload.error = message
        return UploadError(upload.upload_id, message)
