"""Messages as ZeroMQ frames: ``[magic + major] [header] [body] [blob ...]``.

The magic and the header are the same in every major, so that a peer of another major can be answered in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
import zmq

from ex4d_ground.records import Count, Name, Record
from ex4d_ground.texts import one_line
from ex4d_protocol.base import MAX_BODY_BYTES, MAX_CHUNK_BYTES, MAX_HEADER_BYTES, PROTOCOL_MAJOR, PROTOCOL_MINOR
from ex4d_protocol.errors import FrameError
from ex4d_protocol.maxima import largest_body
from ex4d_protocol.messages import ClientMessage, ServerMessage

MAGIC = b"EX4D"
MAX_FRAMES = 3 + 1
"""Magic, header, body and at most one blob; a new minor may raise it."""
MAX_FRAME_BYTES = max(MAX_BODY_BYTES, MAX_CHUNK_BYTES)
"""For the sockets' MAXMSGSIZE: a peer that announces more is disconnected before anything is allocated."""
KEEP_ALIVE: dict[int, int] = {
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 20,
    zmq.TCP_KEEPALIVE_INTVL: 5,
    zmq.TCP_KEEPALIVE_CNT: 3,
}
"""Socket options with which the system ends a connection whose other side has gone without a word, after 35 s. Not
ZeroMQ's own heartbeats: the one that falls due on a connection that was reset while what it had sent still waited to be
read ends the whole process (libzmq 4.3.5, issue 4841). A peer can send such a heartbeat: see the backend's guardian."""

Buffer = bytes | bytearray | memoryview
Blob = zmq.Frame | Buffer
"""A frame as it was received."""
_READABLE = int(zmq.POLLIN)


class Header(Record, frozen=True, kw_only=True):
    """What must be known before the body can be read."""

    type: Name
    """Name of the message's structure."""
    id: Count = 0
    """The sender's number for this request; 0 expects no reply."""
    reply_to: Count = 0
    """The ``id`` this message answers; 0 for a message nobody asked for."""


@dataclass(frozen=True)
class Received:
    """A decoded message."""

    header: Header
    message: Any
    blobs: tuple[Blob, ...] = ()


def _decoders(union: Any) -> dict[str, msgspec.msgpack.Decoder[Any]]:
    return {t.__name__: msgspec.msgpack.Decoder(t) for t in get_args(union)}


CLIENT_DECODERS = _decoders(ClientMessage)
"""What a server reads."""
SERVER_DECODERS = _decoders(ServerMessage)
"""What a client reads."""

_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(Header)


def bytes_of(frame: Blob) -> memoryview:
    """A received frame's bytes, without a copy."""
    return memoryview(frame.buffer if isinstance(frame, zmq.Frame) else frame)


def encode(
    message: msgspec.Struct, *, request_id: int = 0, reply_to: int = 0, blobs: Sequence[Buffer] = ()
) -> list[Buffer]:
    """Frames of a message, without the ZeroMQ identity. Raises FrameError if a limit would be broken."""
    header = Header(type=type(message).__name__, id=request_id, reply_to=reply_to)
    frames: list[Buffer] = [MAGIC + bytes([PROTOCOL_MAJOR]), _encoder.encode(header), _encoder.encode(message), *blobs]
    _check_sizes([memoryview(f).nbytes for f in frames], header.type, request_id)
    return frames


def header_of(frames: Sequence[Blob]) -> Header:
    """Read a message's header alone, which costs next to nothing. Raises FrameError, which says what to reply."""
    if major_of(frames) is None:
        raise FrameError("Received something that is not an EX-4D message; check the address and port.")
    return _decode_header([bytes_of(frame) for frame in frames[:2]])


