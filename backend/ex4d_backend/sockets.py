"""The server's public sockets: how they are bound, read and answered on, whatever the messages are about."""

import errno
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec
import zmq

from ex4d_backend.client_errors import Refusal, for_client, without_paths
from ex4d_backend.keys import Gatekeeper, KeyRing, key_of
from ex4d_backend.outbox import QUEUE_MESSAGES, Outbox
from ex4d_ground.errors import Ex4dError, OutputError
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.base import PROTOCOL_MAJOR
from ex4d_protocol.errors import FrameError

log = logging.getLogger("ex4d_backend.sockets")


def not_allowed(keys: KeyRing) -> m.ErrorReply:
    """What a client whose key does not count now is told."""
    return m.ErrorReply(code="not_allowed", message=keys.why_not)


def bind_router(
    context: zmq.Context[Any],
    host: str,
    port: int,
    *,
    io_thread: int,
    gate: Gatekeeper | None,
    waiting: int,
    taken_bytes: int = -1,
    setting: str = "--address",
) -> tuple[zmq.Socket[Any], int]:
    """A ROUTER socket on ``host``, encrypted if there is a ``gate``, and its port (0 asks for a free one).

    It takes ``waiting`` messages of one client before they are read. About ``taken_bytes`` are taken from a connection
    before the next one's turn (-1: what the system has of it, which may be megabytes). ``setting`` is what chose the
    address. Raises OutputError, which names it.
    """
    socket = context.socket(zmq.ROUTER)
    for option, value in (
        (zmq.RCVBUF, taken_bytes),
        (zmq.LINGER, 0),
        (zmq.AFFINITY, 1 << io_thread),
        (zmq.ROUTER_MANDATORY, 1),
        (zmq.MAXMSGSIZE, framing.MAX_FRAME_BYTES),
        (zmq.SNDHWM, QUEUE_MESSAGES),
        (zmq.RCVHWM, waiting),
        (zmq.HANDSHAKE_IVL, 10000),
        *framing.KEEP_ALIVE.items(),
    ):
        socket.setsockopt(option, value)
    if ":" in host:  # only then: a name such as localhost would be looked up as IPv6 first
        socket.setsockopt(zmq.IPV6, 1)
    if gate is not None:
        gate.guard(socket)
    try:
        socket.bind(f"tcp://{host}:{port or '*'}")
    except zmq.ZMQError as error:
        socket.close(0)
        if error.errno == errno.EADDRINUSE:
            text = f"Port {port} on {host} is taken; choose another with {setting} tcp://{host}:PORT (or :auto)."
        else:
            text = f"Cannot listen on {host}:{port}: {error.strerror or error}; check {setting}."
        raise OutputError(text) from None
    return socket, int(bytes(socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").rpartition(b":")[2])


def poller_of(sockets: Iterable[zmq.Socket[Any]]) -> zmq.Poller:
    """Asks which of ``sockets`` can be read."""
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return poller


Take = Callable[[bytes, framing.Received, zmq.Frame], None]
"""Called with a sender's identity, its message, and the message's first frame."""


def read_messages(outbox: Outbox, limit: int, take: Take, keys: KeyRing | None) -> None:
    """Give up to ``limit`` messages to ``take``; what is wrong with one is answered."""
    for _ in range(limit):
        frames = framing.receive(outbox.socket, extra=1)
        if frames is None:
            return
        handle_message(outbox, frames, take, keys)


def refuse(outbox: Outbox, frames: list[zmq.Frame], refusal: Refusal) -> None:
    """Answer a message that is not read, but for its header."""
    try:
        request_id = framing.header_of(frames[1:]).id
    except FrameError:
        request_id = 0
    outbox.send(frames[0].bytes, refusal.reply, request_id)


def handle_message(outbox: Outbox, frames: list[zmq.Frame], take: Take, keys: KeyRing | None) -> None:
    """Give one message to ``take``; what is wrong with it is answered.

    With ``keys`` a message counts only if its sender's key is allowed at this moment.
    """
    identity = frames[0].bytes
    request_id, job_id = 0, ""
    if keys is not None and keys.owner(key_of(frames[0])) is None:
        with suppress(FrameError):  # first the request is answered, then the session ends
            if number := framing.header_of(frames[1:]).id:
                outbox.send(identity, not_allowed(keys), number)
        outbox.send(identity, not_allowed(keys))
        return
    try:
        received = framing.decode(frames[1:], framing.CLIENT_DECODERS)
        request_id, job_id = received.header.id, getattr(received.message, "job_id", "")
        take(identity, received, frames[0])
    except FrameError as error:
        outbox.send(identity, _frame_error(error, frames[1:]), error.request_id)
    except Refusal as refusal:
        refused = refusal.reply
        refused = refused if refused.job_id else msgspec.structs.replace(refused, job_id=job_id)
        outbox.send(identity, refused, request_id)
    except Ex4dError as error:
        code: Any = "storage_full" if isinstance(error, OutputError) else "bad_request"
        text, remedy = without_paths(str(error)), for_client(error.remedy, same_machine=False)
        outbox.send(identity, m.ErrorReply(code=code, message=text, job_id=job_id, remedy=remedy), request_id)
    except Exception:  # one message must never end the server
        log.exception("a message could not be handled")
        text = "The backend hit a fault while it handled this message; its log says more."
        outbox.send(identity, m.ErrorReply(code="internal", message=text, job_id=job_id), request_id)


def _frame_error(error: FrameError, frames: list[zmq.Frame]) -> m.ErrorReply:
    text = str(error)
    if error.code == "incompatible":
        major = framing.major_of(frames) or 0
        text = framing.incompatible_sentence(
            server_major=PROTOCOL_MAJOR, client_major=major, client="this client (the add-on)"
        )
    code: Any = error.code
    return m.ErrorReply(code=code, message=text[:4096])


def send(
    socket: zmq.Socket[Any], identity: bytes, message: msgspec.Struct, reply_to: int = 0, *blobs: framing.Buffer
) -> bool:
    """Send to one peer. False if its queue is full; raises zmq.ZMQError (EHOSTUNREACH) if it is gone."""
    frames = [identity, *framing.encode(message, reply_to=reply_to, blobs=blobs)]
    try:
        socket.send_multipart(frames, zmq.NOBLOCK, copy=not blobs)
    except zmq.Again:
        return False
    return True
