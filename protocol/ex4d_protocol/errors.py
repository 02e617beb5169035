"""What can go wrong between two peers. Every message is one sentence that can be shown as it stands."""

from ex4d_ground.errors import Ex4dError


class ProtocolError(Ex4dError):
    """Base of every error this package raises on purpose."""


class FrameError(ProtocolError):
    """A received or outgoing message breaks the framing, a limit, or its own description."""

    def __init__(self, message: str, *, code: str = "bad_message", request_id: int = 0):
        super().__init__(message, code=code)
        self.request_id = request_id
        """The id in the header, where that much could be read; 0 otherwise."""


class DamagedItem(ProtocolError):
    """A whole result item does not have the checksum it was announced with."""


class ConnectionFailed(ProtocolError):
    """No backend answers at the address, or it went away and did not come back in time."""


class IncompatibleError(ProtocolError):
    """The two sides speak different majors; the message names the side to upgrade."""


class RequestRefused(ProtocolError):
    """The server answered with an ErrorReply, whose code and remedy these are."""


class BackendTooOld(RequestRefused):
    """The backend speaks an older protocol and would leave out a part of the request; the message names it."""

    code = "backend_too_old"


class JobFailed(ProtocolError):
    """A job ended as "failed"; message, code and remedy are the server's."""


class JobCancelled(ProtocolError):
    """A job ended as "cancelled"."""


class UploadFailed(ProtocolError):
    """A file could not be read while it was hashed or sent."""
