"""What can go wrong between two peers. Every message is one sentence that can be shown as it stands."""

from __future__ import annotations


class ProtocolError(Exception):
    """Base of every error this package raises on purpose."""


class FrameError(ProtocolError):
    """A received or outgoing message breaks the framing, a limit, or its own description."""

    def __init__(self, message: str, *, code: str = "bad_message", request_id: int = 0):
        super().__init__(message)
        self.code = code
        self.request_id = request_id
        """The id in the header, where that much could be read; 0 otherwise."""


class DamagedItem(ProtocolError):
    """A whole result item does not have the checksum it was announced with."""


class ConnectionFailed(ProtocolError):
    """No backend answers at the address, or it went away and did not come back in time."""


class IncompatibleError(ProtocolError):
    """The two sides speak different majors; the message names the side to upgrade."""


class RequestRefused(ProtocolError):
    """The server answered with an ErrorReply."""

    def __init__(self, message: str, *, code: str):
        super().__init__(message)
        self.code = code


class JobFailed(ProtocolError):
    """A job ended as "failed"; the message is the server's reason."""


class JobCancelled(ProtocolError):
    """A job ended as "cancelled"."""


class UploadFailed(ProtocolError):
    """A file could not be read while it was hashed or sent."""
