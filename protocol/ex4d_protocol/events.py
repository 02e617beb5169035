"""What :meth:`Client.poll` returns: everything that happened since the last call, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ex4d_protocol.live import LiveCoverage, LivePicture, LiveProgress, LiveSuperseded
from ex4d_protocol.messages import Capabilities, ErrorReply, Item, JobState, Welcome
from ex4d_protocol.requests import BlobRef


@dataclass(frozen=True)
class Connected:
    """The handshake is done; also after a reconnect."""

    welcome: Welcome
    reconnected: bool = False


@dataclass(frozen=True)
class Disconnected:
    """The server is silent; the client goes on trying by itself. Jobs go on on the server."""

    reason: str
    retry_in_s: float


@dataclass(frozen=True)
class Incompatible:
    """The majors differ; the client has stopped trying."""

    message: str
    """Names the side to upgrade."""


@dataclass(frozen=True)
class CapabilitiesChanged:
    """A worker became ready or went away; ``client.capabilities`` is the same object."""

    capabilities: Capabilities


@dataclass(frozen=True)
class UploadProgress:
    """Bytes hashed or acknowledged of one upload."""

    upload_id: int
    stage: str
    """"hash" or "send"."""
    done: int
    total: int
    name: str = ""


@dataclass(frozen=True)
class Uploaded:
    """The server has the blob (it may have had it before)."""

    upload_id: int
    blob: BlobRef
    sent_bytes: int
    """How much of it really travelled in this client's life; 0 if the server had it."""


@dataclass(frozen=True)
class UploadError:
    """A file could not be read, or the server refused it. Jobs that need it get :class:`JobRejected`."""

    upload_id: int
    message: str


@dataclass(frozen=True)
class JobChanged:
    """A job's state as the server tells it."""

    state: JobState

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.state.job_id


@dataclass(frozen=True)
class JobRejected:
    """The server (or a failed upload) refused the job; it never ran."""

    job_id: str
    code: str
    message: str


@dataclass(frozen=True)
class ItemReceived:
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
        from ex4d_protocol.arrays import view_array

        return view_array(self.data, dtype=self.item.dtype, shape=self.item.shape, order=self.item.order)

    def json(self) -> Any:
        """The item's JSON. Raises FrameError unless its encoding is "json"."""
        from ex4d_protocol.arrays import view_json

        return view_json(self.data, self.item.encoding)


@dataclass(frozen=True)
class ResultsComplete:
    """The job is final and every item it has was delivered. Call ``client.ack(job_id)`` once they are safe."""

    job_id: str
    items: int
    phase: str


@dataclass(frozen=True)
class Reply:
    """The answer to a question (:meth:`Client.query_preset`, ``list_jobs``, ``ask_health``, ``job_log``)."""

    request_id: int
    message: Any
    """PresetReply, JobList, Health, JobLog, ResultsAcknowledged or CancelAccepted."""


@dataclass(frozen=True)
class RequestFailed:
    """The server refused a question, or it was lost with the connection."""

    request_id: int
    error: ErrorReply


@dataclass(frozen=True)
class LiveAnswer:
    """An answer to :meth:`Client.live`; the last one has ``ended`` set. A refusal comes as :class:`RequestFailed`."""

    request_id: int
    message: LivePicture | LiveCoverage | LiveProgress | LiveSuperseded
    ended: bool
    picture: NDArray[Any] | None = None
    """Of a LivePicture: uint8 [height, width, 4], read-only, top row first; not copied where it came in one part."""


Event = (
    Connected | Disconnected | Incompatible | CapabilitiesChanged | UploadProgress | Uploaded | UploadError
    | JobChanged | JobRejected | ItemReceived | ResultsComplete | Reply | RequestFailed | LiveAnswer
)  # fmt: skip


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


__all__ = [
    "CapabilitiesChanged", "Connected", "Disconnected", "Event", "Incompatible", "ItemReceived", "JobChanged",
    "JobRejected", "JobView", "LiveAnswer", "Reply", "RequestFailed", "ResultsComplete", "UploadError",
    "UploadProgress", "Uploaded",
]  # fmt: skip
