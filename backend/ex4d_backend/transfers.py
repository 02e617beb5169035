"""Bulk data: chunks in, result items out, both in bounded slices so that the loop stays quick."""

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import zmq

from ex4d_backend.blobs import BlobStore
from ex4d_backend.client_errors import Refusal, without_paths
from ex4d_backend.client_sessions import ClientSession, ClientSessions, ResultStream
from ex4d_backend.item_files import item_file, open_item, read_through
from ex4d_backend.scheduler import JobScheduler
from ex4d_backend.sockets import send
from ex4d_backend.store import Job
from ex4d_ground.errors import OutputError
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.base import MAX_CHUNK_BYTES

log = logging.getLogger("ex4d_backend.transfers")

MAX_CREDIT = 64
PARTS_PER_ROUND = 2
STREAMS_PER_SESSION = 64
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
        scheduler: JobScheduler,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self._socket = socket
        self._sessions = sessions
        self._blobs = blobs
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
            case m.Ping():
                self._send(session, m.Pong(), received.header.id)
            case _:
                kind = type(message).__name__
                raise Refusal("bad_message", f"{kind} belongs on the control socket, not on the data socket.")

    # --- in -----------------------------------------------------------------------------------------------

    def have(self, session: ClientSession, message: m.HaveBlobs) -> m.BlobsMissing:
        """Which blobs are missing, and where to go on with each."""
        missing = [b for b in message.blobs if not self._blobs.has(b.sha256, b.size)]
        session.wanted_blobs.update(b.sha256 for b in missing)
        parts = [m.BlobProgress(sha256=b.sha256, received=self._blobs.received(b.sha256, b.size)) for b in missing]
        return m.BlobsMissing(missing=tuple(parts))

    def _put(self, session: ClientSession, message: m.PutChunk, received: framing.Received) -> None:
        detail = f"blob {message.sha256}"
        if not received.blobs:
            raise Refusal("bad_message", "A PutChunk message came without its bytes.", detail=detail)
        blob = received.blobs[0]
        data = memoryview(blob.buffer if isinstance(blob, zmq.Frame) else blob)
        session.wanted_blobs.add(message.sha256)
        request_id = received.header.id

        def stored(have: int, error: OutputError | None) -> None:
            if error is None:
                self._send(session, m.ChunkAck(sha256=message.sha256, received=have), request_id)
            else:
                text = without_paths(str(error))
                self._send(session, m.ErrorReply(code="storage_full", message=text, detail=detail), request_id)

        have = self._blobs.put(message.sha256, message.size, message.offset, data, stored)
        if have is not None:
            complete = self._blobs.has(message.sha256, message.size)
            self._send(session, m.ChunkAck(sha256=message.sha256, received=have, complete=complete), request_id)

    def blob_settled(self, digest: str, size: int, error: str) -> None:
        """Verification is over: tell every client that waits for the blob."""
        for session in self._sessions:
            if digest not in session.wanted_blobs:
                continue
            session.wanted_blobs.discard(digest)
            if error:
                self._send(session, m.ErrorReply(code="blob_corrupt", message=error, detail=f"blob {digest}"), 0)
            else:
                self._send(session, m.ChunkAck(sha256=digest, received=size, complete=True), 0)

    # --- out ----------------------------------------------------------------------------------------------

    def _begin(self, session: ClientSession, message: m.GetResults, request_id: int) -> None:
        job = self._scheduler.find(session.owner, message.job_id)
        if job.acknowledged:
            text = f"The results of job {job.job_id} were acknowledged and are deleted; submit it again under a new id."
            raise Refusal("unknown_job", text, job_id=job.job_id)
        if len(session.streams) >= STREAMS_PER_SESSION and message.job_id not in session.streams:
            raise Refusal("bad_request", f"At most {STREAMS_PER_SESSION} result streams may be open at a time.")
        start = message.from_item if message.attempt == job.attempt else 0
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
            stream.ahead.extend(self._scheduler.store.items(job.job_id, stream.next_item, READ_AHEAD))
            if not stream.ahead:
                return False
        item = stream.ahead[0]
        stream.folder = stream.folder or f"{self._scheduler.items_folder(job)}{os.sep}"
        cached = stream.next_item < stream.fetched
        try:
            stream.content = open_item(stream.folder + item_file(stream.next_item), item.size, cached_only=not cached)
            if stream.content is None:
                self._fetch_from_disk(stream)
                return False
        except OSError as error:
            text = f"A result of job {job.job_id} cannot be read ({error.strerror or error}); submit it again."
            self._send(session, m.ErrorReply(code="internal", message=text, job_id=job.job_id), stream.request_id)
            session.streams.pop(job.job_id, None)
            return False
        stream.ahead.popleft()
        stream.item, stream.offset = item, 0
        return True

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
