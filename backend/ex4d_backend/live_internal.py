"""What the server and its process for live views say to each other, over loopback with a token. Not public protocol."""

from __future__ import annotations

import msgspec

from ex4d_protocol.live import LiveReply, LiveView
from ex4d_protocol.messages import ErrorReply


class _Message(msgspec.Struct, frozen=True, tag=True):
    pass


class LiveReady(_Message, frozen=True):
    """Process: imported and compiled everything."""

    token: str


class LiveBeat(_Message, frozen=True):
    """Both ways: still here."""


class LiveOrder(_Message, frozen=True):
    """Server: a client's request."""

    client: int
    request_id: int
    view: LiveView


class LiveForget(_Message, frozen=True):
    """Server: this client is gone."""

    client: int


class LiveQuit(_Message, frozen=True):
    """Server: leave."""


class LiveAnswer(_Message, frozen=True):
    """Process: pass this on. A picture's bytes come in a frame of their own."""

    client: int
    request_id: int
    message: LiveReply | ErrorReply
    ended: bool
    """It is the last answer to this request."""


ToLive = LiveOrder | LiveForget | LiveBeat | LiveQuit
FromLive = LiveReady | LiveBeat | LiveAnswer

encode = msgspec.msgpack.Encoder().encode
decode_to_live = msgspec.msgpack.Decoder(ToLive).decode
decode_from_live = msgspec.msgpack.Decoder(FromLive).decode
