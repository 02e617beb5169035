"""One hostile client beside a working one: what it makes the server hold is bounded, and so is its hold on a place."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import msgspec
import pytest
import zmq
from zmtp_reset import reset_while_unread

from backend.conftest import poses, until
from backend.peers import ask_what_loads, longest_at_work, ping_times, resident
from ex4d_backend.client_sessions import IDLE_S, ClientSessions
from ex4d_backend.connections import GREET_S, Connection, Connections, number_of
from ex4d_backend.outbox import ALL_UNREAD_BYTES, LATER_BYTES, UNREAD_BYTES, Outbox
from ex4d_backend.turns import ALL_WAITING_BYTES
from ex4d_protocol import framing
from ex4d_protocol import messages as m
from ex4d_protocol.events import LiveAnswer
from ex4d_protocol.requests import RenderGuides

MEBI = 1 << 20


def _preset(frames: int = 10_000) -> m.PresetQuery:
    lens = (500.0, 500.0, 256.0, 256.0)
    return m.PresetQuery(preset="30", num_frames=frames, width=512, height=512, intrinsics=lens, near_depth=1.0)


# --- what is not read -------------------------------------------------------------------------------------


def test_answers_that_nobody_reads_are_bounded_and_others_are_answered(make_backend, make_peer) -> None:
    server = make_backend().start()
    victim, hostile = make_peer(server), [make_peer(server, reads=False) for _ in range(3)]
    ask_what_loads(victim.ask)
    before = resident(server.process.pid)
    for _ in range(100):
        for peer in hostile:
            peer.send(_preset())
            peer.send(m.ListJobs())
    for _ in range(4):
        ping_times(victim, count=40)
        assert isinstance(victim.ask(_preset(49)), m.PresetReply)
    grown = resident(server.process.pid) - before
    print(f"300 answers of 1.7 MB each not read: the server grew by {grown >> 20} MiB")
    assert grown < ALL_UNREAD_BYTES + 3 * 16 * MEBI + 32 * MEBI
    assert longest_at_work(server.output()) < 0.5


def test_an_outbox_holds_back_what_is_large_and_gives_up_who_never_reads() -> None:
    now = 0.0
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as dealer:
        for each in (router, dealer):
            each.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.SNDHWM, 10)
        router.setsockopt(zmq.SNDBUF, 4096)
        dealer.setsockopt(zmq.RCVHWM, 1)
        dealer.setsockopt(zmq.RCVBUF, 4096)
        dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
        dealer.send(b"")
        identity = router.recv_multipart()[0]
        outbox = Outbox(router, clock=lambda: now)
        large = m.JobLog(job_id="a" * 32, text="x" * MEBI)
        sent = 0
        while not outbox.choked(identity):
            outbox.send(identity, large)
            sent += 1
            assert sent < 50
        assert outbox.unread(identity) <= UNREAD_BYTES + MEBI + 1000
        for _ in range(20):
            outbox.send(identity, large)
        assert outbox.pump() == [identity], "more than it may waits for a place"
        outbox.forget(identity)
        assert not outbox.choked(identity) and outbox.pump() == []
        for number in range(40):
            outbox.send(identity, m.ChunkAck(sha256="0" * 64, received=number))
        assert outbox.pump() == []

        def a_minute_later() -> bool:
            nonlocal now
            now += 60
            return outbox.pump() == [identity]

        until(a_minute_later)  # it has not read anything for a minute, once ZeroMQ's own buffers are full
    assert LATER_BYTES < UNREAD_BYTES


def test_what_had_to_wait_arrives_whole_and_in_order() -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as dealer:
        for each in (router, dealer):
            each.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.SNDHWM, 5)
        dealer.setsockopt(zmq.RCVHWM, 1)
        dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
        dealer.send(b"")
        identity = router.recv_multipart()[0]
        outbox = Outbox(router)
        for number in range(5000):
            outbox.send(identity, m.ChunkAck(sha256="0" * 64, received=number))
        came = []
        while len(came) < 5000:
            assert outbox.pump() == []
            while dealer.poll(1):
                frames = dealer.recv_multipart()
                came.append(framing.decode(frames, framing.SERVER_DECODERS).message.received)
        assert came == list(range(5000))


def test_what_was_being_sent_is_bounded_and_given_back(make_backend, make_peer) -> None:
    """Messages that have arrived in part are ZeroMQ's: no more of them than connections, and gone with these."""
    server = make_backend().start()
    until(lambda: server.workers())
    victim = make_peer(server)
    until(lambda: victim.ask(m.GetHealth()).devices[0].worker == "idle")
    ask_what_loads(victim.ask)
    before, peak, body = resident(server.process.pid), 0, bytes(8 * MEBI)
    hostile = [make_peer(server, client_id="h" * 32) for _ in range(24)]
    for _ in range(4):
        for peer in hostile:
            peer.send_raw("SubmitJob", body)
        assert isinstance(victim.ask(m.Ping()), m.Pong)
        peak = max(peak, resident(server.process.pid) - before)
    for peer in hostile:
        peer.close()
    until(lambda: victim.ask(m.GetHealth()).clients == 1)
    until(lambda: resident(server.process.pid) - before < 48 * MEBI)
    left = resident(server.process.pid) - before
    print(f"24 connections sent 96 messages of 8 MiB: the server grew by {peak >> 20} MiB, and {left >> 20} MiB stayed")
    assert peak < 24 * 8 * MEBI + ALL_WAITING_BYTES + 48 * MEBI


