"""The server's side of live views: starts their process when one is wanted, passes requests and answers through."""

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import zmq

from ex4d_backend.blobs import BlobStore
from ex4d_backend.child_messages import FromChild, LiveAnswer, LiveForget, LiveOrder, LivePause, Ready
from ex4d_backend.client_errors import Refusal
from ex4d_backend.client_sessions import ClientSession, ClientSessions
from ex4d_backend.outbox import Outbox
from ex4d_backend.supervisor import ChildProcess, Supervisor, visible_devices
from ex4d_ground import stages
from ex4d_protocol import messages as m
from ex4d_protocol.live import LivePicture, LiveProgress, LiveSuperseded, LiveView
from ex4d_protocol.requests import blobs_of

log = logging.getLogger("ex4d_backend.live_views")

LIVE_PIXELS = 2560 * 1600
"""Largest picture; larger ones would not come in time anyway."""
SILENT_S = 180.0
"""A process that says nothing for so long hangs: compiling loops for the first time may take a minute."""
OPEN_REQUESTS, OPEN_LANES = 64, 16
"""Of one client: requests that have not ended, and views (for pictures or coverage) that they are of."""
OPEN_BYTES = 256 << 20
"""Of all requests that have not ended, about, in the server's or the process's memory."""
UNREAD_PICTURES = 32 << 20
"""Bytes of pictures that a client may leave unread before no more are made for it."""
DOUBTED_PER_S = 1000
"""Files of one client's views that failed are looked at again no faster: the loop does it."""
PROGRESS_EVERY_S = 0.5
"""Who waits for the process to start hears of it this often."""


@dataclass
class OpenRequest:
    """A request that has not ended."""

    session: ClientSession
    lane: tuple[str, bool]
    """Its view's name, and whether it wants pictures."""
    sequence: int
    weight: int
    """About how many bytes it takes in memory."""
    blobs: tuple[str, ...]
    """Digests of the files that it shows."""
    order: LiveOrder | None
    """Until the process is ready to take it."""