def decode(frames: Sequence[Blob], decoders: dict[str, msgspec.msgpack.Decoder[Any]]) -> Received:
    """Read a message from frames (bytes or zmq.Frame). Raises FrameError, which says what to reply."""
    major = major_of(frames)
    if major is None:
        raise FrameError("Received something that is not an EX-4D message; check the address and port.")
    views = [bytes_of(frame) for frame in frames]
    header = _decode_header(views)
    if major != PROTOCOL_MAJOR:
        raise FrameError(f"protocol {major}", code="incompatible", request_id=header.id)
    decoder = decoders.get(header.type)
    if decoder is None:
        raise FrameError(
            f"Messages of type {header.type!r} are not known here (protocol {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}).",
            code="unknown_type",
            request_id=header.id,
        )
    if len(views) < 3:
        raise FrameError(f"A {header.type} message came without a body.", request_id=header.id)
    _check_sizes([v.nbytes for v in views], header.type, header.id)
    if decoders is CLIENT_DECODERS:  # before it is looked at: reading is what costs
        _check_body(views[2].nbytes, header)
    try:
        message = decoder.decode(views[2])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"A {header.type} message cannot be read: {_brief(error)}.", request_id=header.id) from None
    return Received(header, message, tuple(frames[3:]))


def major_of(frames: Sequence[Blob]) -> int | None:
    """The major a message was sent with, or None if it is no message of ours."""
    view = bytes_of(frames[0]) if frames else memoryview(b"")
    return view[-1] if view.nbytes == len(MAGIC) + 1 and bytes(view[:-1]) == MAGIC else None


def _decode_header(views: Sequence[memoryview]) -> Header:
    if len(views) < 2 or views[1].nbytes > MAX_HEADER_BYTES:
        raise FrameError("A message came without a readable header.")
    try:
        return _header_decoder.decode(views[1])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"A message's header cannot be read: {_brief(error)}.") from None


def _brief(error: Exception) -> str:
    """An error's text, which may quote what was sent, cut to a length people read, on one line."""
    text = one_line(str(error))
    return text if len(text) <= 300 else f"{text[:140]} ... {text[-140:]}"


def _check_sizes(sizes: Sequence[int], kind: str, request_id: int) -> None:
    if len(sizes) > MAX_FRAMES:
        raise FrameError(f"A {kind} message has {len(sizes) - 3} blobs; at most one is allowed.", request_id=request_id)
    for what, size, most in zip(("body", "blob"), sizes[2:], (MAX_BODY_BYTES, MAX_CHUNK_BYTES), strict=False):
        if size > most:
            text = f"The {what} of a {kind} message has {size} bytes; at most {most} are allowed."
            raise FrameError(text, code="too_large", request_id=request_id)


def _check_body(size: int, header: Header) -> None:
    most = largest_body(header.type)
    if size > most:
        text = f"The body of a {header.type} message has {size} bytes; at most {most} are allowed."
        raise FrameError(text, code="too_large", request_id=header.id)


def receive(socket: zmq.Socket[Any], *, extra: int = 0) -> list[zmq.Frame] | None:
    """One whole message without blocking or copying, or None if there is none.

    Frames beyond MAX_FRAMES + ``extra`` (the identity) are read and dropped but for one, which makes the
    message fail its check, so that a message of endless parts holds no memory.
    """
    # Asking first is cheaper than the exception that says that there is nothing.
    if not int(socket.getsockopt(zmq.EVENTS)) & _READABLE:
        return None
    try:
        frames = [socket.recv(zmq.NOBLOCK, copy=False)]
    except zmq.Again:
        return None
    while frames[-1].more:
        frame = socket.recv(copy=False)
        if len(frames) > MAX_FRAMES + extra:
            frames[-1] = frame
        else:
            frames.append(frame)
    return frames


def incompatible_sentence(*, server_major: int, client_major: int, client: str) -> str:
    """Which side to upgrade, in words. ``client`` is what the person knows it as, such as "the add-on"."""
    older = client if server_major > client_major else "the backend"
    return f"The backend speaks protocol {server_major}.x, {client} {client_major}.x: upgrade {older}."
