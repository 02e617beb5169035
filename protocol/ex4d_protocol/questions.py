"""Requests whose sender waits for answers: questions, which have one, and live views, which have several."""

import math
from collections import deque

import msgspec
import numpy as np

from ex4d_protocol import messages as m
from ex4d_protocol import minors
from ex4d_protocol.arrays import view_array
from ex4d_protocol.connection import Connection
from ex4d_protocol.errors import RequestRefused
from ex4d_protocol.events import Event, LiveAnswer, Reply, RequestFailed
from ex4d_protocol.framing import Received, bytes_of
from ex4d_protocol.live import LiveReply, LiveView


class Questions:
    """Which requests are open. Each ends with an answer or with :class:`~ex4d_protocol.events.RequestFailed`."""

    def __init__(self, connection: Connection, events: deque[Event]):
        self._connection = connection
        self._events = events
        self._open: dict[int, bytearray] = {}
        """Each with what has come of an answer in several parts."""

    def ask(self, message: msgspec.Struct) -> int:
        """Send any control message that has one answer; it comes as Reply or RequestFailed with this id.

        If there is no connection, or it is lost before the answer, RequestFailed is reported at once.
        """
        request_id = self._connection.tell(message)
        if request_id is None:
            request_id = next(self._connection.ids)
            self._events.append(RequestFailed(request_id, self._connection.absence()))
        else:
            self._open[request_id] = bytearray()
        return request_id

    def answered(self, message: msgspec.Struct, reply_to: int) -> None:
        """Report the answer to a question; other messages are of no concern."""
        if self._open.pop(reply_to, None) is not None:
            self._events.append(Reply(reply_to, message))

    def refused(self, error: m.ErrorReply, reply_to: int) -> bool:
        """An error came; whether it ends one of these requests."""
        if self._open.pop(reply_to, None) is None:
            return False
        self._events.append(RequestFailed(reply_to, error))
        return True

    def lost(self) -> None:
        """The connection is gone: none of them will be answered."""
        self._events.extend(RequestFailed(request_id, self._connection.absence()) for request_id in self._open)
        self._open.clear()


class LiveRequests(Questions):
    """Every live view that was asked for and has not ended: questions with several answers each."""

    def ask(self, message: msgspec.Struct) -> int:
        """Ask as :meth:`Questions.ask` does, in the words of an older server.

        What cannot be said so, and would give another picture, is reported as RequestFailed at once.
        """
        welcome = self._connection.welcome
        try:
            fitted = minors.adapted(message, welcome)
            if isinstance(fitted, LiveView) and welcome is not None:
                minors.require(fitted, welcome)
        except RequestRefused as error:
            request_id = next(self._connection.ids)
            refused = m.ErrorReply(code=error.code, message=str(error), remedy=error.remedy)
            self._events.append(RequestFailed(request_id, refused))
            return request_id
        return super().ask(fitted)

    def take(self, message: LiveReply, received: Received) -> None:
        """Report an answer. Raises FrameError for a picture whose bytes do not fit its size."""
        request_id = received.header.reply_to
        if request_id not in self._open:
            return  # of a request that was given up with an earlier connection
        picture = None
        if isinstance(message, m.LivePicture):
            picture = self._picture(request_id, message, received)
            if picture is None:
                return
        ended = isinstance(message, m.LiveSuperseded) or (not isinstance(message, m.LiveProgress) and message.done)
        if ended:
            del self._open[request_id]
        self._events.append(LiveAnswer(request_id, message, ended, picture))

    def _picture(self, request_id: int, message: m.LivePicture, received: Received) -> np.ndarray | None:  # [H, W, 4]
        """The whole picture; None while parts of it are missing."""
        shape = (message.height, message.width, 4)
        size = math.prod(shape)
        part = bytes_of(received.blobs[0] if received.blobs else b"")
        if message.offset == 0 and part.nbytes >= size:
            return view_array(part, dtype="|u1", shape=shape)
        parts = self._open[request_id]
        if message.offset == 0:
            parts.clear()
        if message.offset == len(parts):
            parts += part
        if len(parts) < size and not message.done:
            return None
        self._open[request_id] = bytearray()
        return view_array(bytes(parts), dtype="|u1", shape=shape)
