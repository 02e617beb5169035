"""Bulk data: chunks in, result items out, both in bounded slices so that the loop stays quick."""

import logging
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import zmq

from ex4d_backend.blobs import BlobStore
from ex4d_backend.client_errors import Refusal, without_paths
from ex4d_backend.client_sessions import ClientSession, ClientSessions, ResultStream
from ex4d_backend.item_files import item_file, open_item, read_through
from ex4d_backend.job_rows import Job
from ex4d_backend.scheduler import JobScheduler
from ex4d_backend.sockets import send
from ex4d_backend.uploads import Settled, Uploads
from ex4d_ground.errors import OutputError
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.base import MAX_CHUNK_BYTES, MAX_RESULT_STREAMS
from ex4d_protocol.requests import BlobRef

log = logging.getLogger("ex4d_backend.transfers")

MAX_CREDIT = 64
PARTS_PER_ROUND = 2
QUESTIONS_EACH = 4
"""Questions of one client's about blobs that may wait for the disk at a time."""
SMALL_CHUNK_BYTES = 64 << 10
READ_AHEAD = 32
"""Items described in one look at the job table."""


def is_small(received: framing.Received) -> bool:
    """Whether a chunk costs more to handle than to move: those count against the client's rate."""
    sizes = (memoryview(b.buffer if isinstance(b, zmq.Frame) else b).nbytes for b in received.blobs)
    return sum(sizes) < SMALL_CHUNK_BYTES


