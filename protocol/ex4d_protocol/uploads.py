"""Uploads by content: hash in slices, ask what the server lacks, send that in chunks under a window."""

import hashlib
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import count
from pathlib import Path

from ex4d_protocol.connection import Connection
from ex4d_protocol.errors import UploadFailed
from ex4d_protocol.events import Event, Uploaded, UploadError, UploadProgress
from ex4d_protocol.messages import BlobProof, BlobsMissing, ChunkAck, ErrorReply, HaveBlobs, ProveBlobs, PutChunk
from ex4d_protocol.proofs import MAX_PROOFS, proof_of
from ex4d_protocol.requests import BlobRef

SLICE_BYTES = 1 << 20
"""Hashed or sent at a time: a millisecond or two, so that no tick of the caller's is long."""
MAX_ASKED = 1000
"""Blobs named in one HaveBlobs."""
PROVING_S = 0.002
"""What one tick spends on reading for proofs, at least one if any is wanted."""


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
        self._hasher = hashlib.sha256()
        self._hashed_bytes = 0
        self._ref: BlobRef | None = None
        self._next_offset = 0
        self._in_flight = 0
        self._chunks: set[int] = set()
        """Requests that sent its chunks and are not answered."""
        self._same: list[Upload] = []
        """Later uploads of the same bytes, which are not sent again."""

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

    def _is_answered_by(self, reply_to: int) -> bool:
        """Whether an answer is about this upload, and not about one of the same bytes that failed before."""
        return not reply_to or reply_to in self._chunks

    def _read(self, offset: int, length: int) -> bytes | memoryview:
        if isinstance(self._source, memoryview):
            return self._source[offset : offset + length]
        if self._source is None:
            raise UploadFailed(f"The bytes of {self.name or 'a blob'} are not at hand; upload the file again.")
        try:
            with self._source.open("rb") as file:  # each time: a long sequence would hold many files open otherwise
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            raise UploadFailed(f"Cannot read {self._source}: {error.strerror or error}.") from None
        if len(data) != length:
            raise UploadFailed(f"{self._source} became shorter while it was read; upload it again.")
        return data


