"""The process that draws live views: one light process beside the workers, so that it never waits for a job.

Everything runs on one thread, in steps of one frame; between steps it reads what the server sent, so that a newer
request takes an older one's place at the next frame. Pictures go before coverage. Clips and meshes stay in memory
between requests, the longest unused ones leave first, and the server ends the process when nobody asks any more.
"""

import logging
import os
import shutil
import tempfile
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ex4d.allocation import give_back_kept, keep_blocks_of_frames
from ex4d.bands import Bands
from ex4d.dwmesh import DWMesh
from ex4d.engines.preview_settings import PreviewSettings, preview_settings
from ex4d.guides import FrameRenderer, source_frames, thread_count
from ex4d.guides.objects import GuideObject
from ex4d.progress import CancelToken, Progress
from ex4d.raster import Camera
from ex4d.types import Clip
from ex4d_backend import sources
from ex4d_backend.child import BEAT_S, ServerConnection, child_arguments, connect_to_server
from ex4d_backend.child_messages import LiveAnswer, LiveForget, LiveOrder, LivePause, Quit, Ready
from ex4d_backend.client_errors import for_client, without_paths
from ex4d_backend.live_pictures import coarse_first, rgba, scaled
from ex4d_backend.live_places import NOT_ASKED, KnownPlace, on_plane, share_on_plane
from ex4d_backend.live_previews import OneFrame
from ex4d_backend.live_scenes import MESHES, Scene
from ex4d_backend.live_turns import LiveTurns
from ex4d_backend.objects import read_objects
from ex4d_ground.arrays import Bool, Float64, Int32, UInt8
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import Ex4dError
from ex4d_ground.remedies import Remedy
from ex4d_protocol.base import MAX_CHUNK_BYTES
from ex4d_protocol.live import LiveCoverage, LivePicture, LiveProgress, LiveReply, LiveSuperseded, LiveView, Previewed
from ex4d_protocol.messages import ErrorReply
from ex4d_protocol.requests import ClipSpec

log = logging.getLogger("ex4d_backend.live_process")

COVERAGE_EVERY_S = 0.1
"""Coverage that is known is sent this often."""
PROGRESS_EVERY_S = 0.2
KEPT_S = 2.0
"""After so long without a picture the memory that one is drawn in goes back to the system."""
LOADING_BYTES = 20
"""What a pixel of a clip takes in memory, at most, while it is read."""
ANY_LENGTH_BYTES = 1 << 30
"""With so much memory a clip may have any length: long ones lie on a scratch disk."""

Lane = tuple[int, str, bool]
"""Client, view, and whether pictures are wanted: of each, only the newest request counts."""


@dataclass
class LiveRequest:
    """A request that has not ended."""

    client: int
    request_id: int
    view: LiveView
    trajectory: Trajectory | None = None
    filling: PreviewSettings | None = None
    """How its pictures' holes are filled; None where they stay."""
    source: Int32 | None = None  # [N] source frame of each output frame
    seen: Trajectory | None = None
    """The cameras in the axes of the meshes they look at; None until the clip is there."""
    objects: tuple[GuideObject, ...] | None = None
    """What stands beside the mesh; None until it is read."""
    waiting: list[int] = field(default_factory=list)
    """Output frames still to draw, next one last."""
    unsent: dict[int, tuple[float, float | None]] = field(default_factory=dict)
    """Coverage that was not sent yet, and the share that goes on a plane where that is known."""
    place: KnownPlace = NOT_ASKED
    """How far its clip's place was known when its first frame was drawn."""
    sent_at: float = 0.0

    @property
    def about(self) -> dict[str, Any]:
        """What every answer to it holds: its view and its number there."""
        return {"view": self.view.view, "sequence": self.view.sequence}

    @property
    def told(self) -> dict[str, Any]:
        """What pictures and coverage hold beside: how far the place is known."""
        return {**self.about, "place": self.place.state, "why": self.place.why}

    @property
    def needs_place(self) -> bool:
        """Whether anything that it wants depends on its clip's place."""
        return self.view.on_plane or (self.filling is not None and self.filling.fill == "world")

    @property
    def lane(self) -> Lane:
        """What it competes for."""
        return self.client, self.view.view, self.view.picture

    def camera(self, frame: int) -> tuple[Float64, Float64]:  # [4], [4, 4]
        """Lens and pose of a frame, as the picture has it."""
        cameras = self.prepare()
        return cameras.intrinsics[frame], cameras.world_from_camera[frame]

    def prepare(self) -> Trajectory:
        """Check settings and cameras and scale these on first use. Raises TrajectoryError, ShapeError, SettingError."""
        if self.trajectory is None:
            if self.view.preview is not None and self.view.picture:
                self.filling = preview_settings({**self.view.preview, "planes": self.view.planes})
            self.trajectory = scaled(self.view.trajectory.unpack(), self.view.scale)
            frames = range(len(self.trajectory)) if self.view.picture else coarse_first(len(self.trajectory))
            self.waiting = list(frames)[::-1]
        return self.trajectory