def test_who_sends_what_is_refused_without_end_is_disconnected_and_may_come_again(make_backend, make_peer) -> None:
    """Somebody unknown: what a known client sends so slowly, on a busy machine, is taken."""
    server = make_backend().start()
    victim, hostile, body = make_peer(server), make_peer(server, hello=False), bytes(8 * MEBI)

    def cut_off() -> bool:
        for _ in range(3):
            hostile.send_raw("SubmitJob", body)
        assert isinstance(victim.ask(m.Ping()), m.Pong)
        return "goes on sending what is refused" in server.output()

    until(cut_off)
    until(lambda: victim.ask(m.GetHealth()).clients == 1)
    again = make_peer(server, client_id=hostile.client_id)
    assert isinstance(again.ask(m.Ping()), m.Pong) and isinstance(victim.ask(m.Ping()), m.Pong)


# --- places -----------------------------------------------------------------------------------------------


def test_clients_that_left_give_their_places_back_within_seconds(make_backend, make_peer, connect) -> None:
    server = make_backend(environment={"EX4D_BACKEND_CLIENTS": "32"}).start()
    watcher = make_peer(server)
    began = time.monotonic()
    for _ in range(4):
        for _ in range(30):
            client = connect(server)
            client.close()
        until(lambda: watcher.ask(m.GetHealth()).clients == 1, 120)
    print(f"120 clients came and left over 32 places within {time.monotonic() - began:.1f} s")


def test_what_a_client_sent_before_it_left_is_still_done(make_backend, make_peer, connect, send_clip) -> None:
    server = make_backend().start()
    client = connect(server)
    job = client.submit(_guides(send_clip(client)), fetch=False)
    client.wait_for(lambda e: getattr(e, "state", None) is not None and e.state.job_id == job, 120)
    last = make_peer(server, client_id=client.client_id)
    last.control.setsockopt(zmq.LINGER, 2000)
    last.send(m.CancelJob(job_id=job))
    last.control.close()
    last.data.close()
    assert client.wait_for(lambda e: getattr(e, "state", None) is not None and e.state.phase != "queued", 120)


def _guides(clip):
    return RenderGuides(clip=clip, trajectory=poses(4000, step=1e-5))


def test_a_newcomer_takes_the_place_of_who_is_silent_and_not_of_who_works(make_backend, make_peer) -> None:
    server = make_backend(environment={"EX4D_BACKEND_CLIENTS": "8", "EX4D_BACKEND_PING_INTERVAL_S": "0.3"}).start()
    silent = [make_peer(server) for _ in range(8)]  # connected, and never heard of again
    newcomer = make_peer(server, hello=False)
    until(lambda: isinstance(newcomer.ask(newcomer.hello()), m.Welcome), 120)
    assert newcomer.ask(m.GetHealth()).clients == 8
    answers = [peer.ask(m.Ping()) for peer in silent]
    assert sum(not isinstance(answer, m.Pong) for answer in answers) == 1, answers


