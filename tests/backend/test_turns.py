"""No message holds the server up: each has a largest size, and clients take turns by what theirs cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest
import zmq

from backend.conftest import long_job, until
from backend.peers import longest_at_work, nothing_clip, ping_times
from ex4d_backend.limits import HEAVY, LIGHT_S, TIME_BURST_S, TIME_SHARE, TimeAccount, TimeUsed
from ex4d_backend.turns import REFUSED_BYTES, STRANGERS_BYTES, WAITING_MESSAGES, Turns
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.errors import JobCancelled
from ex4d_protocol.events import ItemReceived
from ex4d_protocol.maxima import MAX_ASKED, MAX_FRAMES, MAX_SETTINGS
from ex4d_protocol.requests import BuildMesh, EstimateDepth


def _job(**changes) -> dict:
    request = msgspec.to_builtins(BuildMesh(clip=nothing_clip()))
    return {"type": "SubmitJob", "job_id": "a" * 32, "request": {**request, **changes}}


def _estimate(settings: dict) -> dict:
    request = msgspec.to_builtins(EstimateDepth(video=nothing_clip().video))
    return {"type": "SubmitJob", "job_id": "a" * 32, "request": {**request, "settings": settings}}


_REF = {"sha256": "0" * 64, "size": 1}
TOO_LARGE = {
    "a list of frames": _job(visible_only=[0] * 8_000_000),
    "a sequence": _job(clip={"video": {"kind": "png_sequence", "blobs": [_REF] * (MAX_FRAMES + 1)}, "depth": {}}),
    "edits": _job(mesh={"edits": [{"frame": 0}] * (MAX_FRAMES + 1)}),
    "settings": _estimate({str(i): i for i in range(MAX_SETTINGS + 1)}),
    "a setting": _estimate({"prompt": "x" * (7 << 20)}),
    "a name": {"type": "SubmitJob", "job_id": "a" * 32, "title": "x" * (7 << 20)},
    "a question": {"type": "HaveBlobs", "blobs": [_REF] * (MAX_ASKED + 1)},
    "versions": {"type": "Hello", "client_id": "a" * 32, "versions": {"a": "y" * (7 << 20)}},
    "many versions": {"type": "Hello", "client_id": "a" * 32, "versions": {str(i): "" for i in range(600)}},
    "a ping": {"type": "Ping", "more": [0] * 1_000_000},
    "a view": {"type": "LiveView", "view": "x" * (7 << 20)},
    "cameras": {"type": "LiveView", "view": "x", "sequence": 1, "clip": msgspec.to_builtins(nothing_clip()),
                "trajectory": {"num_frames": 1, "width": 9, "height": 9, "world_from_camera": bytes(7 << 20)}},
}  # fmt: skip


@pytest.mark.parametrize("what", TOO_LARGE)
def test_what_is_too_large_is_refused_in_a_sentence_before_it_costs_anything(what) -> None:
    content = TOO_LARGE[what]
    header = msgspec.msgpack.encode(framing.Header(type=content["type"], id=7))
    frames = [framing.MAGIC + b"\x01", header, msgspec.msgpack.encode(content)]
    with pytest.raises(framing.FrameError) as caught:
        framing.decode(frames, framing.CLIENT_DECODERS)
    assert caught.value.request_id == 7
    assert "at most" in str(caught.value) or "length <=" in str(caught.value)


def test_an_account_lets_light_messages_through_and_makes_heavy_ones_rare() -> None:
    now = 0.0
    light, heavy = TimeAccount(lambda: now), TimeAccount(lambda: now)
    for account, seconds in ((light, LIGHT_S / 2), (heavy, 10 * LIGHT_S)):
        used, refused = 0.0, 0
        for _ in range(100_000):
            now += 0.001
            if account.open:
                account.charge(seconds)
                used += seconds
            else:
                refused += 1
        share = (used - TIME_BURST_S) / 100.0
        assert share <= TIME_SHARE
        if account is heavy:
            assert refused and used / 100.0 < TIME_SHARE * 10 / (10 + HEAVY * 9) + TIME_BURST_S / 100.0


class _Loop:
    """Turns over a real socket, with a clock that the messages themselves move."""

    def __init__(self, costs: dict[str, float]) -> None:
        self._context = zmq.Context()
        self.router = self._context.socket(zmq.ROUTER)
        self._sockets = [self.router]
        self.address = f"tcp://127.0.0.1:{self.router.bind_to_random_port('tcp://127.0.0.1')}"
        self.now, self.handled, self.refused, self.cut_off = 0.0, [], [], []
        self._costs = costs
        self.turns = Turns(
            self.router,
            client_of=lambda identity: name if (name := identity.decode()) != "stranger" else None,
            handle=self._handle,
            refuse=lambda frames, refusal: self.refused.append((frames[0].bytes.decode(), refusal.reply.code)),
            crowded=lambda: True,
            choked=lambda identity: False,
            cut_off=lambda frame: self.cut_off.append(frame.bytes.decode()),
            clock=lambda: self.now,
            cost_clock=lambda: self.now,
        )

    def _handle(self, frames) -> None:
        name = frames[0].bytes.decode()
        kind = framing.header_of(frames[1:]).type
        self.now += self._costs.get(kind, 0.0)
        self.handled.append((name, kind))

    def close(self) -> None:
        for socket in self._sockets:
            socket.close(0)
        self._context.term()

    def client(self, name: str) -> zmq.Socket:
        socket = self._context.socket(zmq.DEALER)
        self._sockets.append(socket)
        socket.setsockopt(zmq.IDENTITY, name.encode())
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(self.address)
        return socket

    def run_until(self, condition) -> None:
        """The clock stands still while nothing is handled: what is on its way may take as long as it likes."""
        end = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < end, self.handled
            self.router.poll(1)
            before = len(self.handled)
            self.turns.run()
            self.now += 0.02 if len(self.handled) > before else 0.0

    def arrived(self, name: str) -> int:
        """How many messages of this client were read, handled or waiting."""
        return sum(each == name for each, _ in self.handled) + len(self.turns._queues.get(name, ()))


@pytest.fixture
def make_loop():
    made: list[_Loop] = []

    def make(costs: dict[str, float]) -> _Loop:
        made.append(_Loop(costs))
        return made[-1]

    yield make
    for loop in made:
        loop.close()


def test_a_client_of_long_messages_waits_and_another_does_not(make_loop) -> None:
    loop = make_loop({"GetHealth": 0.1, "ListJobs": 0.0001})
    greedy, modest = loop.client("greedy"), loop.client("modest")
    for _ in range(40):
        greedy.send_multipart(framing.encode(m.GetHealth(), request_id=1))
    loop.run_until(lambda: loop.arrived("greedy") == 40 and not loop.turns.ready)
    assert 0 < len(loop.handled) < 40
    before = loop.handled.count(("greedy", "GetHealth"))
    for _ in range(30):
        modest.send_multipart(framing.encode(m.ListJobs(), request_id=1))
    loop.run_until(lambda: loop.handled.count(("modest", "ListJobs")) == 30)
    assert loop.handled.count(("greedy", "GetHealth")) - before <= 2
    greedy.send_multipart(framing.encode(m.Ping(), request_id=1))
    loop.run_until(lambda: ("greedy", "Ping") in loop.handled)
    assert loop.handled.count(("greedy", "GetHealth")) < 40, "a ping overtakes what waits"


def test_what_a_client_has_waiting_is_bounded_and_nothing_overtakes_its_job(make_loop) -> None:
    loop = make_loop({"SubmitJob": 1.0})
    greedy = loop.client("greedy")
    job = m.SubmitJob(job_id="a" * 32, request=BuildMesh(clip=nothing_clip()))
    for _ in range(WAITING_MESSAGES + 20):
        greedy.send_multipart(framing.encode(job, request_id=1))
    greedy.send_multipart(framing.encode(m.CancelJob(job_id="a" * 32), request_id=1))
    loop.run_until(lambda: len(loop.refused) >= 18)
    assert set(loop.refused) == {("greedy", "rate_limited")}
    assert ("greedy", "CancelJob") not in loop.handled


def test_who_goes_on_sending_what_is_refused_is_cut_off_and_nobody_else(make_loop) -> None:
    loop = make_loop({"SubmitJob": 1.0})
    body = [*framing.encode(m.Ping(), request_id=1)[:2], bytes(8 << 20)]
    for name, most in (("greedy", REFUSED_BYTES), ("stranger", STRANGERS_BYTES)):
        socket = loop.client(name)
        if name == "greedy":  # so that it has no time left, and as much as may waits
            job = m.SubmitJob(job_id="a" * 32, request=BuildMesh(clip=nothing_clip()))
            for _ in range(WAITING_MESSAGES + 1):
                socket.send_multipart(framing.encode(job, request_id=1))
            body = [*framing.encode(job, request_id=1)[:2], bytes(8 << 20)]
        for _ in range(most // len(body[-1]) + 1):
            socket.send_multipart(body)
        loop.run_until(lambda name=name: name in loop.cut_off)
        refused = sum(who == name for who, _ in loop.refused)
        assert refused > most // len(body[-1]) - 1, "not before it was told so often"
    modest = loop.client("modest")
    modest.send_multipart(framing.encode(m.ListJobs(), request_id=1))
    loop.run_until(lambda: ("modest", "ListJobs") in loop.handled)
    assert set(loop.cut_off) == {"greedy", "stranger"}


def test_who_comes_anew_again_and_again_is_served_no_more_often_than_another() -> None:
    """A client that reconnects is another one to the process that draws; so is one that did not read for a while."""
    used, served = TimeUsed(), []
    used.join(0)
    for turn in range(300):
        hostile = 1 + turn // 10  # under a new number each time
        if turn % 10 == 0:
            used.forget(hostile - 1)
            used.join(hostile)
        client = min((hostile, 0), key=used.of)
        served.append(client)
        used.charge(client, 1.0)
        if client == 0:  # it asks for one picture at a time, and nobody else asks in between
            used.join(0)
    gaps = np.diff([turn for turn, client in enumerate(served) if client == 0])
    assert gaps.max() <= 3 and len(gaps) >= 100


def test_eight_mebibyte_messages_of_one_client_hold_nobody_up(make_backend, connect, send_clip, make_peer) -> None:
    server = make_backend().start()
    client = connect(server)
    job = client.submit(long_job(send_clip(client), 600))
    client.wait_for(lambda e: isinstance(e, ItemReceived), 120)
    [worker] = server.workers()
    victim, kinds = make_peer(server), ("a list of frames", "settings", "a question", "versions", "a ping", "edits")
    alone, hostile = ping_times(victim), {what: make_peer(server) for what in kinds}
    for what, peer in hostile.items():  # no more of each than is refused before it is cut off
        body = msgspec.msgpack.encode(TOO_LARGE[what])
        for _ in range(6):
            peer.send_raw(TOO_LARGE[what]["type"], body)
    beside = ping_times(victim)
    print(f"ping p50, max in ms: alone {np.median(alone) * 1e3:.2f}, {alone.max() * 1e3:.1f}; "
          f"beside {np.median(beside) * 1e3:.2f}, {beside.max() * 1e3:.1f}")  # fmt: skip
    codes = {answer.message.code for peer in hostile.values() for answer in peer.answers(6)}
    assert codes <= {"too_large", "bad_message", "rate_limited"} and len(codes) >= 2
    assert longest_at_work(server.output()) < 0.5
    client.wait_job(job, 120)
    assert [p.pid for p in server.workers()] == [worker.pid]


@pytest.mark.skipif(os.name != "posix", reason="stops a process by a signal")
def test_a_worker_outlives_a_server_that_stands_still(make_backend, connect, send_clip) -> None:
    server = make_backend(environment={"EX4D_BACKEND_WORKER_SILENT_S": "6"}).start()
    client = connect(server)
    job = client.submit(long_job(send_clip(client)))
    client.wait_for(lambda e: isinstance(e, ItemReceived), 120)
    [worker] = server.workers()
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(9)  # longer than a worker may be silent
    server.process.send_signal(signal.SIGCONT)
    until(lambda: "stood still" in server.output(), 120)
    assert longest_at_work(server.output()) < 0.5, "it was stopped, not at work"
    client.cancel(job)
    with pytest.raises(JobCancelled):
        client.wait_job(job, 120)
    assert [p.pid for p in server.workers()] == [worker.pid]
    assert "killing" not in server.output()


FIRST_QUESTIONS = """
import sys, threading
from ex4d.trajectory import PRESETS
from ex4d.engines import engine_names
from ex4d_backend import devices
from ex4d_backend.server import Server
from ex4d_backend.settings import ServerSettings
from ex4d_protocol import messages as m