class LiveRenderer:
    """See the module. :meth:`run` until the server says so or is gone."""

    def __init__(
        self,
        server: ServerConnection,
        *,
        blobs: Path,
        scratch: Path,
        bands: Bands,
        memory_bytes: int,
        clip_pixels: int,
        rasterizer: str = "auto",
    ) -> None:
        """``rasterizer`` draws where a view leaves it open; ``clip_pixels`` is the largest clip of jobs."""
        self._most_pixels = clip_pixels if memory_bytes >= ANY_LENGTH_BYTES else memory_bytes // LOADING_BYTES
        self._server, self._blobs, self._scratch, self._bands = server, blobs, scratch, bands
        self._memory_bytes, self._rasterizer = memory_bytes, rasterizer
        self._lanes: dict[Lane, LiveRequest] = {}
        self._scenes: OrderedDict[bytes, Scene] = OrderedDict()
        self._turns = LiveTurns()
        self._finder = ThreadPoolExecutor(1, "place")
        self._paused: set[int] = set()
        """Clients that have not read their last pictures."""
        self._keeps_since: float | None = None
        """When memory for the next picture was last left in the process; None where it is given back."""
        self._quit = False

    def run(self) -> None:
        """Read, draw one frame, read again."""
        while not self._quit:
            self._listen(wait_s=self._turns.shortest_wait_s(self._able(), BEAT_S))
            request = self._next()
            if request is not None:
                self._step(request)
                self._keeps_since = time.monotonic()
            elif self._keeps_since is not None and time.monotonic() - self._keeps_since > KEPT_S:
                give_back_kept()
                self._keeps_since = None

    # --- hearing ------------------------------------------------------------------------------------------

    def _listen(self, wait_s: float = 0.0) -> None:
        """Take everything the server sent."""
        for message in self._server.hear(wait_s):
            match message:
                case LiveOrder():
                    request = LiveRequest(message.client, message.request_id, message.view)
                    self._turns.ask(message.client)
                    if all(lane[0] != message.client for lane in self._lanes):
                        self._turns.join(message.client)
                    older = self._lanes.pop(request.lane, None)
                    if older is not None:
                        self._answer(older, LiveSuperseded(**older.about), ended=True)
                    self._lanes[request.lane] = request
                case LiveForget(client):
                    self._lanes = {lane: each for lane, each in self._lanes.items() if lane[0] != client}
                    self._turns.forget(client)
                    self._paused.discard(client)
                case LivePause(client, paused):
                    (self._paused.add if paused else self._paused.discard)(client)
                    self._turns.join(client)
                case Quit():
                    self._quit = True

    def _next(self, *, besides: int | None = None) -> LiveRequest | None:
        """Pictures before coverage, then the client whose frames took least time so far, then first come.

        ``besides`` leaves a client out, and with it all whose clip is not in memory.
        """
        clients = {client for client in self._able() if client != besides and not self._turns.wait_s(client)}
        lanes = [lane for lane in self._lanes if lane[0] in clients]
        if besides is not None:
            lanes = [lane for lane in lanes if _clip_key(self._lanes[lane]) in self._scenes]
        best = min(lanes, key=lambda lane: (not lane[2], self._turns.of(lane[0])), default=None)
        return None if best is None else self._lanes[best]

    def _able(self) -> set[int]:
        """The clients that wait for something and read what they get."""
        return {lane[0] for lane in self._lanes} - self._paused

    # --- doing --------------------------------------------------------------------------------------------

    def _step(self, request: LiveRequest) -> None:
        """One frame of a request; whatever goes wrong ends the request and no other."""
        began, ended = time.monotonic(), True
        try:
            trajectory = request.prepare()
            scene = self._scene(request)
            if self._lanes.get(request.lane) is not request:
                return  # a newer one came while the clip was read
            if request.source is None or request.seen is None:
                request.source = source_frames(trajectory, scene.clip.num_frames)
                filmed = sources.filmed(scene.source, request.view.clip)
                request.seen = filmed.clip.seen_by_source(trajectory)
            if request.needs_place and not request.place.state:  # once: all frames of a request are told the same
                request.place = scene.place(request.view, sources.filmed(scene.source, request.view.clip).clip)
            if request.objects is None:
                view, count = request.view, len(trajectory)
                moves = {"held": view.object_frames, "start": view.object_start}
                request.objects = read_objects(view.objects, self._blobs, num_frames=count, **moves)
            frame = request.waiting.pop()
            one = OneFrame.of(trajectory, request.seen, frame, int(request.source[frame]), request.objects)
            drawn = scene.renderer(request.view).render(one.t, one.camera, one.objects, index=frame)
            ended = not request.waiting
            if request.view.picture:
                self._answer_picture(request, *self._shown(scene, request, one, *drawn), drawn[1], frame, ended=ended)
            else:
                self._answer_coverage(request, frame, drawn[1], ended=ended)
        except Ex4dError as error:
            ended = self._fail(request, "bad_request", str(error), error.remedy)
        except MemoryError:
            ended = self._fail(request, "too_large", "There is not enough memory for a live view of this clip.")
        except Exception as error:
            log.exception("a live view failed")
            ended = self._fail(request, "internal", f"The live view hit a fault ({type(error).__name__}: {error}).")
        finally:
            self._turns.charge(request.client, time.monotonic() - began, picture=request.view.picture)
        if self._lanes.get(request.lane) is request:
            del self._lanes[request.lane]
            if not ended:
                self._lanes[request.lane] = request  # behind the others

    def _scene(self, request: LiveRequest) -> Scene:
        """The request's clip, read if it is not in memory. Raises the library's errors."""
        key = _clip_key(request)
        if key not in self._scenes:
            self._make_room(0)
            self._scenes[key] = self._read(request)
            self._make_room(1)
        self._scenes.move_to_end(key)
        return self._scenes[key]

    def _read(self, request: LiveRequest) -> Scene:
        sent_at = 0.0

        def on_progress(progress: Progress) -> None:
            nonlocal sent_at
            self._listen()
            other = self._next(besides=request.client)
            if other is not None:  # nobody waits for another client's clip
                self._step(other)
            now = time.monotonic()
            current = self._lanes.get(request.lane)
            if current is not None and now - sent_at >= PROGRESS_EVERY_S:
                sent_at = now
                done, total = max(0, int(progress.done)), max(0, int(progress.total))
                message = LiveProgress(**current.about, stage=progress.stage[:128], done=done, total=total)
                self._answer(current, message, ended=False)

        loader = sources.Sources(meshes=MESHES)
        folder, limit = Path(tempfile.mkdtemp(dir=self._scratch)), self._most_pixels
        spec, steps = _plain_clip(request), {"on_progress": on_progress, "cancel": CancelToken()}
        try:
            clip = loader.clip(spec, self._blobs, folder, clip_pixels=limit, **steps)
            fixed = {"blobs": self._blobs, "bands": self._bands, "rasterizer": self._rasterizer}
            return Scene(clip, loader, self._finder, **fixed)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _make_room(self, keep: int) -> None:
        """Let the longest unused clips go while all together take more than may be, the last ``keep`` not."""
        while len(self._scenes) > keep and sum(s.size_bytes for s in self._scenes.values()) > self._memory_bytes:
            self._scenes.popitem(last=False)[1].close()
            give_back_kept()

    # --- answering ----------------------------------------------------------------------------------------

    def _shown(
        self, scene: Scene, request: LiveRequest, one: OneFrame, colour: UInt8, mask: Bool
    ) -> tuple[UInt8, Previewed]:  # [H, W, 3], [H, W] -> [H, W, 4]
        """What the picture of a frame with this guide shows, and how far it is the preview that was asked for."""
        view, filling, world = request.view, request.filling, request.place.world
        goes_on = None
        if world is not None and view.on_plane:
            goes_on = on_plane(world, mask, *request.camera(one.index), self._bands, roughly=view.scale < 1)
        if filling is None:
            return rgba(colour, mask, goes_on), ""
        filler = scene.filler(view, one.t, known_first=filling.known_first)
        if filler is None or (filling.fill == "world" and request.place.state == "finding"):
            return rgba(colour, mask, goes_on), "finding"
        return rgba(filler.fill(colour, mask, one, filling, world), mask, goes_on), "shown"

    def _answer_coverage(self, request: LiveRequest, frame: int, mask: Bool, *, ended: bool) -> None:
        world = request.place.world
        on_planes = None if world is None else share_on_plane(world, mask, *request.camera(frame), self._bands)
        request.unsent[frame] = float(mask.mean()), on_planes
        now = time.monotonic()
        if ended or now - request.sent_at >= COVERAGE_EVERY_S:
            known, request.unsent, request.sent_at = request.unsent, {}, now
            shares = tuple(share for share, _ in known.values())
            goes_on = tuple(share for _, share in known.values() if share is not None)
            fixed = {**request.told, "frames": tuple(known), "coverage": shares, "done": ended}
            self._answer(request, LiveCoverage(**fixed, on_plane=goes_on), ended=ended)

    def _answer_picture(
        self, request: LiveRequest, picture: UInt8, preview: Previewed, mask: Bool, frame: int, *, ended: bool
    ) -> None:
        height, width = mask.shape
        fixed = {**request.told, "frame": frame, "width": width, "height": height, "coverage": float(mask.mean())}
        data = picture.reshape(-1).data
        for offset in range(0, data.nbytes, MAX_CHUNK_BYTES):
            part = data[offset : offset + MAX_CHUNK_BYTES]
            last = ended and offset + part.nbytes == data.nbytes
            message = LivePicture(**fixed, preview=preview, offset=offset, done=last)
            self._answer(request, message, ended=last, blob=part)

    def _fail(self, request: LiveRequest, code: str, message: str, remedy: Remedy | None = None) -> bool:
        if self._lanes.get(request.lane) is request:
            text, remedy = without_paths(message)[:4096], for_client(remedy, same_machine=False)
            self._answer(request, ErrorReply(code=code, message=text, remedy=remedy), ended=True)
        return True

    def _answer(
        self, request: LiveRequest, message: LiveReply | ErrorReply, *, ended: bool, blob: memoryview | None = None
    ) -> None:
        self._server.send(LiveAnswer(request.client, request.request_id, message, ended), blob)


