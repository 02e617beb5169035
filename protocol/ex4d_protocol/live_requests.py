"""The client's side of live views: which requests are open, and pictures that come in parts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import zmq

from ex4d_protocol import messages as m
from ex4d_protocol.arrays import view_array
from ex4d_protocol.events import LiveAnswer, RequestFailed
from ex4d_protocol.framing import Buffer


class LiveRequests:
    """Every live view that was asked for and has not ended."""

    def __init__(self) -> None:
        self._parts: dict[int, bytearray] = {}
        """The parts of each request's present picture that have come."""

    def asked(self, request_id: int) -> None:
        """A request was sent."""
        self._parts[request_id] = bytearray()

    def answered(
        self,
        request_id: int,
        message: m.LivePicture | m.LiveCoverage | m.LiveProgress | m.LiveSuperseded,
        blobs: Sequence[zmq.Frame | Buffer],
    ) -> Iterator[LiveAnswer]:
        """What an answer tells. Raises FrameError for a picture whose bytes do not fit its size."""
        if request_id not in self._parts:
            return  # of a request that was given up with an earlier connection
        if isinstance(message, m.LivePicture):
            picture = self._picture(request_id, message, blobs)
            if picture is None:
                return
            ended = message.done
        else:
            picture = None
            ended = isinstance(message, m.LiveSuperseded) or (isinstance(message, m.LiveCoverage) and message.done)
        if ended:
            del self._parts[request_id]
        yield LiveAnswer(request_id, message, ended, picture)

    def failed(self, request_id: int) -> bool:
        """An error came; whether it ends one of these requests."""
        return self._parts.pop(request_id, None) is not None

    def lost(self, why: m.ErrorReply) -> Iterator[RequestFailed]:
        """The connection is gone: none of them will be answered."""
        for request_id in self._parts:
            yield RequestFailed(request_id, why)
        self._parts.clear()

    def _picture(
        self, request_id: int, message: m.LivePicture, blobs: Sequence[zmq.Frame | Buffer]
    ) -> np.ndarray | None:  # [H, W, 4]
        """The whole picture; None while parts of it are missing."""
        shape = (message.height, message.width, 4)
        size = math.prod(shape)
        blob = blobs[0] if blobs else b""
        part = memoryview(blob.buffer if isinstance(blob, zmq.Frame) else blob)
        if message.offset == 0 and part.nbytes >= size:
            return view_array(part, dtype="|u1", shape=shape)
        parts = self._parts[request_id]
        if message.offset == 0:
            parts.clear()
        if message.offset == len(parts):
            parts += part
        if len(parts) < size and not message.done:
            return None
        self._parts[request_id] = bytearray()
        return view_array(bytes(parts), dtype="|u1", shape=shape)