class Transfers:
    """The data socket's work."""

    def __init__(
        self,
        socket: zmq.Socket[Any],
        sessions: ClientSessions,
        blobs: BlobStore,
        uploads: Uploads,
        scheduler: JobScheduler,
        *,
        post: Callable[[Callable[[], None]], None],
        answer: Callable[[ClientSession, msgspec.Struct, int], None],
    ) -> None:
        """``answer`` sends on the control socket, in reply to a request."""
        self._socket = socket
        self._sessions = sessions
        self._blobs, self._uploads = blobs, uploads
        self._answer = answer
        self._scheduler = scheduler
        self._post = post
        self._turn = 0
        self._reader = ThreadPoolExecutor(1, "result-reader")

    def handle(self, session: ClientSession, received: framing.Received) -> None:
        """One message from an attached data socket. Raises Refusal."""
        message = received.message
        match message:
            case m.PutChunk():
                self._put(session, message, received)
            case m.GetResults():
                self._begin(session, message, received.header.id)
            case m.Credit():
                stream = session.streams.get(message.job_id)
                if stream is not None:
                    stream.credit = min(MAX_CREDIT, stream.credit + message.more)
                if message.freed:
                    self._scheduler.free(session.owner, message.job_id, message.freed, message.attempt)
            case m.Ping():
                self._send(session, m.Pong(), received.header.id)
            case _:
                kind = type(message).__name__
                raise Refusal("bad_message", f"{kind} belongs on the control socket, not on the data socket.")

    # --- in -----------------------------------------------------------------------------------------------

    def have(self, session: ClientSession, message: m.HaveBlobs, request_id: int) -> None:
        """Say which blobs are missing and where to go on with each, once what is doubtful was read. Raises Refusal."""
        done = self._question(session)

        def answer() -> None:
            done()
            self._tell_missing(session, message.blobs, request_id, provable=True)

        self._blobs.check((blob.sha256 for blob in message.blobs), answer)

    def prove(self, session: ClientSession, message: m.ProveBlobs, request_id: int) -> None:
        """Let a client use blobs that it proves to have, and say which of them it must send. Raises Refusal."""
        done = self._question(session)
        refs = [BlobRef(sha256=proof.sha256, size=proof.size) for proof in message.proofs]

        def answer() -> None:
            done()
            self._tell_missing(session, refs, request_id, provable=False)

        proofs = [(ref, proof.proof) for ref, proof in zip(refs, message.proofs, strict=True)]
        self._blobs.prove(session.owner, session.nonce, proofs, answer)

    def _question(self, session: ClientSession) -> Callable[[], None]:
        """Count a question of a client's that may wait for the disk; what is to be called when it is answered."""
        if session.asking >= QUESTIONS_EACH:
            raise Refusal("rate_limited", "Your last questions about files are not answered yet; ask again then.")
        session.asking += 1

        def answered() -> None:
            session.asking -= 1

        return answered

    def _tell_missing(
        self, session: ClientSession, refs: Iterable[BlobRef], request_id: int, *, provable: bool
    ) -> None:
        if not self._sessions.holds(session):
            return
        missing = [
            m.BlobProgress(
                sha256=ref.sha256,
                received=self._uploads.received(session.owner, ref.sha256, ref.size),
                prove=provable and self._blobs.has(ref.sha256, ref.size),
            )
            for ref in refs
            if not self._blobs.has_for(session.owner, ref.sha256, ref.size)
        ]
        nonce = session.nonce if any(part.prove for part in missing) else ""
        self._answer(session, m.BlobsMissing(missing=tuple(missing), nonce=nonce), request_id)

    def _put(self, session: ClientSession, message: m.PutChunk, received: framing.Received) -> None:
        detail = f"blob {message.sha256}"
        if not received.blobs:
            raise Refusal("bad_message", "A PutChunk message came without its bytes.", detail=detail)
        blob = received.blobs[0]
        data = memoryview(blob.buffer if isinstance(blob, zmq.Frame) else blob)
        owner, request_id = session.owner, received.header.id

        def stored(have: int, error: OutputError | None) -> None:
            if error is None:
                self._send(session, m.ChunkAck(sha256=message.sha256, received=have), request_id)
            else:
                text = without_paths(str(error))
                self._send(session, m.ErrorReply(code="storage_full", message=text, detail=detail), request_id)

        have = self._uploads.put(owner, message.sha256, message.size, message.offset, data, stored)
        if have is not None:
            complete = self._blobs.has_for(owner, message.sha256, message.size)
            self._send(session, m.ChunkAck(sha256=message.sha256, received=have, complete=complete), request_id)

    def settled(self, upload: Settled) -> None:
        """Verification is over: tell its owner, in every session."""
        detail = f"blob {upload.digest}"
        message: msgspec.Struct = m.ErrorReply(
            code="blob_corrupt", message=without_paths(upload.error)[:4096], detail=detail
        )
        if not upload.error:
            received = 0 if upload.again else upload.size
            message = m.ChunkAck(sha256=upload.digest, received=received, complete=not upload.again)
        for session in self._sessions.of_owner(upload.owner):
            self._send(session, message, 0)

    # --- out ----------------------------------------------------------------------------------------------

    def _begin(self, session: ClientSession, message: m.GetResults, request_id: int) -> None:
        job = self._scheduler.find(session.owner, message.job_id)
        if job.acknowledged:
            text = f"The results of job {job.job_id} were acknowledged and are deleted; submit it again under a new id."
            raise Refusal("unknown_job", text, job_id=job.job_id)
        if len(session.streams) >= MAX_RESULT_STREAMS and message.job_id not in session.streams:
            text = f"{MAX_RESULT_STREAMS} result streams are open already; ask again when one has ended."
            raise Refusal("rate_limited", text)
        start = message.from_item if message.attempt == job.attempt else 0
        if start < job.freed:
            text = f"The first {job.freed} results of job {job.job_id} were fetched and are deleted; submit it again."
            raise Refusal("unknown_job", text, job_id=job.job_id)
        session.streams[job.job_id] = ResultStream(job.job_id, start, job.attempt, message.credit, request_id)

    def pump(self) -> bool:
        """Send a few parts of what is ready and allowed; whether there may be more right away."""
        now, sent = time.monotonic(), 0
        sessions = [s for s in self._sessions if s.streams and s.paused_until <= now]
        for k in range(len(sessions)):
            session = sessions[(self._turn + k) % len(sessions)]
            for stream in list(session.streams.values()):
                while sent < PARTS_PER_ROUND and self._send_next(session, stream):
                    sent += 1
        self._turn += 1
        return sent >= PARTS_PER_ROUND

    def _send_next(self, session: ClientSession, stream: ResultStream) -> bool:
        """Send one part of a stream, or its end; whether something was sent and the stream goes on."""
        job = self._scheduler.store.get(stream.job_id)
        if job is None:
            session.streams.pop(stream.job_id, None)
            return False
        if job.attempt != stream.attempt:
            stream.start_over(job.attempt)
        if stream.item is None and not self._open_next(session, stream, job):
            return False
        item, content = stream.item, stream.content
        if stream.credit <= 0 or item is None or content is None:
            return False
        part = content[stream.offset : stream.offset + MAX_CHUNK_BYTES]
        message = msgspec.structs.replace(item, offset=stream.offset)
        if not self._send(session, message, stream.request_id, part):
            return False
        stream.credit -= 1
        stream.offset += part.nbytes
        if stream.offset >= content.nbytes:
            stream.item = stream.content = None
            stream.next_item += 1
        return True

    def _open_next(self, session: ClientSession, stream: ResultStream, job: Job) -> bool:
        """Map the next item if it is there; end the stream if no more will come."""
        if stream.next_item >= job.items:
            if job.final:
                end = m.ResultsEnd(job_id=job.job_id, items=job.items, phase=job.state().phase)
                if self._send(session, end, stream.request_id):
                    session.streams.pop(job.job_id, None)
            return False
        if not stream.ahead:
            stream.ahead.extend(self._scheduler.store.items(job, stream.next_item, READ_AHEAD))
            if not stream.ahead:
                return False
        item = stream.ahead[0]
        stream.folder = stream.folder or f"{self._scheduler.folders.items(job)}{os.sep}"
        cached = stream.next_item < stream.fetched
        if item is None:
            return self._give_up_item(session, stream, "its row in the job table is damaged")
        try:
            stream.content = open_item(stream.folder + item_file(stream.next_item), item.size, cached_only=not cached)
            if stream.content is None:
                self._fetch_from_disk(stream)
                return False
        except OSError as error:
            return self._give_up_item(session, stream, error.strerror or str(error))
        stream.ahead.popleft()
        stream.item, stream.offset = item, 0
        return True

    def _give_up_item(self, session: ClientSession, stream: ResultStream, reason: str) -> bool:
        """Say which item cannot be delivered, and go on with the next; a client of 1.0 gets no more of the job."""
        number = stream.next_item
        text = f"Item {number} of job {stream.job_id} cannot be read ({reason}); submit the job again to have it."
        error = m.ErrorReply(code="item_damaged", message=text, detail=f"item {number}", job_id=stream.job_id)
        if session.minor < 1:
            error = msgspec.structs.replace(error, code="internal")
        if not self._send(session, error, stream.request_id):
            return False
        log.error("%s", text)
        if session.minor < 1:
            session.streams.pop(stream.job_id, None)
            return False
        stream.ahead.popleft()
        stream.next_item += 1
        return False

    def _fetch_from_disk(self, stream: ResultStream) -> None:
        """Have the reading thread bring the next items into memory, so that the loop does not wait for the disk."""
        if stream.fetching:
            return
        stream.fetching, attempt = True, stream.attempt
        numbers = range(stream.next_item, stream.next_item + len(stream.ahead))

        def fetched(number: int) -> None:
            if stream.attempt == attempt:
                stream.fetched = max(stream.fetched, number + 1)
            if number == numbers[-1]:
                stream.fetching = False

        def fetch(number: int, path: str) -> None:
            read_through(path)
            self._post(lambda: fetched(number))

        for number in numbers:
            self._reader.submit(fetch, number, stream.folder + item_file(number))

    def close(self) -> None:
        """Stop the reading thread."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _send(self, session: ClientSession, message: msgspec.Struct, reply_to: int, *blobs: memoryview) -> bool:
        if not session.data_identity:
            return False
        try:
            sent = send(self._socket, session.data_identity, message, reply_to, *blobs)
        except zmq.ZMQError as error:
            log.info("client %s is gone (%s)", session.client_name or session.owner, error)
            self._sessions.drop(session)
            return False
        if not sent:
            # Its queue is full: look again a little later, and serve the others meanwhile.
            session.paused_until = time.monotonic() + 0.02
        return sent