def _sessions(limit: int) -> ClientSessions:
    return ClientSessions(requests_per_s=100, limit=limit, ping_s=2.0)


def _add(sessions: ClientSessions, name: str, *, address: str = "10.0.0.1", silent_s: float = 0, idle_s: float = 0):
    identity = name.encode()
    session = sessions.open(identity, name, name, "", operator=False)
    session.address = address
    session.heard -= silent_s
    session.asked -= max(silent_s, idle_s)
    return session


def test_places_are_freed_in_order_and_never_of_who_has_jobs() -> None:
    sessions = _sessions(5)
    left = _add(sessions, "left", address="10.0.0.1")
    left.connection = Connection(7, None, 0.0)
    sessions.left({left.connection})
    silent = _add(sessions, "silent", address="10.0.0.2", silent_s=30)
    idle = _add(sessions, "idle", address="10.0.0.3", idle_s=IDLE_S + 50)
    worker = _add(sessions, "worker", address="10.0.0.4", silent_s=100)
    fresh = _add(sessions, "fresh", address="10.0.0.5")
    for number, expected in enumerate((left, silent, idle)):
        name = f"new-{number}"
        assert sessions.has_place(name.encode(), name, "10.0.0.9", working=lambda: {"worker"})
        assert sessions.take_ended() == [expected]
        _add(sessions, name, address="10.0.0.9")
    assert not sessions.has_place(b"more", "more", "10.0.0.9", working=lambda: {"worker"})
    assert sessions.holds(worker) and sessions.holds(fresh)
    assert sessions.has_place(fresh.identity, "fresh", "10.0.0.5", working=lambda: {"worker"}), "it has one"


@pytest.mark.parametrize(("owner", "address"), [("same", ""), ("", "10.0.0.1")], ids=["one owner", "one machine"])
def test_nobody_has_more_than_a_quarter_of_the_places(owner: str, address: str) -> None:
    sessions = _sessions(64)
    for number in range(16):
        session = sessions.open(b"%d" % number, owner or f"o{number}", "", "", operator=False)
        session.address = address or f"10.0.1.{number}"
    assert not sessions.has_place(b"more", owner or "o99", address or "10.0.2.1", working=tuple)
    assert sessions.has_place(b"else", "another", "10.9.9.9", working=tuple)


def test_programs_of_this_machine_are_not_counted_as_one() -> None:
    sessions = _sessions(64)
    for number in range(40):
        _add(sessions, f"o{number}", address="127.0.0.1")
    assert sessions.has_place(b"more", "more", "127.0.0.1", working=tuple)


def test_who_connects_and_never_says_who_it_is_is_disconnected() -> None:
    now = 0.0
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        router = stack.enter_context(context.socket(zmq.ROUTER))
        router.setsockopt(zmq.LINGER, 0)
        connections = Connections(router, "test", clock=lambda: now)
        stack.callback(connections.close)
        address = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        peers = []
        for _ in range(2):
            peer = stack.enter_context(context.socket(zmq.DEALER))
            peer.setsockopt(zmq.LINGER, 0)
            peer.setsockopt(zmq.RECONNECT_IVL, -1)
            peer.connect(address)
            peer.send(b"")
            peers.append((peer, router.recv_multipart(copy=False)[0]))
        connections.ended()
        known = connections.know(peers[0][1])
        stranger = number_of(peers[1][1])
        assert known is not None
        now += GREET_S + 1
        connections.end_strangers()
        gone: set[Connection] = set()
        until(lambda: gone.update(connections.ended()) or gone, 120)
        assert [each.number for each in gone] == [stranger] and known not in gone


def test_connections_that_say_nothing_keep_nobody_out_for_long(make_backend, connect) -> None:
    server = make_backend().start()
    host, port = server.address.removeprefix("tcp://").split(":")
    with ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(socket.create_connection((host, int(port)), 60))
        connect(server)


def test_connections_that_are_reset_while_their_messages_wait_end_alone(make_backend, make_peer) -> None:
    """ZeroMQ's own heartbeats would end the whole process when the next one falls due, within five seconds."""
    server = make_backend().start()
    peer = make_peer(server)
    for _ in range(400):
        reset_while_unread(server.address)
    time.sleep(6)
    assert isinstance(peer.ask(m.Ping(), 60), m.Pong) and server.process.poll() is None


