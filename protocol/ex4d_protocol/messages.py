"""Every message of protocol 1.x. SPEC.md says when each is sent; this file says what it holds.

Direction is given as C>S (client to server) or S>C; the socket is control unless "data" is said.
"""

from typing import Annotated, Literal

import msgspec

from ex4d_ground.cameras import Trajectory
from ex4d_ground.costs import Cost
from ex4d_ground.records import Count, Name, Record, Text
from ex4d_ground.remedies import Failure, Remedy
from ex4d_protocol.base import FINAL_PHASES, AboutJob, JobId, JobPhase, Sha256, Tagged  # noqa: F401
from ex4d_protocol.camera_specs import unpacked
from ex4d_protocol.capabilities import Capabilities, DeviceSpec, Limits  # noqa: F401
from ex4d_protocol.live import LiveCoverage, LivePicture, LiveProgress, LiveSuperseded, LiveView
from ex4d_protocol.maxima import MAX_ASKED, MAX_FRAMES, Settings, Versions
from ex4d_protocol.proofs import MAX_PROOFS
from ex4d_protocol.requests import BlobRef, Request
from ex4d_protocol.results import AckResults, Credit, GetResults, Item, ResultsAcknowledged, ResultsEnd

# --- connection ---------------------------------------------------------------------------------------


class Hello(Tagged, frozen=True, kw_only=True):
    """C>S: the first message on a control socket."""

    client_id: JobId
    """Stays the same over reconnects and restarts; jobs belong to it."""
    client_name: Name = ""
    major: int = 1
    minor: int = 0
    """Absent means (1, 0), whatever the reader's own version: senders of later versions fill both in."""
    versions: Versions = {}
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
    "item_damaged",
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
    """One sentence for people: what was wrong, with the value."""
    detail: Text = ""
    job_id: str = ""
    remedy: Remedy | None = None
    """New in 1.1. What to do about it."""


# --- jobs ---------------------------------------------------------------------------------------------


class SubmitJob(AboutJob, frozen=True, kw_only=True):
    """C>S: run this. The same id with the same request is answered with the job's present state."""

    request: Request
    priority: Annotated[int, msgspec.Meta(ge=-10, le=10)] = 0
    title: Name = ""


class JobState(AboutJob, frozen=True, kw_only=True):
    """S>C: a job's state, whenever it changes (progress at most ten times a second)."""

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
    """The request's type: "BuildMesh", "RenderGuides", "Generate", "EstimateDepth", "ExportTake",
    "SolveCamera", "WebPage" or "FetchWeights"."""
    title: Name = ""
    share: float = 0.0
    """New in 1.1. How much of the whole job is done, 0 to 1, its stages weighted; 1 only when the phase is "done"."""
    owner: Name = ""
    """New in 1.1. Whose job it is: a client_id, or a key's name. Told to operators only."""
    failure: Failure | None = None
    """New in 1.1. Why it failed, for programs, and what to do about it."""


class JobAccepted(Tagged, frozen=True, kw_only=True):
    """S>C: answer to SubmitJob, sent after the job is on disk."""

    state: JobState
    resumed: bool = False
    """The job was known already."""


class CancelJob(AboutJob, frozen=True, kw_only=True):
    """C>S: stop this job and no other."""


class CancelAccepted(AboutJob, frozen=True, kw_only=True):
    """S>C: answer to CancelJob, sent at once; a JobState with "cancelled" follows when it has stopped."""

    already_final: bool = False
    """It had ended before; nothing was done."""


class GetJob(AboutJob, frozen=True, kw_only=True):
    """C>S: a job's state now; answered with JobState, or ErrorReply "unknown_job"."""


class ListJobs(Tagged, frozen=True, kw_only=True):
    """C>S: the jobs of this client; of all clients if this is an operator."""

    unacknowledged_only: bool = False


class JobList(Tagged, frozen=True, kw_only=True):
    """S>C: answer to ListJobs, oldest first."""

    jobs: tuple[JobState, ...] = ()


class GetJobLog(AboutJob, frozen=True, kw_only=True):
    """C>S: the last lines a job wrote."""


class JobLog(AboutJob, frozen=True, kw_only=True):
    """S>C: answer to GetJobLog."""

    text: Annotated[str, msgspec.Meta(max_length=1 << 20)] = ""


