"""Every message of protocol 1.x. SPEC.md says when each is sent; this file says what it holds.

Direction is given as C>S (client to server) or S>C; the socket is control unless "data" is said.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ex4d_protocol.base import FINAL_PHASES, Count, JobId, JobPhase, Name, Tagged, Text
from ex4d_protocol.bulk import (
    AckResults,
    BlobProgress,
    BlobsMissing,
    ChunkAck,
    Credit,
    GetResults,
    HaveBlobs,
    Item,
    PutChunk,
    ResultsAcknowledged,
    ResultsEnd,
)
from ex4d_protocol.capabilities import (
    Capabilities,
    DeviceSpec,
    EngineSpec,
    EstimatorSpec,
    Limits,
    PresetSpec,
    SettingSpec,
)
from ex4d_protocol.costs import CostQuery, CostReply
from ex4d_protocol.live import LiveCoverage, LivePicture, LiveProgress, LiveSuperseded, LiveView
from ex4d_protocol.requests import Request

# --- connection ---------------------------------------------------------------------------------------


class Hello(Tagged, frozen=True, kw_only=True):
    """C>S: the first message on a control socket."""

    client_id: JobId
    """Stays the same over reconnects and restarts; jobs belong to it."""
    client_name: Name = ""
    major: int = 1
    minor: int = 0
    """Absent means (1, 0), whatever the reader's own version: senders of later versions fill both in."""
    versions: dict[str, str] = {}
    """Package versions, for logs."""
    operator: Name = ""
    """New in 1.1. The secret in the server's data folder: who can read it may see and cancel every client's jobs."""


class Welcome(Tagged, frozen=True, kw_only=True):
    """S>C: answer to Hello."""

    session: Name
    """Presented once on the data socket (Attach). A secret."""
    data_port: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    """TCP port of the data socket, on the control socket's host."""
    server_id: Name
    """Changes when the server restarts."""
    capabilities: Capabilities = Capabilities()
    ping_interval_s: float = 2.0
    """The client pings when it has sent nothing for so long; three silent intervals mean the peer is gone."""
    major: int = 1
    minor: int = 0
    """Absent means (1, 0), whatever the reader's own version: senders of later versions fill both in."""
    versions: dict[str, str] = {}


class Attach(Tagged, frozen=True, kw_only=True):
    """C>S data: ties the data socket to the session."""

    session: Name


class Attached(Tagged, frozen=True, kw_only=True):
    """S>C data: answer to Attach."""


class Ping(Tagged, frozen=True, kw_only=True):
    """C>S, either socket."""


class Pong(Tagged, frozen=True, kw_only=True):
    """S>C: answer to Ping."""


ErrorCode = Literal[
    "bad_message",
    "unknown_type",
    "incompatible",
    "no_session",
    "bad_request",
    "blob_missing",
    "blob_corrupt",
    "too_large",
    "queue_full",
    "rate_limited",
    "storage_full",
    "unknown_job",
    "job_conflict",
    "not_allowed",
    "server_draining",
    "internal",
]


class ErrorReply(Tagged, frozen=True, kw_only=True):
    """S>C, either socket: the request named by the header's ``reply_to`` was not carried out."""

    code: str
    """One of :data:`ErrorCode`; a newer server may send others."""
    message: Text
    """One sentence for people: what was wrong, with the value, and what to do."""
    detail: Text = ""
    job_id: str = ""


# --- jobs ---------------------------------------------------------------------------------------------


class SubmitJob(Tagged, frozen=True, kw_only=True):
    """C>S: run this. The same id with the same request is answered with the job's present state."""

    job_id: JobId
    request: Request
    priority: Annotated[int, msgspec.Meta(ge=-10, le=10)] = 0
    title: Name = ""


class JobState(Tagged, frozen=True, kw_only=True):
    """S>C: a job's state, whenever it changes (progress at most ten times a second)."""

    job_id: JobId
    phase: JobPhase
    stage: Name = ""
    """What it is doing: "read", "mesh", "guides", "generate", ..."""
    done: Count = 0
    total: Count = 0
    """Units of the stage; 0 if unknown. ``done == total`` is not the end of the job: the phase is."""
    message: Text = ""
    """Why it failed or was cancelled, as one sentence; or a note on the stage."""
    items: Count = 0
    """Result items ready so far."""
    attempt: Count = 1
    """Raised when a server restart made the job start over; items then start over too."""
    queue_position: Count = 0
    """Jobs ahead of it while queued."""
    kind: Name = ""
    """The request's type: "BuildMesh", "RenderGuides", "Generate", "EstimateDepth"."""
    title: Name = ""
    share: float = 0.0
    """New in 1.1. How much of the whole job is done, 0 to 1, its stages weighted; 1 only when the phase is "done"."""
    owner: Name = ""
    """New in 1.1. Whose job it is: a client_id, or a key's name. Told to operators only."""


