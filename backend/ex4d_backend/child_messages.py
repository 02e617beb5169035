"""What the server and its own processes say to each other, over loopback with a token. Not public protocol."""

import msgspec

from ex4d_ground.descriptions import EngineInfo, EstimatorInfo, PackageInfo, RasterizerInfo
from ex4d_ground.remedies import Failure
from ex4d_protocol.live import LiveReply, LiveView
from ex4d_protocol.messages import DeviceSpec, ErrorReply, Item

TOKEN_VARIABLE = "EX4D_CHILD_TOKEN"
"""In the environment of a child: what it must show to be heard."""
UMASK_VARIABLE = "EX4D_BEFORE_UMASK"
"""In the environment of the server's processes: the umask (octal) that it was started with."""


class _Message(msgspec.Struct, frozen=True, tag=True):
    pass


# --- every child ------------------------------------------------------------------------------------------


class Beat(_Message, frozen=True):
    """Both ways: still here."""


class Quit(_Message, frozen=True):
    """Server: leave."""


class Abilities(_Message, frozen=True, kw_only=True):
    """Worker: what it can run; part of Ready, and again by itself when that changed (weights were fetched)."""

    engines: tuple[EngineInfo, ...] = ()
    estimators: tuple[EstimatorInfo, ...] = ()
    rasterizers: tuple[RasterizerInfo, ...] = ()
    packages: tuple[PackageInfo, ...] = ()
    licences: dict[str, str] = {}


class Ready(_Message, frozen=True, kw_only=True):
    """Child: it has imported and compiled everything and waits for orders."""

    token: str
    device: DeviceSpec | None = None
    """A worker's; None of other children."""
    abilities: Abilities = Abilities()


# --- workers ----------------------------------------------------------------------------------------------


class _JobMessage(_Message, frozen=True):
    job_id: str


class RunJob(_JobMessage, frozen=True, kw_only=True):
    """Server: run this. ``request`` is the msgpack of the public request."""

    attempt: int
    request: bytes
    folder: str
    """The job's own folder; items, log and scratch go below it."""
    blobs: str
    """The blob store's folder."""
    clip_pixels: int
    """Largest clip: width x height x frames."""


class StopJob(_JobMessage, frozen=True):
    """Server: cancel it."""


class LookAgain(_Message, frozen=True):
    """Server: what was missing may be there now; a worker says what it can run if that is other than before."""


class JobProgress(_JobMessage, frozen=True):
    """Worker: where the job is."""

    stage: str
    done: int
    total: int
    message: str


class BlobMade(_JobMessage, frozen=True):
    """Worker: a file in the job's folder that later requests may refer to like an upload; the server takes it over."""

    file: str
    """Its name below the job's items."""
    sha256: str
    size: int


class JobEnded(_JobMessage, frozen=True):
    """Worker: the job is over; ``outcome`` is "done", "failed" or "cancelled"."""

    outcome: str
    message: str
    failure: Failure | None = None


# --- workers on other machines, through Ray ---------------------------------------------------------------


class RaySlot(msgspec.Struct, frozen=True, kw_only=True):
    """One actor."""

    name: str
    device: DeviceSpec | None = None
    """What it runs on; None until it takes jobs."""
    abilities: Abilities | None = None


class RaySlots(_Message, frozen=True):
    """Bridge: all actors that there are now."""

    slots: tuple[RaySlot, ...]


class RayJobLost(_JobMessage, frozen=True):
    """Bridge: the actor of a job is gone, alone or with its machine."""

    reason: str


class RayRun(_Message, frozen=True):
    """Server: have this actor run a job."""

    slot: str
    order: RunJob


class RayDrop(_Message, frozen=True):
    """Server: end this actor, which does not stop by itself; another takes its place."""

    slot: str


class RayWant(_Message, frozen=True):
    """Server: so many jobs run or wait; the limits of the settings say how many actors that makes."""

    jobs: int


# --- live views -------------------------------------------------------------------------------------------


class _LiveMessage(_Message, frozen=True):
    client: int
    request_id: int


class LiveOrder(_LiveMessage, frozen=True):
    """Server: a client's request."""

    view: LiveView


class LiveForget(_Message, frozen=True):
    """Server: this client is gone."""

    client: int


class LivePause(_Message, frozen=True):
    """Server: this client has not read its last pictures; make no more for it, or go on."""

    client: int
    paused: bool


class LiveAnswer(_LiveMessage, frozen=True):
    """Live process: pass this on. A picture's bytes come in a frame of their own."""

    message: LiveReply | ErrorReply
    ended: bool
    """It is the last answer to this request."""


FromJob = JobProgress | Item | BlobMade | JobEnded
"""About the job a worker runs; an Item is on disk, whole."""
FromChild = Ready | Beat | Abilities | FromJob | RaySlots | RayJobLost | LiveAnswer
ToChild = Beat | Quit | RunJob | StopJob | LookAgain | RayRun | RayDrop | RayWant | LiveOrder | LiveForget | LivePause

encode = msgspec.msgpack.Encoder().encode
decode_from_child = msgspec.msgpack.Decoder(FromChild).decode
decode_to_child = msgspec.msgpack.Decoder(ToChild).decode