def _plain_clip(request: LiveRequest) -> ClipSpec:
    """What is read: another source camera is no other clip."""
    return msgspec.structs.replace(request.view.clip, source_camera=None)


def _clip_key(request: LiveRequest) -> bytes:
    return msgspec.msgpack.encode(_plain_clip(request))


def warm_up(bands: Bands, rasterizer: str) -> None:
    """Have the usual mesh's loops compiled (or read from the cache) before the first request."""
    rng = np.random.default_rng(0)
    depth = np.full((1, 24, 24), 4.0, np.float32)
    depth[:, 8:16, 8:16] = 2.0
    clip = Clip(rng.integers(0, 255, (1, 24, 24, 3), np.uint8), depth, Intrinsics.from_fov(24, 24))
    pose = np.eye(4)
    pose[0, 3] = 0.3
    with FrameRenderer(DWMesh(clip), rasterizer=rasterizer, bands=bands) as renderer:
        renderer.render(0, Camera(pose, clip.intrinsics))


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``python -m ex4d_backend.live_process``; started by the server only."""
    parser = child_arguments("ex4d_backend.live_process")
    parser.add_argument("--blobs", required=True, type=Path)
    parser.add_argument("--scratch", required=True, type=Path)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--clip-pixels", type=int, required=True)
    args = parser.parse_args(argv)
    keep_blocks_of_frames()
    server = connect_to_server(args)
    shutil.rmtree(args.scratch, ignore_errors=True)  # of a process that was killed
    args.scratch.mkdir(parents=True)
    bands = Bands(thread_count(args.threads or None))
    warm_up(bands, args.rasterizer)
    server.send(Ready(token=server.token))
    limits = {"memory_bytes": args.memory_bytes, "clip_pixels": args.clip_pixels, "rasterizer": args.rasterizer}
    LiveRenderer(server, blobs=args.blobs, scratch=args.scratch, bands=bands, **limits).run()
    server.context.destroy(linger=200)
    os._exit(0)


if __name__ == "__main__":
    main()
