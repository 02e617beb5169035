from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from msgspec.structs import replace

from ex4d_ground.options import MeshOptions
from ex4d_ground.remedies import update_backend
from ex4d_protocol import framing, minors
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.errors import ConnectionFailed, IncompatibleError, JobFailed, RequestRefused
from ex4d_protocol.events import CapabilitiesChanged, Disconnected, JobRejected, LiveAnswer, RequestFailed
from ex4d_protocol.requests import BlobRef, BuildMesh, ClipSpec, Generate, Media, MeshSpec, RenderGuides
from protocol.examples import CAPABILITIES
from protocol.filmed_clips import FILMED, MOVE, OLD, ZOOMED

Answer = Callable[[framing.Received], Any]
"""The frames of an answer, a list of several such, or None."""


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """A scripted server on a real socket: ``answer`` turns each message into raw frames."""
    context = zmq.Context()
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(answer: Answer) -> str:
        socket = context.socket(zmq.ROUTER)
        port = socket.bind_to_random_port("tcp://127.0.0.1")

        def loop() -> None:
            while not stop.is_set():
                if socket.poll(20):
                    identity, *frames = socket.recv_multipart()
                    reply = answer(framing.decode(frames, framing.CLIENT_DECODERS))
                    for one in () if reply is None else reply if isinstance(reply[0], list) else [reply]:
                        socket.send_multipart([identity, *one])
            socket.close(0)

        threads.append(threading.Thread(target=loop))
        threads[-1].start()
        return f"tcp://127.0.0.1:{port}"

    yield start
    stop.set()
    for thread in threads:
        thread.join()
    context.destroy(linger=0)


@pytest.fixture
def client_of() -> Iterator[Callable[[str], Client]]:
    made: list[Client] = []

    def make(address: str) -> Client:
        made.append(Client(address, client_name="the add-on"))
        made[-1].connect()
        return made[-1]

    yield make
    for client in made:
        client.close()


def raw(message, reply_to=0, major=1) -> list[bytes]:
    frames = [bytes(f) for f in framing.encode(message, reply_to=reply_to)]
    return [b"EX4D" + bytes([major]), *frames[1:]]


@pytest.mark.parametrize(("major", "side"), [(2, "upgrade the add-on"), (0, "upgrade the backend")])
def test_a_server_of_another_major_is_refused_and_the_side_to_upgrade_named(serve, client_of, major, side):
    address = serve(lambda r: raw(m.ErrorReply(code="incompatible", message="?"), r.header.id, major))
    client = client_of(address)
    with pytest.raises(IncompatibleError, match=side):
        client.wait_connected(60)
    assert client.state == "incompatible"
    client.poll()
    assert client.state == "incompatible"  # it does not go on trying


def test_a_server_that_refuses_this_major_is_believed(serve, client_of):
    text = "The backend speaks protocol 2.x: upgrade the add-on."
    client = client_of(serve(lambda r: raw(m.ErrorReply(code="incompatible", message=text), r.header.id)))
    with pytest.raises(IncompatibleError, match=r"upgrade the add-on\."):
        client.wait_connected(60)


@pytest.mark.parametrize("reply", [[b"HTTP/1.1 400"], [b"EX4D\x01", b"\xff", b""], [b"EX4D\x01"]])
def test_a_server_that_is_not_ours_is_a_clear_error(serve, client_of, reply):
    client = client_of(serve(lambda r: reply))
    client.wait_for(lambda e: isinstance(e, Disconnected), 60)
    with pytest.raises(ConnectionFailed, match="unreadable"):
        client.wait_connected(0.1)


def why_not_connected(client: Client) -> str:
    client.wait_for(lambda e: isinstance(e, Disconnected), 60)
    with pytest.raises(ConnectionFailed) as caught:
        client.wait_connected(0.1)
    return str(caught.value)


def test_why_there_is_no_connection_says_no_more_than_is_known(serve, client_of, free_port):
    """A tunnel or a firewall for the address that people type alone leaves the data port shut."""
    welcome = m.Welcome(session="s", data_port=free_port, server_id="x", capabilities=CAPABILITIES)
    only_control = serve(lambda r: raw(welcome, r.header.id) if isinstance(r.message, m.Hello) else None)
    assert f"data port {free_port} cannot be reached" in why_not_connected(client_of(only_control))
    assert "something listens there but has not answered" in why_not_connected(client_of(serve(lambda r: None)))
    assert "nothing there has answered" in why_not_connected(client_of("tcp://no-such-machine.invalid:7764"))
    assert "nothing answers there" in why_not_connected(client_of(f"tcp://127.0.0.1:{free_port}"))


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_messages_of_a_newer_minor_are_ignored(serve, client_of):
    """Unknown types and fields, sent unasked, do not disturb the session."""

    answered = threading.Event()

    def answer(received):
        if isinstance(received.message, m.Hello):
            answered.set()
            header = framing._encoder.encode(framing.Header(type="WeatherReport"))
            return [b"EX4D\x01", header, b"\x80"]
        return None

    client = client_of(serve(answer))
    assert answered.wait(60)
    with pytest.raises(ConnectionFailed):
        client.wait_connected(0.3)
    assert client.state == "connecting"