# --- live views -------------------------------------------------------------------------------------------


def test_views_under_ever_new_names_are_bounded_and_anothers_picture_comes(
    make_backend, make_peer, connect, send_clip
) -> None:
    server = make_backend().start()
    client = connect(server)
    clip = send_clip(client)
    own = _picture_of(client, clip)
    assert own is not None
    other = connect(server)
    send_clip(other)
    hostile = make_peer(server, client_id=other.client_id)
    before = resident(server.process.pid)
    for number in range(400):
        view = m.LiveView(
            view=f"v{number}", sequence=number, clip=clip, trajectory=poses(10_000, step=1e-6), picture=number % 2 == 0
        )
        hostile.send(view)
    codes: set[str] = set()
    for _ in range(5):
        assert _picture_of(client, clip) is not None
        codes |= hostile.refusals()
    grown = resident(server.process.pid) - before
    print(f"400 views of 10,000 frames under 400 names: the server grew by {grown >> 20} MiB")
    assert grown < 200 * MEBI
    until(lambda: codes.update(hostile.refusals()) or codes)
    assert codes <= {"rate_limited", "no_session"}, "the latter once it was cut off, or let go because it did not read"
    assert longest_at_work(server.output()) < 0.5


def _picture_of(client, clip):
    number = client.live(m.LiveView(view="mine", sequence=1, clip=clip, trajectory=poses(1)))
    found = client.wait_for(lambda e: isinstance(e, LiveAnswer) and e.request_id == number and e.ended, 120)
    return found.picture


def test_pictures_that_nobody_reads_are_not_made(make_backend, make_peer, connect, send_clip) -> None:
    server = make_backend().start()
    client = connect(server)
    clip = send_clip(client)
    assert _picture_of(client, clip) is not None
    other = connect(server)
    send_clip(other)
    hostile = make_peer(server, client_id=other.client_id, reads=False)
    before = resident(server.process.pid)
    large = poses(10_000, step=1e-6)
    hostile.send(m.LiveView(view="v", sequence=1, clip=clip, trajectory=_sized(large, 1600, 1200)))
    for _ in range(20):
        assert _picture_of(client, clip) is not None
    grown = resident(server.process.pid) - before
    print(f"a view of 10,000 pictures of 7.7 MB not read: the server grew by {grown >> 20} MiB")
    assert grown < 160 * MEBI


def _sized(spec, width: int, height: int):
    return msgspec.structs.replace(spec, width=width, height=height)


def test_the_end_of_a_connection_is_not_the_end_of_the_next_one_with_its_number(make_backend, make_peer) -> None:
    server = make_backend().start()
    for _ in range(5):
        ghosts = [make_peer(server) for _ in range(10)]
        for ghost in ghosts:
            ghost.close()
        time.sleep(0.2)
        newcomers = [make_peer(server) for _ in range(10)]  # the system gives them the same numbers
        time.sleep(1.5)  # by now the sessions of those who left have ended
        assert all(isinstance(peer.ask(m.Ping()), m.Pong) for peer in newcomers)


@pytest.mark.parametrize("job_id", ["the job's", pytest.param("f" * 32, marks=pytest.mark.slow)])
def test_a_flood_of_credit_is_no_more_than_messages(backend, connect, make_peer, send_clip, job_id):
    """Credit is not counted by the rate; it is capped, and for no stream it is nothing."""
    client = connect(backend)
    job = client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(3)), fetch=False)
    client.wait_job(job, 120)
    flooding = make_peer(backend, client_id=client.client_id)
    flooding.send(m.GetResults(job_id=job, credit=1), bulk=True)
    before = resident(backend.process.pid)
    for _ in range(20_000):
        credit = m.Credit(job_id=job if job_id == "the job's" else job_id, more=64, freed=2**53 - 1)
        flooding.data.send_multipart(framing.encode(credit))
    assert isinstance(flooding.ask(m.Ping(), 240, bulk=True), m.Pong)  # after all of them
    assert isinstance(make_peer(backend).ask(m.Ping(), 120), m.Pong)
    assert resident(backend.process.pid) - before < 48 * MEBI