class LiveViews(ChildProcess):
    """All live views of a server, and the process that draws them. Belongs to the I/O loop."""

    on_demand = True

    def __init__(
        self,
        supervisor: Supervisor,
        devices: Sequence[str],
        sessions: ClientSessions,
        blobs: BlobStore,
        control: Outbox,
        data: Outbox,
    ) -> None:
        """The process draws on the first of ``devices``, beside its worker."""
        settings, folder = supervisor.settings, supervisor.settings.folder
        places = ["--blobs", str(folder / "blobs"), "--scratch", str(folder / "live")]
        super().__init__(
            supervisor,
            "live",
            "ex4d_backend.live_process",
            arguments=[*places, "--memory-bytes", str(settings.live_bytes), "--clip-pixels", str(settings.clip_pixels)],
            environment=visible_devices("cpu" if settings.rasterizer == "cpu" else devices[0]),
            silent_s=SILENT_S,
        )
        self._settings, self._sessions, self._blobs = settings, sessions, blobs
        self._control, self._data = control, data
        self._requests: dict[tuple[int, int], OpenRequest] = {}
        """By client and request id."""
        self._clients: dict[int, ClientSession] = {}
        self._checked: dict[int, tuple[bytes, tuple[str, ...]]] = {}
        """A digest of clip, mesh and objects of each client's last request, and its blobs, seen to be there."""
        self._doubted: dict[int, float] = {}
        """When files of each client's requests may be looked at again (monotonic)."""
        self._paused: set[int] = set()
        """Clients that have not read their last pictures."""
        self._used_at = self._progress_at = 0.0

    # --- what clients ask ---------------------------------------------------------------------------------

    def ask(self, session: ClientSession, request_id: int, view: LiveView) -> None:
        """Take a request; its answers come by themselves. Raises Refusal."""
        self._check(session, view)
        client = session.number
        self._clients[client] = session
        content = hashlib.sha256(msgspec.msgpack.encode((view.clip, view.mesh, view.objects))).digest()
        if self._checked.get(client, (b"",))[0] != content:
            refs = blobs_of(view)
            self._blobs.require(session.owner, refs.values(), "view")
            self._checked[client] = content, tuple(refs)
        _, blobs = self._checked[client]
        if not self.running and time.monotonic() < self.start_at:
            raise Refusal("internal", "The process for live views has just ended; it is started again in a moment.")
        self._used_at = time.monotonic()
        lane, weight, order = (view.view, view.picture), weight_of(view), LiveOrder(client, request_id, view)
        self._drop_older(client, lane)
        self._check_room(client, lane, weight)
        request = OpenRequest(session, lane, view.sequence, weight, blobs, order)
        self._requests[client, request_id] = request
        if self.ready:
            self._pass_on(request)
        elif not self.running:
            self.start()

    def _pass_on(self, request: OpenRequest) -> None:
        if request.order is not None:
            self.send(request.order)
            request.order = None

    def _check_room(self, client: int, lane: tuple[str, bool], weight: int) -> None:
        """Raise Refusal if this client, or all together, have too much open."""
        own = [request for key, request in self._requests.items() if key[0] == client]
        if len(own) >= OPEN_REQUESTS or len({each.lane for each in own} | {lane}) > OPEN_LANES:
            text = f"{len(own)} requests for live views are open; wait until some have ended."
            raise Refusal("rate_limited", text)
        everyones = sum(request.weight for request in self._requests.values())
        if own and everyones + weight > OPEN_BYTES:
            raise Refusal("rate_limited", "So many live views are open that no more fit into memory; wait a little.")

    def _check(self, session: ClientSession, view: LiveView) -> None:
        if not self._settings.live:
            raise Refusal("bad_request", "Live views are turned off on this backend (setting live).")
        if not session.data_identity:
            raise Refusal("bad_request", "Attach the data socket first: pictures are sent there.")
        size = view.trajectory.width * view.trajectory.height * view.scale**2
        if size > LIVE_PIXELS:
            w, h = view.trajectory.width, view.trajectory.height
            text = f"A live view of {w}x{h} at scale {view.scale:g} is too large; ask for a smaller scale."
            raise Refusal("too_large", text)

    def _drop_older(self, client: int, lane: tuple[str, bool]) -> None:
        """Until the process is ready it cannot do so itself: only the newest request of a view waits for it."""
        if self.ready:
            return
        for key, other in list(self._requests.items()):
            if key[0] == client and other.lane == lane:
                del self._requests[key]
                self._answer(other.session, key[1], LiveSuperseded(view=lane[0], sequence=other.sequence))

    # --- what the process says ----------------------------------------------------------------------------

    def on_ready(self, ready: Ready) -> None:
        """What waited for it is passed on."""
        self.works()
        self._paused.clear()
        for waiting in self._requests.values():
            self._pass_on(waiting)

    def on_message(self, message: FromChild, blobs: list[zmq.Frame]) -> None:
        """Pass an answer on."""
        if not isinstance(message, LiveAnswer):
            return
        key = message.client, message.request_id
        request = self._requests.get(key)
        if request is not None:
            if message.ended:
                del self._requests[key]
            self._used_at = time.monotonic()
            answer = message.message
            if isinstance(answer, m.ErrorReply) and self._has_lost_files(request):
                answer = msgspec.structs.replace(answer, code="blob_missing")
            self._answer(request.session, message.request_id, answer, *(frame.buffer for frame in blobs))
            if blobs and message.client not in self._paused and self._data.choked(request.session.data_identity):
                self._paused.add(message.client)
                self.send(LivePause(message.client, True))

    def _has_lost_files(self, request: OpenRequest) -> bool:
        """Look again at the files of a request that failed; whether some are gone or cut, and to be sent again."""
        client, now = request.session.number, time.monotonic()
        if now < self._doubted.get(client, 0.0):
            return False
        self._doubted[client] = now + len(request.blobs) / DOUBTED_PER_S
        self._checked.pop(client, None)  # what is found to be damaged later is missing for the next request
        return self._blobs.check_again(request.blobs)

    def resume(self) -> None:
        """Have pictures made again for clients that have read theirs."""
        for client in [c for c in self._paused if not self._data.choked(self._clients[c].data_identity)]:
            self._paused.discard(client)
            self.send(LivePause(client, False))

    def on_end(self, reason: str) -> None:
        """What it worked on is lost."""
        text = f"The process for live views {reason}; jobs are not affected. It starts again with the next request."
        lost, self._requests = self._requests, {}
        for (_, request_id), request in lost.items():
            self._answer(request.session, request_id, m.ErrorReply(code="internal", message=text))

    def _answer(self, session: ClientSession, request_id: int, message: msgspec.Struct, *blobs: memoryview) -> None:
        """Pictures go to the data socket, all else to the control socket."""
        if not isinstance(message, LivePicture):
            self._control.send(session.identity, message, request_id, *blobs)
        elif session.data_identity:
            self._data.send(session.data_identity, message, request_id, *blobs)

    def poll(self, now: float) -> None:
        """Notice clients that left, too, and that there is nothing to do."""
        super().poll(now)
        for number, session in list(self._clients.items()):
            if not self._sessions.holds(session):
                self._forget(number)
        if self.running and not self.ready and now - self._progress_at >= PROGRESS_EVERY_S:
            self._progress_at = now
            for (_, request_id), waiting in self._requests.items():
                news = LiveProgress(view=waiting.lane[0], sequence=waiting.sequence, stage=stages.STARTING)
                self._answer(waiting.session, request_id, news)
        if self.running and not self._requests and now - self._used_at > self._settings.live_idle_s:
            log.info("nobody asked for a live view for %g s; its process ends", self._settings.live_idle_s)
            self.leave()

    def _forget(self, client: int) -> None:
        del self._clients[client]
        self._checked.pop(client, None)
        self._doubted.pop(client, None)
        self._paused.discard(client)
        for key in [key for key in self._requests if key[0] == client]:
            del self._requests[key]
        self.send(LiveForget(client))


def weight_of(view: LiveView) -> int:
    """About how many bytes a request takes in memory."""
    move = view.trajectory
    arrays = len(move.world_from_camera) + len(move.intrinsics) + len(move.source_time)
    filmed = view.clip.source_camera
    if filmed is not None:
        arrays += len(filmed.world_from_camera) + len(filmed.intrinsics)
    refs = len(view.clip.video.blobs) + len(view.clip.depth.blobs) + 3 * len(view.mesh.edits) + 3 * len(view.objects)
    settings = sum(64 + (len(value) if isinstance(value, str) else 0) for value in (view.preview or {}).values())
    return 1024 + arrays + 256 * refs + settings