def test_questions_in_flight_fail_when_the_connection_is_lost(serve, client_of):
    ports: list[int] = []
    data = serve(lambda r: raw(m.Attached(), r.header.id))
    ports.append(int(data.rpartition(":")[2]))

    def answer(received):
        if isinstance(received.message, m.Hello):
            return raw(m.Welcome(session="s", data_port=ports[0], server_id="x"), received.header.id)
        if isinstance(received.message, m.GetHealth):
            return [b"nonsense"]
        return raw(CAPABILITIES)

    client = client_of(serve(answer))
    client.wait_connected(60)
    client.question(m.Ping())
    client.wait_for(lambda e: isinstance(e, CapabilitiesChanged), 60)
    assert client.capabilities == CAPABILITIES
    with pytest.raises(RequestRefused, match="No backend"):
        client.ask(m.GetHealth(), 60)
    client.wait_for(lambda e: isinstance(e, Disconnected), 0.1) if client.state == "connected" else None
    assert client.state != "connected"


def test_a_question_without_a_connection_fails_at_once():
    client = Client("tcp://127.0.0.1:1")
    try:
        with pytest.raises(RequestRefused, match="no connection"):
            client.ask(m.GetHealth(), 5)
    finally:
        client.close()


def test_what_is_no_address_is_named():
    client = Client("nonsense")
    try:
        with pytest.raises(ConnectionFailed, match="'nonsense' is no address"):
            client.connect()
    finally:
        client.close()


def test_blobs_that_were_asked_for_too_fast_are_asked_for_again(serve, client_of):
    """The first question is turned away for its rate; the upload is neither lost nor reported as refused."""
    asked: list[int] = []
    data = serve(lambda r: raw(m.Attached(), r.header.id))

    def answer(received):
        if isinstance(received.message, m.Hello):
            port = int(data.rpartition(":")[2])
            return raw(m.Welcome(session="s", data_port=port, server_id="x"), received.header.id)
        if isinstance(received.message, m.HaveBlobs):
            asked.append(len(received.message.blobs))
            if len(asked) == 1:
                return raw(m.ErrorReply(code="rate_limited", message="Wait a little."), received.header.id)
            return raw(m.BlobsMissing(), received.header.id)
        return raw(m.Pong(), received.header.id)

    client = client_of(serve(answer))
    client.wait_connected(60)
    assert client.wait_uploaded(client.upload(b"bytes"), 60).sent_bytes == 0
    assert asked == [1, 1]


def test_late_refusals_of_an_upload_that_failed_are_not_those_of_the_next_one(serve, client_of):
    """Each of the chunks that were on their way when the disk was full is refused, the last ones after a new start."""
    chunks: list[int] = []
    digest = "blob " + hashlib.sha256(bytes(4 << 20)).hexdigest()

    def answer_data(received):
        if not isinstance(received.message, m.PutChunk):
            return raw(m.Attached(), received.header.id)
        chunks.append(received.header.id)
        full = m.ErrorReply(code="storage_full", message="The disk is full.", detail=digest)
        if len(chunks) < 4:
            return None
        if len(chunks) == 4:
            return raw(full, chunks[0])
        done = received.message.offset + (1 << 20)
        ack = m.ChunkAck(sha256=received.message.sha256, received=done, complete=done == 4 << 20)
        late = [raw(full, number) for number in chunks[1:4]] if len(chunks) == 5 else []
        return [*late, raw(ack, received.header.id)]

    data = serve(answer_data)

    def answer(received):
        if isinstance(received.message, m.Hello):
            port = int(data.rpartition(":")[2])
            return raw(m.Welcome(session="s", data_port=port, server_id="x"), received.header.id)
        if isinstance(received.message, m.HaveBlobs):
            missing = tuple(m.BlobProgress(sha256=blob.sha256) for blob in received.message.blobs)
            return raw(m.BlobsMissing(missing=missing), received.header.id)
        return raw(m.Pong(), received.header.id)

    client = client_of(serve(answer))
    client.wait_connected(60)
    with pytest.raises(RequestRefused, match="disk is full"):
        client.wait_uploaded(client.upload(bytes(4 << 20)), 60)
    assert client.wait_uploaded(client.upload(bytes(4 << 20)), 60).sent_bytes == 4 << 20
    assert len(chunks) == 8


