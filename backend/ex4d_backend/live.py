"""The process that draws live views: one light process on the CPU beside the workers, so that it never waits for a job.

Everything runs on one thread, in steps of one frame; between steps it reads what the server sent, so that a newer
request takes an older one's place at the next frame. Pictures go before coverage. Clips and meshes stay in memory
between requests, the longest unused ones leave first, and the server ends the process when nobody asks any more.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import tempfile
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from ex4d.dwmesh import DWMesh
from ex4d.errors import Ex4dError
from ex4d.guides import FrameRenderer, source_frames, thread_count
from ex4d.objects import GuideObject
from ex4d.progress import CancelToken, Progress
from ex4d.raster import Camera
from ex4d.raster.bands import Bands
from ex4d.types import Bool, Clip, Int32, Intrinsics, Trajectory, UInt8
from ex4d_backend import live_internal as li
from ex4d_backend import sources
from ex4d_backend.objects import read_objects
from ex4d_backend.wording import without_paths
from ex4d_backend.worker import SERVER_SILENT_S, TOKEN_VARIABLE, die_with_parent
from ex4d_protocol.base import MAX_CHUNK_BYTES
from ex4d_protocol.live import LiveCoverage, LivePicture, LiveProgress, LiveReply, LiveSuperseded, LiveView
from ex4d_protocol.messages import ErrorReply

log = logging.getLogger("ex4d_backend.live")

BEAT_S = 1.0
TELL_EVERY_S = 0.1
"""Coverage that is known is sent this often."""
PROGRESS_EVERY_S = 0.2
MESHES = 4
"""Kept per clip: one per set of edits or options that was looked at."""
LOADING_BYTES = 20
"""What a pixel of a clip takes in memory, at most, while it is read."""

Lane = tuple[int, str, bool]
"""Client, view, and whether pictures are wanted: of each, only the newest request counts."""


@dataclass
class Asked:
    """A request that has not ended."""

    client: int
    request_id: int
    view: LiveView
    trajectory: Trajectory | None = None
    source: Int32 | None = None  # [N] source frame of each output frame
    objects: tuple[GuideObject, ...] | None = None
    """What stands beside the mesh; None until it is read."""
    waiting: list[int] = field(default_factory=list)
    """Output frames still to draw, next one last."""
    known: dict[int, float] = field(default_factory=dict)
    """Coverage that was not sent yet."""
    told_at: float = 0.0

    @property
    def lane(self) -> Lane:
        """What it competes for."""
        return self.client, self.view.view, self.view.picture

    def prepare(self) -> Trajectory:
        """Check and scale the cameras on first use. Raises TrajectoryError or ShapeError."""
        if self.trajectory is None:
            self.trajectory = scaled(sources.trajectory(self.view.trajectory), self.view.scale)
            frames = range(len(self.trajectory)) if self.view.picture else coarse_first(len(self.trajectory))
            self.waiting = list(frames)[::-1]
        return self.trajectory


def scaled(trajectory: Trajectory, scale: float) -> Trajectory:
    """The same cameras with smaller pictures: each side is rounded and at least 2, the view stays the same."""
    if scale == 1.0:
        return trajectory
    width, height = (max(2, round(side * scale)) for side in (trajectory.width, trajectory.height))
    x, y = width / trajectory.width, height / trajectory.height
    k = trajectory.intrinsics * np.array([x, y, x, y])
    return Trajectory(trajectory.world_from_camera, k, trajectory.source_time, width, height, trajectory.name)


def coarse_first(count: int) -> list[int]:
    """0..count-1, every sixteenth first, then those between, so that a graph takes shape at once."""
    order: dict[int, None] = {}
    for step in (16, 8, 4, 2, 1):
        order.update(dict.fromkeys(range(0, count, step)))
    return list(order)


def rgba(colour: UInt8, mask: Bool) -> UInt8:  # [H, W, 3], [H, W] -> [H, W, 4]
    """A guide as a picture: alpha 255 where the source is seen."""
    out = np.empty((*mask.shape, 4), np.uint8)
    out[..., :3] = colour
    np.multiply(mask, np.uint8(255), out=out[..., 3])
    return out


class Scene:
    """One clip in memory, and the renderers of its meshes."""

    def __init__(self, source: sources.LoadedSource, held: sources.Sources) -> None:
        self._source, self._held = source, held
        self._renderers: OrderedDict[tuple[bytes, bool], tuple[FrameRenderer, int]] = OrderedDict()

    @property
    def num_frames(self) -> int:
        """T."""
        return self._source.clip.num_frames

    @property
    def size_bytes(self) -> int:
        """Memory of the clip and of the edits of its meshes."""
        clip = self._source.clip
        return clip.frames.nbytes + clip.depth.nbytes + sum(size for _, size in self._renderers.values())

    def renderer(self, view: LiveView, blobs: Path, bands: Bands) -> FrameRenderer:
        """The renderer of a request's mesh; pictures and coverage have their own, so that each keeps its frame."""
        key = msgspec.msgpack.encode((view.mesh, view.raster)), view.picture
        if key not in self._renderers:
            while len(self._renderers) >= 2 * MESHES:
                self._renderers.popitem(last=False)
            mesh = self._held.mesh(self._source, view.clip, view.mesh, blobs)
            edits = sum(part.size for edit in view.mesh.edits for part in (edit.positions, edit.face_flags) if part)
            if any(edit.thickness is not None for edit in view.mesh.edits):
                edits += self._source.clip.depth.nbytes  # one map for all frames
            made = FrameRenderer(mesh, sources.raster_options(view.raster), bands=bands)
            self._renderers[key] = made, edits
        self._renderers.move_to_end(key)
        return self._renderers[key][0]