# --- uploads ------------------------------------------------------------------------------------------


class HaveBlobs(Tagged, frozen=True, kw_only=True):
    """C>S: which of these does the server lack?"""

    blobs: Annotated[tuple[BlobRef, ...], msgspec.Meta(max_length=MAX_ASKED)]


class BlobProgress(Record, frozen=True, kw_only=True):
    """A blob the server has only the first ``received`` bytes of."""

    sha256: Sha256
    received: Count = 0
    prove: bool = False
    """New in 1.1. The server has it whole from somebody else: instead of sending it, a client may prove to have it."""


class BlobsMissing(Tagged, frozen=True, kw_only=True):
    """S>C: answer to HaveBlobs and ProveBlobs; blobs not listed are there."""

    missing: tuple[BlobProgress, ...] = ()
    nonce: Name = ""
    """New in 1.1. What proofs are made with in this session (see :mod:`~ex4d_protocol.proofs`)."""


class BlobProof(Record, frozen=True, kw_only=True):
    """That the client has a blob."""

    sha256: Sha256
    size: Count
    proof: Sha256
    """See :func:`~ex4d_protocol.proofs.proof_of`."""


class ProveBlobs(Tagged, frozen=True, kw_only=True):
    """C>S: these need not be sent; answered with BlobsMissing, which lists those that must be. New in 1.1."""

    proofs: Annotated[tuple[BlobProof, ...], msgspec.Meta(max_length=MAX_PROOFS)]


class PutChunk(Tagged, frozen=True, kw_only=True):
    """C>S data, with one blob frame: bytes ``offset .. offset + len(frame)`` of a blob, in order."""

    sha256: Sha256
    size: Count
    """Of the whole blob."""
    offset: Count


class ChunkAck(Tagged, frozen=True, kw_only=True):
    """S>C data: the server has the first ``received`` bytes; a chunk that did not fit is sent from there."""

    sha256: Sha256
    received: Count
    complete: bool = False
    """Everything arrived and the digest was checked."""


# --- questions answered at once -----------------------------------------------------------------------


class PresetQuery(Tagged, frozen=True, kw_only=True):
    """C>S: the cameras of a preset move."""

    preset: Name
    num_frames: Annotated[int, msgspec.Meta(ge=1, le=MAX_FRAMES)]
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
    target: tuple[float, float, float] | None = None
    """New in 1.3. The point that the move is about, in the axes of its first camera and before it; None: 0.15 behind
    ``near_depth`` on that camera's axis. EX-4D's own curves take its distance."""


class PresetReply(Tagged, frozen=True, kw_only=True):
    """S>C: answer to PresetQuery; arrays as in TrajectorySpec."""

    preset: Name
    num_frames: Count
    width: Count
    height: Count
    world_from_camera: bytes  # float64 [N, 4, 4]
    intrinsics: bytes  # float64 [N, 4]
    source_time: bytes  # float64 [N]

    def unpack(self) -> Trajectory:
        """The move, named after the preset. Raises ShapeError or TrajectoryError."""
        return unpacked(self, self.preset)


class CostQuery(Tagged, frozen=True, kw_only=True):
    """C>S: what would this take cost on the server's first device? New in 1.1."""

    engine: Name
    num_frames: Annotated[int, msgspec.Meta(ge=1, le=MAX_FRAMES)]
    """Of the move. A lead-in, if the move needs one, is not counted."""
    width: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    height: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    settings: Settings = {}
    """The engine's; one that is missing takes its default."""


class CostReply(Tagged, frozen=True, kw_only=True):
    """S>C: answer to CostQuery."""

    cost: Cost


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
    | GetResults | Credit | AckResults | PresetQuery | GetHealth | LiveView | CostQuery | ProveBlobs
)  # fmt: skip
ServerMessage = (
    Welcome | Attached | Pong | ErrorReply | Capabilities | BlobsMissing | ChunkAck | JobAccepted | JobState
    | CancelAccepted | JobList | JobLog | Item | ResultsEnd | ResultsAcknowledged | PresetReply | Health
    | LivePicture | LiveCoverage | LiveProgress | LiveSuperseded | CostReply
)  # fmt: skip