CLIP = ClipSpec(video=Media(kind="video", blobs=(BlobRef(sha256="0" * 64, size=1),)),
                depth=Media(kind="npz", blobs=(BlobRef(sha256="1" * 64, size=1),)))  # fmt: skip
OF_1_1 = {
    "a depth channel": {"clip": replace(CLIP, depth_channel="Z")},
    "sequences of other pictures than PNG": {"clip": replace(CLIP, video=replace(CLIP.video, kind="image_sequence"))},
    "painted thickness": {"mesh": MeshSpec(thickness=CLIP.video.blobs[0])},
    "background from other frames": {"mesh": MeshSpec(options=MeshOptions(mode="solid", other_frames=True))},
    "": {},
}
MEMORY = MeshSpec(options=MeshOptions(mode="solid", other_frames=True, world_memory=True))
OF_1_2 = {"world memory": Generate(clip=CLIP, trajectory=MOVE, engine="preview", mesh=MEMORY)}


@pytest.mark.parametrize(("minor", "what"), [(n, what) for n in (0, 1) for what in OF_1_1] + [(1, *OF_1_2)])
def test_what_an_older_server_would_leave_out_is_not_sent(serve, client_of, what, minor):
    """An older server would ignore the field and give a wrong result; what it knows it is given as before."""
    data = serve(lambda r: raw(m.Attached(), r.header.id))
    sent: list[object] = []

    def answer(received):
        message = received.message
        if isinstance(message, m.Hello):
            port = int(data.rpartition(":")[2])
            return raw(m.Welcome(session="s", data_port=port, server_id="x", minor=minor), received.header.id)
        if isinstance(message, m.HaveBlobs):
            return raw(m.BlobsMissing(), received.header.id)
        if isinstance(message, m.SubmitJob):
            sent.append(message.request)
            state = m.JobState(job_id=message.job_id, phase="done")
            return raw(m.JobAccepted(state=state), received.header.id)
        return raw(m.Pong(), received.header.id)

    client = client_of(serve(answer))
    client.wait_connected(60)
    request = OF_1_2[what] if what in OF_1_2 else BuildMesh(**{"clip": CLIP, **OF_1_1[what]})
    job = client.submit(request, fetch=False)
    since = 2 if what in OF_1_2 else 1
    if minor >= since or not what:
        assert client.wait_job(job, 60).phase == "done" and sent == [request]
        return
    rejected = client.wait_for(lambda e: isinstance(e, JobRejected), 60)
    assert (rejected.code, rejected.remedy) == ("backend_too_old", update_backend())
    assert rejected.message == f"The backend speaks protocol 1.{minor} and would leave out {what}, new in 1.{since}."
    with pytest.raises(RequestRefused) as caught:
        client.wait_job(job, 60)
    assert caught.value.code == "backend_too_old" and caught.value.text("panel").endswith("update the backend.")
    assert not sent


def test_every_name_of_what_is_new_is_a_field_there_is():
    from ex4d_ground import options
    from ex4d_protocol import messages, minors, requests

    for what in minors.NEW:
        owner, _, field = what.partition("=")[0].partition(".")
        struct = getattr(requests, owner, None) or getattr(messages, owner, None) or getattr(options, owner)
        assert not field or field in struct.__struct_fields__, what


DROPPED = """
import gc, sys
from ex4d_protocol.client import Client
for _ in range(3):
    client = Client(sys.argv[1], client_name="test")
    client.connect()
    client.poll(0.1)
    del client
    gc.collect()
"""


def test_a_client_that_nobody_closed_holds_up_nobody():
    """Its sockets are freed in any order with its context, which waits for them."""
    command = [sys.executable, "-W", "ignore", "-c", DROPPED, "tcp://127.0.0.1:9"]
    assert subprocess.run(command, timeout=120, check=False).returncode == 0