class LiveWorker:
    """See the module. :meth:`run` until the server says so or is gone."""

    def __init__(
        self, server: zmq.Socket[Any], *, blobs: Path, scratch: Path, bands: Bands, memory_bytes: int, parent: int
    ) -> None:
        self._server, self._blobs, self._scratch, self._bands = server, blobs, scratch, bands
        self._memory_bytes = memory_bytes
        self._lanes: dict[Lane, Asked] = {}
        self._scenes: OrderedDict[bytes, Scene] = OrderedDict()
        self._parent = parent
        self._heard = self._beat_at = time.monotonic()
        self._quit = False

    def run(self) -> None:
        """Read, draw one frame, read again."""
        while not self._quit:
            self._listen(wait=not self._lanes)
            asked = self._next()
            if asked is not None:
                self._step(asked)

    # --- hearing ------------------------------------------------------------------------------------------

    def _listen(self, *, wait: bool) -> None:
        """Take everything the server sent; ``wait`` for something, a second at most."""
        now = time.monotonic()
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            self._server.send(li.encode(li.LiveBeat()))
        timeout = int(BEAT_S * 1000) if wait else 0
        while self._server.poll(timeout):
            self._heard, timeout = time.monotonic(), 0
            self._obey(li.decode_to_live(self._server.recv()))
        if time.monotonic() - self._heard > SERVER_SILENT_S or os.getppid() != self._parent:
            log.warning("the server is gone")
            os._exit(3)

    def _obey(self, message: li.ToLive) -> None:
        match message:
            case li.LiveOrder():
                asked = Asked(message.client, message.request_id, message.view)
                older = self._lanes.pop(asked.lane, None)
                if older is not None:
                    self._say(older, LiveSuperseded(view=older.view.view, sequence=older.view.sequence), ended=True)
                self._lanes[asked.lane] = asked
            case li.LiveForget(client):
                self._lanes = {lane: asked for lane, asked in self._lanes.items() if lane[0] != client}
            case li.LiveQuit():
                self._quit = True
            case li.LiveBeat():
                pass

    def _next(self) -> Asked | None:
        """Pictures before coverage; among equals the one that came or was served longest ago."""
        lanes = sorted(self._lanes, key=lambda lane: not lane[2])
        return self._lanes[lanes[0]] if lanes else None

    # --- doing --------------------------------------------------------------------------------------------

    def _step(self, asked: Asked) -> None:
        """One frame of a request; whatever goes wrong ends the request and no other."""
        try:
            trajectory = asked.prepare()
            scene = self._scene(asked)
            if self._lanes.get(asked.lane) is not asked:
                return  # a newer one came while the clip was read
            if asked.source is None:
                asked.source = source_frames(trajectory, scene.num_frames)
            if asked.objects is None:
                view = asked.view
                asked.objects = read_objects(
                    view.objects, self._blobs, num_frames=len(trajectory), held=view.object_frames,
                    start=view.object_start,
                )  # fmt: skip
            frame = asked.waiting.pop()
            renderer = scene.renderer(asked.view, self._blobs, self._bands)
            camera = Camera.of(trajectory, frame)
            colour, mask = renderer.render(int(asked.source[frame]), camera, asked.objects, index=frame)
            ended = not asked.waiting
            self._tell(asked, frame, colour, mask, ended=ended)
        except Ex4dError as error:
            ended = self._fail(asked, "bad_request", str(error))
        except MemoryError:
            ended = self._fail(asked, "too_large", "There is not enough memory for a live view of this clip.")
        except Exception as error:
            log.exception("a live view failed")
            ended = self._fail(asked, "internal", f"The live view hit a fault ({type(error).__name__}: {error}).")
        if self._lanes.get(asked.lane) is asked:
            del self._lanes[asked.lane]
            if not ended:
                self._lanes[asked.lane] = asked  # behind the others

    def _scene(self, asked: Asked) -> Scene:
        """The request's clip, read if it is not in memory. Raises the library's errors."""
        key = msgspec.msgpack.encode(asked.view.clip)
        if key not in self._scenes:
            self._make_room(0)
            self._scenes[key] = self._read(asked)
            self._make_room(1)
        self._scenes.move_to_end(key)
        return self._scenes[key]

    def _read(self, asked: Asked) -> Scene:
        told = [0.0]

        def on_progress(progress: Progress) -> None:
            self._listen(wait=False)
            now = time.monotonic()
            current = self._lanes.get(asked.lane)
            if current is not None and now - told[0] >= PROGRESS_EVERY_S:
                told[0] = now
                done, total = max(0, int(progress.done)), max(0, int(progress.total))
                view, sequence = current.view.view, current.view.sequence
                message = LiveProgress(view=view, sequence=sequence, stage=progress.stage[:128], done=done, total=total)
                self._say(current, message, ended=False)

        held = sources.Sources(meshes=MESHES)
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            limit = self._memory_bytes // LOADING_BYTES
            source = held.clip(
                asked.view.clip, self._blobs, folder, clip_pixels=limit, on_progress=on_progress, cancel=CancelToken()
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return Scene(source, held)

    def _make_room(self, keep: int) -> None:
        """Let the longest unused clips go while all together take more than may be, the last ``keep`` not."""
        while len(self._scenes) > keep and sum(s.size_bytes for s in self._scenes.values()) > self._memory_bytes:
            self._scenes.popitem(last=False)

    # --- telling ------------------------------------------------------------------------------------------

    def _tell(self, asked: Asked, frame: int, colour: UInt8, mask: Bool, *, ended: bool) -> None:
        share = float(mask.mean())
        if asked.view.picture:
            self._tell_picture(asked, frame, rgba(colour, mask), share, ended=ended)
            return
        asked.known[frame] = share
        now = time.monotonic()
        if ended or now - asked.told_at >= TELL_EVERY_S:
            known, asked.known, asked.told_at = asked.known, {}, now
            view, sequence = asked.view.view, asked.view.sequence
            frames, shares = tuple(known), tuple(known.values())
            message = LiveCoverage(view=view, sequence=sequence, frames=frames, coverage=shares, done=ended)
            self._say(asked, message, ended=ended)

    def _tell_picture(self, asked: Asked, frame: int, picture: UInt8, share: float, *, ended: bool) -> None:
        data = picture.reshape(-1).data
        for offset in range(0, data.nbytes, MAX_CHUNK_BYTES):
            part = data[offset : offset + MAX_CHUNK_BYTES]
            last = ended and offset + part.nbytes == data.nbytes
            message = LivePicture(
                view=asked.view.view,
                sequence=asked.view.sequence,
                frame=frame,
                width=picture.shape[1],
                height=picture.shape[0],
                coverage=share,
                offset=offset,
                done=last,
            )
            self._say(asked, message, ended=last, blob=part)

    def _fail(self, asked: Asked, code: str, message: str) -> bool:
        if self._lanes.get(asked.lane) is asked:
            self._say(asked, ErrorReply(code=code, message=without_paths(message)[:4096]), ended=True)
        return True

    def _say(
        self, asked: Asked, message: LiveReply | ErrorReply, *, ended: bool, blob: memoryview | None = None
    ) -> None:
        frames: list[Any] = [li.encode(li.LiveAnswer(asked.client, asked.request_id, message, ended))]
        if blob is not None:
            frames.append(blob)
        self._server.send_multipart(frames, copy=blob is None)


def warm_up(bands: Bands) -> None:
    """Have the usual mesh's loops compiled (or read from the cache) before the first request."""
    rng = np.random.default_rng(0)
    depth = np.full((1, 24, 24), 4.0, np.float32)
    depth[:, 8:16, 8:16] = 2.0
    clip = Clip(rng.integers(0, 255, (1, 24, 24, 3), np.uint8), depth, Intrinsics.from_fov(24, 24))
    pose = np.eye(4)
    pose[0, 3] = 0.3
    FrameRenderer(DWMesh(clip), bands=bands).render(0, Camera(pose, clip.intrinsics))


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``python -m ex4d_backend.live``; started by the server only."""
    parser = argparse.ArgumentParser(prog="ex4d_backend.live")
    parser.add_argument("--server", required=True)
    parser.add_argument("--blobs", required=True, type=Path)
    parser.add_argument("--scratch", required=True, type=Path)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    args = parser.parse_args(argv)
    die_with_parent()
    if os.getppid() != args.parent:
        os._exit(3)  # the server was killed while this process was starting
    token = os.environ.pop(TOKEN_VARIABLE, "")
    context: zmq.Context[Any] = zmq.Context()
    server = context.socket(zmq.DEALER)
    server.setsockopt(zmq.LINGER, 200)
    server.connect(args.server)
    shutil.rmtree(args.scratch, ignore_errors=True)  # of a process that was killed
    args.scratch.mkdir(parents=True)
    bands = Bands(thread_count(args.threads or None))
    warm_up(bands)
    server.send(li.encode(li.LiveReady(token)))
    limits = {"memory_bytes": args.memory_bytes, "parent": args.parent}
    LiveWorker(server, blobs=args.blobs, scratch=args.scratch, bands=bands, **limits).run()
    context.destroy(linger=200)
    os._exit(0)


if __name__ == "__main__":
    main()