server = Server(ServerSettings(data_dir=sys.argv[1], address="tcp://127.0.0.1:auto", devices=("cpu",)))
for thread in threading.enumerate():  # it may have ended already
    if thread.name == "make-ready":
        thread.join()
before = set(sys.modules)
gpu = m.DeviceSpec(name="GPU", kind="cuda", memory_bytes=80 << 30)
size = {"num_frames": 49, "width": 512, "height": 512}
for engine in engine_names():
    for found in ([], [gpu]):
        devices.answer_cost(m.CostQuery(engine=engine, **size), found)
for preset in PRESETS:
    devices.answer_preset(m.PresetQuery(preset=preset, intrinsics=(500, 500, 256, 256), near_depth=1.0, **size))
server.ask_to_stop()
server.ask_to_stop()
server.run()
print(sorted(name for name in set(sys.modules) - before if name.startswith("ex4d")))
print(sorted({"cv2", "numba", "PIL", "scipy", "torch"} & set(sys.modules)))
"""


def test_the_first_question_costs_no_more_than_the_next(tmp_path) -> None:
    """Nothing is imported for it in the loop: else who asks first would wait for many seconds, and others with it."""
    command = [sys.executable, "-c", FIRST_QUESTIONS, str(tmp_path / "data")]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    later, heavy = asked.stdout.splitlines()[-2:] or (asked.stderr, "")
    assert later == "[]", asked.stderr
    assert heavy == "[]", "the server, which draws nothing, takes the memory of what does"
