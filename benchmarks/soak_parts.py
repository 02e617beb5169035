"""Who takes part in ``soak.py``: clients at work, one that measures, one that is hostile. Each is a real program."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import time
import uuid
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from ex4d.clip import write_video
from ex4d_ground.cameras import Trajectory
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.events import ItemReceived, JobRejected, LiveAnswer, RequestFailed, ResultsComplete
from ex4d_protocol.requests import BlobRef, BuildMesh, ClipSpec, EstimateDepth, Generate, Media, TrajectorySpec

WIDTH, HEIGHT, FRAMES = 48, 40, 5
MOVES = 6
"""Different takes, so that a mixed-up result is seen."""


def write_clip(folder: Path) -> tuple[Path, Path]:
    """A lossless video of a box before a wall, and its depth."""
    rng = np.random.default_rng(5)
    frames = np.repeat(rng.integers(0, 255, (1, HEIGHT, WIDTH, 3), np.uint8), FRAMES, axis=0)
    depth = np.full((FRAMES, HEIGHT, WIDTH), 4.0, np.float32)
    for t in range(FRAMES):
        frames[t, 12:28, 10 + t : 24 + t], depth[t, 12:28, 10 + t : 24 + t] = (200, 30, 40), 2.0
    write_video(folder / "clip.mkv", frames, fps=12, lossless=True)
    np.savez(folder / "depth.npz", depth=depth)
    return folder / "clip.mkv", folder / "depth.npz"


def cameras(count: int, step: float) -> TrajectorySpec:
    """A move to the side, ``step`` a frame."""
    poses = np.repeat(np.eye(4)[None], count, axis=0)
    poses[:, 0, 3] = step * np.arange(count)
    lens = np.repeat([[50.0, 50.0, WIDTH / 2, HEIGHT / 2]], count, axis=0)
    return TrajectorySpec.pack(Trajectory(poses, lens, np.zeros(count), WIDTH, HEIGHT))


def upload(client: Client, files: tuple[Path, Path]) -> ClipSpec:
    """The clip, on the server."""
    video, depth = (client.wait_uploaded(client.upload(path), 60).ref for path in files)
    return ClipSpec(video=Media(kind="video", blobs=(video,)), depth=Media(kind="npz", blobs=(depth,)), focal_px=50.0)


def request_of(move: int, clip: ClipSpec) -> Generate:
    """The job of one take."""
    return Generate(clip=clip, trajectory=cameras(FRAMES, 0.01 * (move + 1)), engine="preview", seed=move)


def digest_of(event: ItemReceived) -> str:
    """Of an item's bytes; of a take's description, of what does not tell when it was made."""
    data = bytes(event.data)
    if event.item.name == "take":
        content = {k: v for k, v in json.loads(data).items() if k not in ("created", "versions", "timing", "seconds")}
        data = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def connected(address: str, client_id: str | None = None) -> Client:
    """A client that is let in."""
    client = Client(address, client_name="soak", **({"client_id": client_id} if client_id else {}))
    client.connect()
    client.wait_connected(60)
    return client


class Artist:
    """One client's day: think, submit a take, compare every byte of it, acknowledge; sometimes the program dies."""

    def __init__(self, address: str, files: tuple[Path, Path], expected: list[dict[str, str]], seed: int) -> None:
        self.counts = dict.fromkeys(("delivered", "mismatched", "lost", "resubmitted", "died", "pictures", "errors"), 0)
        self.problems: list[str] = []
        self._address, self._files, self._expected = address, files, expected
        self._chance = random.Random(seed)
        self._client_id = uuid.UUID(int=self._chance.getrandbits(128)).hex
        self._got: dict[str, str] = {}
        self._accepted = True
        """Whether it had heard of its job when it died; the server need not know of one that never left."""
        self._move, self._job, self._next_at = 0, "", time.monotonic() + self._chance.random() * 5
        self._client: Client | None = None
        self._begin()

    def _begin(self) -> Client:
        self.close()
        client = self._client = connected(self._address, self._client_id)
        self._clip = upload(client, self._files)
        if self._job:
            client.follow(self._job)
            self._got = {}
        return client

    def step(self, think_s: float) -> None:
        """Do what is to be done now; who is not served begins anew, and that is part of the result."""
        try:
            self._step(self._client or self._begin(), think_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is part of the result
            self.counts["errors"] += 1
            self.problems.append(f"{type(error).__name__}: {error}")
            self.close()

    def _step(self, client: Client, think_s: float) -> None:
        for event in client.poll(0.001):
            if isinstance(event, ItemReceived) and event.job_id == self._job:
                self._got[f"{event.name} {event.frame}"] = digest_of(event)
            elif isinstance(event, ResultsComplete) and event.job_id == self._job:
                self._end(client, event.phase)
            elif isinstance(event, JobRejected) and event.job_id == self._job:
                lost = self._accepted and event.code not in ("queue_full", "rate_limited")
                self._again(f"refused: {event.message}", lost=lost)
            elif isinstance(event, LiveAnswer) and event.picture is not None:
                self.counts["pictures"] += 1
        now = time.monotonic()
        if not self._job and now >= self._next_at:
            self._submit(client, think_s)
        elif self._job and self._chance.random() < 0.0005:
            self.counts["died"] += 1  # without a word, its job under way
            self._begin()

    def _submit(self, client: Client, think_s: float) -> None:
        self._move, self._got = self._chance.randrange(MOVES), {}
        self._accepted, self._job = True, client.submit(request_of(self._move, self._clip))
        if self._chance.random() < 0.3:
            view = m.LiveView(view="soak", sequence=1, clip=self._clip, trajectory=cameras(1, 0.01))
            client.live(view)
        self._next_at = time.monotonic() + self._chance.expovariate(1.0 / think_s)

    def _end(self, client: Client, phase: str) -> None:
        if phase != "done":
            state = client.jobs[self._job].state
            message = state.message if state is not None else ""
            self._again(f"{phase}: {message}", lost="worker process" not in message)
            return
        if self._got != self._expected[self._move]:
            self.counts["mismatched"] += 1
            wrong = {k for k in self._got.keys() | self._expected[self._move].keys()
                     if self._got.get(k) != self._expected[self._move].get(k)}  # fmt: skip
            self.problems.append(f"job {self._job}: {sorted(wrong)[:5]}")
        self.counts["delivered"] += 1
        client.ack(self._job)
        self._job = ""

    def _again(self, why: str, *, lost: bool) -> None:
        self.counts["lost" if lost else "resubmitted"] += 1
        if lost:
            self.problems.append(f"job {self._job} {why}")
        self._job, self._next_at = "", time.monotonic() + 1.0

    def close(self) -> None:
        """Leave."""
        client, self._client = self._client, None
        if client is not None:
            if self._job:
                self._accepted = self._accepted and client.jobs[self._job].state is not None
            client.close()

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return bool(self._job)


def measure(address: str, files: tuple[Path, Path], output: Path) -> None:
    """Until killed: the times of pings and of live pictures, in milliseconds, one JSON line each."""
    client = connected(address)
    clip = upload(client, files)
    with output.open("w", buffering=1, encoding="utf-8") as file:
        for turn in itertools.count():
            what: msgspec.Struct = m.Ping()
            if turn % 4 == 3:
                what = m.LiveView(view="probe", sequence=turn, clip=clip, trajectory=cameras(1, 0.01 * (turn % 50)))
            began = time.perf_counter()
            try:
                if isinstance(what, m.LiveView):
                    _picture(client, what)
                else:
                    client.ask(what, 60)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is part of the result
                file.write(json.dumps({"at": time.time(), "error": str(error)}) + "\n")
                time.sleep(1)
                continue
            kind = "picture" if isinstance(what, m.LiveView) else "ping"
            took_ms = (time.perf_counter() - began) * 1e3
            file.write(json.dumps({"at": time.time(), "what": kind, "ms": took_ms}) + "\n")
            time.sleep(0.03)


def _picture(client: Client, view: m.LiveView) -> None:
    number = client.live(view)
    kinds = (LiveAnswer, RequestFailed)
    ended = client.wait_for(lambda e: isinstance(e, kinds) and e.request_id == number and getattr(e, "ended", True), 60)
    if isinstance(ended, RequestFailed):
        raise RuntimeError(ended.error.message)


def come_last() -> None:
    """Give this process only the time of the cores that nobody else wants.

    An attacker computes on a machine of its own. Here it shares two cores with the server and everybody else, who would
    wait for its turns, whatever the server does: that is no fault of the server's, and no other server could help it.
    What it sends costs the server, and so the others, what it would cost over a network (``NETWORK_BYTES_PER_S``); how
    much that was is counted.
    """
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif os.name == "posix":
        os.nice(19)


NETWORK_BYTES_PER_S = 125e6
"""The hostile client sends no faster than a gigabit network carries: within one machine it is ten times as much, which
nothing but the machine's own cores would hold back."""
ATTACKS = ("large", "greetings", "unread", "views", "ghosts", "uploads", "jobs", "small")
"""Methods of :class:`Hostile`."""


class Hostile:
    """A client without manners: each kind of attack for a while, a rest, then the next.

    Every attack leaves a line in the diary when it begins and one when it ends, with the messages and MiB it sent.
    """

    def __init__(self, address: str, files: tuple[Path, Path], diary: Path) -> None:
        self._address, self._files, self._diary = address, files, diary
        self._context = zmq.Context()
        self._ids = itertools.count(1)
        self._messages = self._bytes = 0
        self._free_at = 0.0
        """When the network has carried what was sent so far."""
        nothing = BlobRef(sha256="0" * 64, size=1)
        self._nothing = ClipSpec(video=Media(kind="video", blobs=(nothing,)), depth=Media(kind="npz", blobs=(nothing,)))

    def run(self, each_s: float, rest_s: float, attacks: Sequence[str]) -> None:
        """Until killed."""
        for name in itertools.cycle(attacks):
            self._messages = self._bytes = 0
            self._note(attack=name)
            end, problem, client = time.monotonic() + each_s, "", None
            try:
                client = connected(self._address)
                getattr(self, name)(client, end)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is part of the result
                problem = f"{type(error).__name__}: {error}"
            finally:
                if client is not None:
                    client.close()
            time.sleep(max(0.0, end - time.monotonic()))
            self._note(ended=name, messages=self._messages, mib=round(self._bytes / 2**20, 1), problem=problem)
            time.sleep(rest_s)

    def _note(self, **what: Any) -> None:
        with self._diary.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": time.time(), **what}) + "\n")

    def _socket(self, address: str, *, small: bool = False) -> zmq.Socket[Any]:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDTIMEO, 1000)
        if small:
            socket.setsockopt(zmq.RCVHWM, 1)
            socket.setsockopt(zmq.RCVBUF, 4096)
        socket.connect(address)
        return socket

    def _send(self, socket: zmq.Socket[Any], message: msgspec.Struct, blobs: tuple[bytes, ...] = ()) -> None:
        frames = framing.encode(message, request_id=next(self._ids), blobs=blobs)
        try:
            socket.send_multipart(frames)
            self._count(sum(memoryview(frame).nbytes for frame in frames))
        except zmq.Again:
            time.sleep(0.05)

    def _count(self, size: int) -> None:
        self._messages, self._bytes = self._messages + 1, self._bytes + size
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + size / NETWORK_BYTES_PER_S
        time.sleep(self._free_at - now)

    def _flood(self, messages: deque[msgspec.Struct], end: float, *, small: bool = False, pause_s: float = 0.0) -> None:
        socket = self._socket(self._address, small=small)
        self._send(socket, m.Hello(client_id=uuid.uuid4().hex, client_name="hostile", major=1, minor=1))
        while time.monotonic() < end:
            self._send(socket, messages[0])
            messages.rotate(-1)
            if not small:
                while socket.poll(0):
                    socket.recv_multipart()
            time.sleep(pause_s)
        socket.close(0)

    def large(self, client: Client, end: float) -> None:
        """Messages as long as may be, and longer than their type may be."""
        job = m.SubmitJob(job_id="a" * 32, request=BuildMesh(clip=self._nothing, visible_only=(0,) * 4_000_000))
        refs = tuple(BlobRef(sha256=os.urandom(32).hex(), size=1) for _ in range(2_000))
        settings = {"x": "y" * (4 << 20)}
        text = m.SubmitJob(job_id="a" * 32, request=EstimateDepth(video=self._nothing.video, settings=settings))
        self._flood(deque([job, m.HaveBlobs(blobs=refs), text]), end, pause_s=0.01)

    def greetings(self, client: Client, end: float) -> None:
        """Hello without end, with names that look like lines of a log."""
        name = "x\n2026-01-01 00:00:00,000 ERROR ex4d_backend.server \x1b[31mFORGED"
        self._flood(deque([m.Hello(client_id=uuid.uuid4().hex, client_name=name, major=1, minor=1)]), end)

    def unread(self, client: Client, end: float) -> None:
        """Long answers that are asked for and not read."""
        lens = (500.0, 500.0, 256.0, 256.0)
        query = m.PresetQuery(preset="30", num_frames=10_000, width=512, height=512, intrinsics=lens, near_depth=1.0)
        self._flood(deque([query, m.ListJobs()]), end, small=True, pause_s=0.002)

    def views(self, client: Client, end: float) -> None:
        """Live views of many cameras under ever new names."""
        clip, move = upload(client, self._files), cameras(10_000, 1e-6)
        for number in itertools.count():
            if time.monotonic() > end:
                return
            if client.state != "connected":
                client.poll(0.01)
                time.sleep(0.01)
                continue
            view = m.LiveView(view=f"v{number}", sequence=number, clip=clip, trajectory=move, picture=bool(number % 2))
            client.live(view)
            self._count(len(move.world_from_camera) + len(move.intrinsics) + len(move.source_time))
            client.poll(0.001)

    def ghosts(self, client: Client, end: float) -> None:
        """Clients that come and leave without a word, or stay and say nothing."""
        stay: deque[zmq.Socket[Any]] = deque()
        while time.monotonic() < end:
            socket = self._socket(self._address)
            self._send(socket, m.Hello(client_id=uuid.uuid4().hex, client_name="ghost", major=1, minor=1))
            stay.append(socket)
            if len(stay) > 100:
                stay.popleft().close(0)
            time.sleep(0.005)
        for socket in stay:
            socket.close(0)

    def uploads(self, client: Client, end: float) -> None:
        """Files that are begun and never ended."""
        control = self._socket(self._address)
        self._send(control, m.Hello(client_id=uuid.uuid4().hex, client_name="hostile", major=1, minor=1))
        welcome = framing.decode(control.recv_multipart(), framing.SERVER_DECODERS).message
        data = self._socket(f"{self._address.rpartition(':')[0]}:{welcome.data_port}")
        self._send(data, m.Attach(session=welcome.session))
        while time.monotonic() < end:
            chunk = m.PutChunk(sha256=os.urandom(32).hex(), size=1 << 30, offset=0)
            self._send(data, chunk, (bytes(1 << 20),))
            for socket in (data, control):
                while socket.poll(0):
                    socket.recv_multipart()
            time.sleep(0.01)
        for socket in (data, control):
            socket.close(0)

    def jobs(self, client: Client, end: float) -> None:
        """More jobs than there are places for; cancelled at the end."""
        clip, made = upload(client, self._files), []
        while time.monotonic() < end:
            if len(made) < 400:
                made.append(client.submit(request_of(0, clip), fetch=False))
                self._count(0)
            client.poll(0.001)
            time.sleep(0.005)
        for job in made:
            client.cancel(job)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            client.poll(0.005)

    def small(self, client: Client, end: float) -> None:
        """Small messages as fast as they go, also such as are none."""
        flood: deque[msgspec.Struct] = deque([m.Ping(), m.GetHealth(), m.CancelJob(job_id="b" * 32), m.ListJobs()])
        self._flood(flood, end)
