"""What :meth:`Client.poll` returns: everything that happened since the last call, in order."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from numpy.typing import NDArray

from ex4d_ground.remedies import Remedy
from ex4d_protocol.arrays import view_array, view_json
from ex4d_protocol.live import LiveReply
from ex4d_protocol.messages import Capabilities, ErrorReply, Item, JobState, Welcome
from ex4d_protocol.requests import BlobRef


class Event(msgspec.Struct, frozen=True):
    """Something that happened: one of the classes below."""


class Connected(Event, frozen=True):
    """The handshake is done; also after a reconnect."""

    welcome: Welcome
    reconnected: bool = False


class Disconnected(Event, frozen=True):
    """The server is silent; the client goes on trying by itself. Jobs go on on the server."""

    reason: str
    retry_in_s: float


class Incompatible(Event, frozen=True):
    """The majors differ; the client has stopped trying."""

    message: str
    """Names the side to upgrade."""


class CapabilitiesChanged(Event, frozen=True):
    """A worker became ready or went away; ``client.capabilities`` is the same object."""

    capabilities: Capabilities


class UploadProgress(Event, frozen=True):
    """Bytes hashed or acknowledged of one upload."""

    upload_id: int
    stage: str
    """"hash" or "send"."""
    done: int
    total: int
    name: str = ""


class Uploaded(Event, frozen=True):
    """The server has the blob (it may have had it before)."""

    upload_id: int
    blob: BlobRef
    sent_bytes: int
    """How much of it really travelled in this client's life; 0 if the server had it."""


class UploadError(Event, frozen=True):
    """A file could not be read, or the server refused it. Jobs that need it get :class:`JobRejected`."""

    upload_id: int
    message: str


class JobChanged(Event, frozen=True):
    """A job's state as the server tells it."""

    state: JobState

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.state.job_id


class JobRejected(Event, frozen=True):
    """The server (or a failed upload) refused the job; it never ran."""

    job_id: str
    code: str
    message: str
    remedy: Remedy | None = None


class ItemReceived(Event, frozen=True):
    """One complete result item. Each (name, frame) comes once, also over reconnects and server restarts."""

    job_id: str
    item: Item
    data: memoryview
    """Read-only bytes of the whole item, without a copy where it came in one part."""

    @property
    def name(self) -> str:
        """ "frame", "colour", "mask", "vertices", ..."""
        return self.item.name

    @property
    def frame(self) -> int:
        """0-based frame, or -1."""
        return self.item.frame

    def array(self) -> NDArray[Any]:
        """The item as an array without a copy. Raises FrameError unless its encoding is "raw"."""
        return view_array(self.data, dtype=self.item.dtype, shape=self.item.shape, order=self.item.order)

    def json(self) -> Any:
        """The item's JSON. Raises FrameError unless its encoding is "json"."""
        return view_json(self.data, self.item.encoding)


class ResultsComplete(Event, frozen=True):
    """The job is final and every item it has was delivered. Call ``client.ack(job_id)`` once they are safe."""

    job_id: str
    items: int
    phase: str


class Reply(Event, frozen=True):
    """The answer to a question (:meth:`Client.question`)."""

    request_id: int
    message: Any
    """PresetReply, JobList, Health, JobLog, ResultsAcknowledged or CancelAccepted."""


class RequestFailed(Event, frozen=True):
    """The server refused a question, or it was lost with the connection."""

    request_id: int
    error: ErrorReply


class LiveAnswer(Event, frozen=True):
    """An answer to :meth:`Client.live`; the last one has ``ended`` set. A refusal comes as :class:`RequestFailed`."""

    request_id: int
    message: LiveReply
    ended: bool
    picture: NDArray[Any] | None = None
    """Of a LivePicture: uint8 [height, width, 4], read-only, top row first; not copied where it came in one part."""


@dataclass
class JobView:
    """What the client knows about one of its jobs. Read it; do not change it."""

    job_id: str
    state: JobState | None = None
    """None until the server has accepted it."""
    submitted: bool = False
    """Whether the server has confirmed that it has the job."""
    received: dict[tuple[str, int], int] = field(default_factory=dict)
    """Size in bytes of every item delivered, by (name, frame)."""
    results_complete: bool = False
    rejected: str = ""
    rejected_code: str = ""
    """Why the server refused it, and what to do about that."""
    remedy: Remedy | None = None