class JobAccepted(Tagged, frozen=True, kw_only=True):
    """S>C: answer to SubmitJob, sent after the job is on disk."""

    state: JobState
    resumed: bool = False
    """The job was known already."""


class CancelJob(Tagged, frozen=True, kw_only=True):
    """C>S: stop this job and no other."""

    job_id: JobId


class CancelAccepted(Tagged, frozen=True, kw_only=True):
    """S>C: answer to CancelJob, sent at once; a JobState with "cancelled" follows when it has stopped."""

    job_id: JobId
    already_final: bool = False
    """It had ended before; nothing was done."""


class GetJob(Tagged, frozen=True, kw_only=True):
    """C>S: a job's state now; answered with JobState, or ErrorReply "unknown_job"."""

    job_id: JobId


class ListJobs(Tagged, frozen=True, kw_only=True):
    """C>S: the jobs of this client; of all clients if this is an operator."""

    unacknowledged_only: bool = False


class JobList(Tagged, frozen=True, kw_only=True):
    """S>C: answer to ListJobs, oldest first."""

    jobs: tuple[JobState, ...] = ()


class GetJobLog(Tagged, frozen=True, kw_only=True):
    """C>S: the last lines a job wrote."""

    job_id: JobId


class JobLog(Tagged, frozen=True, kw_only=True):
    """S>C: answer to GetJobLog."""

    job_id: JobId
    text: Annotated[str, msgspec.Meta(max_length=1 << 20)] = ""


# --- questions answered at once -----------------------------------------------------------------------


class PresetQuery(Tagged, frozen=True, kw_only=True):
    """C>S: the cameras of a preset move."""

    preset: Name
    num_frames: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    width: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    height: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    intrinsics: tuple[float, float, float, float]
    """fx, fy, cx, cy of the source in pixels."""
    near_depth: float
    """Smallest depth of frame 0 (clip_info's ``near_depth``); sets the orbit's radius."""
    amount: float | None = None
    """The preset's strength in its own unit (degrees, or a zoom factor); None means as named."""
    easing: Name = ""
    """"" means the preset's own."""
    overshoot: bool = False
    """Published curves only: repeat EX-4D's over-long angle at lengths other than 49."""


class PresetReply(Tagged, frozen=True, kw_only=True):
    """S>C: answer to PresetQuery; arrays as in TrajectorySpec."""

    preset: Name
    num_frames: Count
    width: Count
    height: Count
    world_from_camera: bytes  # float64 [N, 4, 4]
    intrinsics: bytes  # float64 [N, 4]
    source_time: bytes  # float64 [N]


class GetHealth(Tagged, frozen=True, kw_only=True):
    """C>S: how is the server?"""


class Health(Tagged, frozen=True, kw_only=True):
    """S>C: answer to GetHealth."""

    uptime_s: float = 0.0
    queued: Count = 0
    running: Count = 0
    clients: Count = 0
    blob_bytes: Count = 0
    result_bytes: Count = 0
    disk_free_bytes: Count = 0
    memory_bytes: Count = 0
    """Resident memory of the server process; 0 if unknown."""
    draining: bool = False
    devices: tuple[DeviceSpec, ...] = ()


ClientMessage = (
    Hello | Attach | Ping | HaveBlobs | PutChunk | SubmitJob | CancelJob | GetJob | ListJobs | GetJobLog
    | GetResults | Credit | AckResults | PresetQuery | GetHealth | LiveView | CostQuery
)  # fmt: skip
ServerMessage = (
    Welcome | Attached | Pong | ErrorReply | Capabilities | BlobsMissing | ChunkAck | JobAccepted | JobState
    | CancelAccepted | JobList | JobLog | Item | ResultsEnd | ResultsAcknowledged | PresetReply | Health
    | LivePicture | LiveCoverage | LiveProgress | LiveSuperseded | CostReply
)  # fmt: skip

__all__ = [
    "FINAL_PHASES", "AckResults", "Attach", "Attached", "BlobProgress", "BlobsMissing", "CancelAccepted", "CancelJob",
    "Capabilities", "ChunkAck", "ClientMessage", "CostQuery", "CostReply", "Credit", "DeviceSpec", "EngineSpec",
    "ErrorCode", "ErrorReply", "EstimatorSpec", "GetHealth", "GetJob", "GetJobLog", "GetResults", "HaveBlobs",
    "Health", "Hello", "Item", "JobAccepted", "JobList", "JobLog", "JobPhase", "JobState", "Limits", "ListJobs",
    "LiveCoverage", "LivePicture", "LiveProgress", "LiveSuperseded", "LiveView", "Ping", "Pong", "PresetQuery",
    "PresetReply", "PresetSpec", "PutChunk", "ResultsAcknowledged", "ResultsEnd", "ServerMessage", "SettingSpec",
    "SubmitJob", "Welcome",
]  # fmt: skip