def test_an_older_server_gets_guides_and_live_views_of_a_moving_camera_in_its_own_words(serve, client_of):
    """What it draws is the same; what it could not draw the same is reported, and not sent."""
    data = serve(lambda r: raw(m.Attached(), r.header.id))
    sent: list[object] = []

    def answer(received):
        message = received.message
        if isinstance(message, m.Hello):
            port = int(data.rpartition(":")[2])
            return raw(m.Welcome(session="s", data_port=port, server_id="x", minor=2), received.header.id)
        if isinstance(message, m.HaveBlobs):
            return raw(m.BlobsMissing(), received.header.id)
        if isinstance(message, m.SubmitJob):
            sent.append(message.request)
            return raw(m.JobAccepted(state=m.JobState(job_id=message.job_id, phase="done")), received.header.id)
        if isinstance(message, m.LiveView):
            sent.append(message)
            return raw(m.LiveCoverage(view="v", sequence=1, done=True), received.header.id)
        return raw(m.Pong(), received.header.id)

    client = client_of(serve(answer))
    client.wait_connected(60)
    guides = RenderGuides(clip=FILMED, trajectory=MOVE)
    client.wait_job(client.submit(guides, fetch=False), 60)
    asked = client.live(m.LiveView(view="v", sequence=1, clip=FILMED, trajectory=MOVE))
    client.wait_for(lambda e: isinstance(e, LiveAnswer) and e.request_id == asked, 60)
    job, live = sent
    assert isinstance(job, RenderGuides) and isinstance(live, m.LiveView)
    assert job == minors.adapted(guides, OLD) and job.clip.source_camera is None
    assert live.trajectory == job.trajectory and live.clip == job.clip
    asked = client.live(m.LiveView(view="v", sequence=2, clip=ZOOMED, trajectory=MOVE))
    failed = client.wait_for(lambda e: isinstance(e, RequestFailed) and e.request_id == asked, 60)
    assert failed.error.code == "backend_too_old" and "how the filming camera moved" in failed.error.message
    assert len(sent) == 2


def test_a_live_view_of_what_an_older_server_would_leave_out_is_reported_and_not_sent(serve, client_of):
    data = serve(lambda r: raw(m.Attached(), r.header.id))
    asked: list[m.LiveView] = []

    def answer(received):
        message = received.message
        if isinstance(message, m.Hello):
            port = int(data.rpartition(":")[2])
            return raw(m.Welcome(session="s", data_port=port, server_id="x", minor=1), received.header.id)
        if isinstance(message, m.LiveView):
            asked.append(message)
            return raw(m.LiveCoverage(view="v", sequence=1, done=True), received.header.id)
        return raw(m.Pong(), received.header.id)

    client = client_of(serve(answer))
    client.wait_connected(60)
    number = client.live(m.LiveView(view="v", sequence=1, clip=FILMED, trajectory=MOVE, mesh=MEMORY))
    failed = client.wait_for(lambda e: isinstance(e, RequestFailed) and e.request_id == number, 60)
    assert failed.error.code == "backend_too_old"
    for what in ("world memory", "how the filming camera moved"):
        assert what in failed.error.message
    number = client.live(m.LiveView(view="v", sequence=2, clip=CLIP, trajectory=MOVE, mesh=MEMORY))
    client.wait_for(lambda e: isinstance(e, LiveAnswer) and e.request_id == number, 60)
    assert [view.mesh.options.world_memory for view in asked] == [False]


def test_the_reason_of_a_failed_job_counts_and_not_that_an_item_of_it_is_lost(serve, client_of):
    job_id, reason = "a" * 32, "The backend ended 2 times while this job ran; it was not started again."

    def deliver(received):
        message = received.message
        if isinstance(message, m.GetResults):
            text = f"Item 0 of job {job_id} cannot be read (No such file or directory)."
            lost = m.ErrorReply(code="item_damaged", message=text, detail="item 0", job_id=job_id)
            end = m.ResultsEnd(job_id=job_id, items=1, phase="failed")
            return [raw(lost, received.header.id), raw(end, received.header.id)]
        return raw(m.Attached(), received.header.id)

    data = serve(deliver)

    def answer(received):
        message = received.message
        if isinstance(message, m.Hello):
            port = int(data.rpartition(":")[2])
            return raw(m.Welcome(session="s", data_port=port, server_id="x", minor=3), received.header.id)
        if isinstance(message, m.GetJob):
            return raw(m.JobState(job_id=job_id, phase="failed", items=1, message=reason), received.header.id)
        return raw(m.Pong(), received.header.id)

    client = client_of(serve(answer))
    client.wait_connected(60)
    client.follow(job_id)
    with pytest.raises(JobFailed, match="ended 2 times"):
        client.wait_job(job_id, 120)