class UploadQueue:
    """All uploads of one client."""

    def __init__(self, connection: Connection, events: deque[Event]):
        self._connection = connection
        self._events = events
        self._window = 8
        self._ids = count(1)
        self._hashing: deque[Upload] = deque()
        self._unasked: list[Upload] = []
        self._asked: dict[int, list[Upload]] = {}
        """What each unanswered HaveBlobs is about."""
        self._to_prove: deque[Upload] = deque()
        """The server has these from somebody else: that they are here, too, is to be proved."""
        self._nonce = ""
        self._proving = 0
        """The request whose answer is waited for before more is proved."""
        self._sending: deque[Upload] = deque()
        self._by_digest: dict[str, Upload] = {}
        self._by_file: dict[tuple[str, int, int], Upload] = {}

    def add(self, source: str | Path | bytes | memoryview, *, name: str = "") -> Upload:
        """Hash a file or bytes (in slices, inside poll) and send what the server lacks.

        Bytes are not copied: do not change them until :class:`Uploaded` is reported. Raises UploadFailed if the
        file cannot be read.
        """
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
            known = self._by_digest[blob.sha256] = Upload(next(self._ids), None, blob.size, blob.name)
            known._ref = blob
            self._unasked.append(known)
        return known

    def ask_again(self, blobs: Iterable[BlobRef]) -> None:
        """The server turned out to lack these after all."""
        for blob in blobs:
            upload = self.need(blob)
            upload.at_server = False
            queues = (self._unasked, self._to_prove, self._sending, *self._asked.values())
            if not any(upload in queue for queue in queues):
                self._unasked.append(upload)

    @property
    def busy(self) -> bool:
        """Whether there is anything to hash or send right now; a full window is waited for, not polled."""
        to_prove = bool(self._to_prove) and not self._proving
        return bool(self._hashing or self._unasked) or to_prove or self._next_to_send() is not None

    def hash_some(self, deadline: float) -> None:
        """Hash slices until ``deadline`` (time.monotonic), at least one if there is any."""
        while self._hashing:
            upload = self._hashing[0]
            try:
                length = min(SLICE_BYTES, upload.size - upload._hashed_bytes)
                upload._hasher.update(upload._read(upload._hashed_bytes, length))
            except UploadFailed as error:
                self._hashing.popleft()
                self._fail(upload, str(error))
                continue
            upload._hashed_bytes += length
            if upload._hashed_bytes >= upload.size:
                self._hashing.popleft()
                self._finish_hash(upload)
            self._events.append(
                UploadProgress(upload.upload_id, "hash", upload._hashed_bytes, upload.size, upload.name)
            )
            if time.monotonic() >= deadline:
                return

    def _finish_hash(self, upload: Upload) -> None:
        ref = BlobRef(sha256=upload._hasher.hexdigest(), size=upload.size, name=upload.name[:128])
        upload._ref = ref
        known = self._by_digest.get(ref.sha256)
        if known is None or (known.error and known._source is not None):  # that one failed
            self._by_digest[ref.sha256] = upload
            self._unasked.append(upload)
            return
        known._same.append(upload)
        if known._source is not None:
            upload.at_server = known.at_server
        else:
            known._source, known.error = upload._source, ""
            self.ask_again([ref])

    def send_some(self, deadline: float) -> None:
        """Ask what the server lacks, and send chunks of that until ``deadline``, as many as the window allows."""
        asked = self._unasked[:MAX_ASKED]
        if asked and (request_id := self._connection.tell(HaveBlobs(blobs=tuple(u.ref for u in asked)))) is not None:
            self._asked[request_id] = asked
            del self._unasked[:MAX_ASKED]
        self._prove_some()
        while (upload := self._next_to_send()) is not None:
            offset = upload._next_offset
            try:
                data = upload._read(offset, min(SLICE_BYTES, upload.size - offset))
            except UploadFailed as error:
                self._fail(upload, str(error))
                continue
            upload._next_offset += len(data)
            upload._in_flight += 1
            upload.sent_bytes += len(data)
            chunk = PutChunk(sha256=upload.ref.sha256, size=upload.size, offset=offset)
            if (request_id := self._connection.tell(chunk, bulk=True, blobs=[data])) is not None:
                upload._chunks.add(request_id)
            if time.monotonic() >= deadline:
                return

    def _prove_some(self) -> None:
        """Prove that what the server has from others is here as well, some at a time."""
        if self._proving or not self._to_prove:
            return
        until, taken, proofs = time.monotonic() + PROVING_S, [], []
        while self._to_prove and len(proofs) < MAX_PROOFS and (not proofs or time.monotonic() < until):
            upload = self._to_prove.popleft()
            try:
                proof = proof_of(self._nonce, upload.ref.sha256, upload.size, upload._read)
            except UploadFailed as error:
                self._fail(upload, str(error))
                continue
            taken.append(upload)
            proofs.append(BlobProof(sha256=upload.ref.sha256, size=upload.size, proof=proof))
        request_id = self._connection.tell(ProveBlobs(proofs=tuple(proofs))) if proofs else None
        if request_id is not None:
            self._asked[request_id], self._proving = taken, request_id
        else:
            self._to_prove.extendleft(reversed(taken))

    def _next_to_send(self) -> Upload | None:
        """The upload whose next chunk the window allows."""
        if sum(u._in_flight for u in self._sending) >= self._window:
            return None
        unsent = (u for u in self._sending if u._next_offset < u.size or (u.size == 0 and not u._in_flight))
        return next(unsent, None)

    # --- what the server says -----------------------------------------------------------------------------

    def attached(self) -> None:
        """A new connection: ask again about everything that is hashed."""
        self._window = max(1, self._connection.capabilities.limits.upload_window)
        self._sending.clear()
        self._to_prove.clear()
        self._proving = 0
        self._unasked = [u for u in self._by_digest.values() if not u.error]
        for upload in self._unasked:
            upload.at_server = False
            upload._in_flight = 0
            upload._chunks.clear()

    def lost(self) -> None:
        """The connection is gone: nothing asked over it will be answered."""
        self._asked.clear()

    def take_missing(self, message: BlobsMissing, reply_to: int) -> None:
        """Take the answer to one HaveBlobs or ProveBlobs."""
        self._nonce = message.nonce or self._nonce
        self._proving = 0 if reply_to == self._proving else self._proving
        missing = {blob.sha256: blob for blob in message.missing}
        for upload in self._asked.pop(reply_to, ()):
            lacking = missing.get(upload.ref.sha256)
            if lacking is None:
                self._arrived(upload)
            elif upload._source is None:
                name = upload.ref.name or "a file"
                known = "has not had it from this client" if lacking.prove else "no longer has it"
                self._fail(upload, f"Upload {name} again: the server {known}.")
            elif lacking.prove:
                self._to_prove.append(upload)
            else:
                upload._in_flight = 0
                upload._next_offset = min(lacking.received, upload.size)
                self._sending.append(upload)

    def take_ack(self, ack: ChunkAck, reply_to: int) -> None:
        """Take one ChunkAck."""
        upload = self._by_digest.get(ack.sha256)
        if upload is None or upload not in self._sending or not upload._is_answered_by(reply_to):
            return
        upload._chunks.discard(reply_to)
        upload._in_flight = max(0, upload._in_flight - 1)
        if ack.complete:
            self._sending.remove(upload)
            self._arrived(upload)
            return
        if ack.received > upload._next_offset or not upload._in_flight:
            upload._next_offset = ack.received  # another client sent more, or a chunk was refused
        self._events.append(UploadProgress(upload.upload_id, "send", ack.received, upload.size, upload.name))

    def refused(self, error: ErrorReply, reply_to: int) -> bool:
        """An error came; whether it is about blobs: for now, or for good (too large, disk full, corrupt)."""
        if reply_to in self._asked:
            refused = self._asked.pop(reply_to)
            self._proving = 0 if reply_to == self._proving else self._proving
        elif error.detail.startswith("blob "):
            upload = self._by_digest.get(error.detail[5:])
            refused = [upload] if upload is not None and upload._is_answered_by(reply_to) else []
        else:
            return False
        for upload in refused:
            if error.code == "rate_limited":
                self._connection.postponed.append(partial(self._go_on, upload))
            else:
                self._fail(upload, error.message)
        return True

    def _go_on(self, upload: Upload) -> None:
        """Find out what the server has, and go on from there."""
        if not (upload.at_server or upload.error):
            if upload in self._sending:
                self._sending.remove(upload)
            upload._in_flight = 0
            self.ask_again([upload.ref])

    def _arrived(self, upload: Upload) -> None:
        for each in (upload, *upload._same):
            if not each.at_server:
                each.at_server = True
                self._events.append(Uploaded(each.upload_id, upload.ref, each.sent_bytes))

    def _fail(self, upload: Upload, message: str) -> None:
        if upload in self._sending:
            self._sending.remove(upload)
        for each in (upload, *upload._same):
            each.error = message
            self._events.append(UploadError(each.upload_id, message))
