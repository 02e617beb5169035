"""Connections that are reset in mid-sentence, by hand: what ZeroMQ's own sockets never send. Standard library alone."""

from __future__ import annotations

import socket
import struct

_PING = b"\x04PING\x00\x64"
PINGS_UNREAD = (b"\x00\x01x" * 20 + (b"\x04" + bytes([len(_PING)]) + _PING) * 3) * 20
"""Small messages with commands among them that ZeroMQ's transport answers by itself."""


def reset_while_unread(address: str, sent: bytes = b"\x00\x01x" * 4000) -> None:
    """Greet as a DEALER does (ZMTP 3.1, no key), send more small messages than may wait, and reset the connection."""
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    with socket.create_connection((host, int(port)), 60) as peer:
        peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16 + 1 + 31))
        greeting = b""
        while len(greeting) < 64:
            got = peer.recv(64 - len(greeting))
            if not got:
                raise ConnectionResetError("the server has ended")
            greeting += got
        peer.sendall(b"\x04" + bytes([len(ready)]) + ready)
        if not peer.recv(256):
            raise ConnectionResetError("the server has ended")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sendall(sent)
