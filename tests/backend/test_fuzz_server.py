from __future__ import annotations

import random

import psutil
import pytest
import zmq
from protocol.mutations import stream

from backend.peers import ask_what_loads
from ex4d_protocol import framing
from ex4d_protocol import messages as m

BATCH = 250
ENVIRONMENT = {"EX4D_BACKEND_REQUESTS_PER_S": "1e9"}  # so that nothing is spared by the rate limit


class Attacker:
    """Two raw sockets with a real session behind them, so that damaged messages reach every handler."""

    def __init__(self, context: zmq.Context, address: str):
        self.control, self.data = (context.socket(zmq.DEALER) for _ in range(2))
        for socket in (self.control, self.data):
            socket.setsockopt(zmq.LINGER, 2000)
            socket.setsockopt(zmq.SNDHWM, 0)
        self.control.connect(address)
        hello = m.Hello(client_id="fuzz-client-0001", client_name="fuzz")
        welcome = self.ask(self.control, hello)
        self.data.connect(f"{address.rpartition(':')[0]}:{welcome.data_port}")
        assert isinstance(self.ask(self.data, m.Attach(session=welcome.session)), m.Attached)

    @staticmethod
    def ask(socket: zmq.Socket, message):
        socket.send_multipart(framing.encode(message, request_id=7))
        while True:
            assert socket.poll(60_000), "the server does not answer"
            received = framing.decode(socket.recv_multipart(), framing.SERVER_DECODERS)
            if received.header.reply_to == 7:
                return received.message

    def drain(self) -> None:
        """Read what came, each of it a whole message of the protocol."""
        for socket in (self.control, self.data):
            while socket.poll(0):
                framing.decode(socket.recv_multipart(), framing.SERVER_DECODERS)


def attack(backend, seed: int, count: int) -> None:
    """``count`` damaged messages to both sockets; a new session every few hundred."""
    messages = stream(seed, count, to_server=True)
    for _ in range(count // BATCH):
        with zmq.Context() as context:
            attacker = Attacker(context, backend.address)
            for i in range(BATCH):
                (attacker.control if i % 2 else attacker.data).send_multipart(next(messages))
                attacker.drain()
            with context.socket(zmq.DEALER) as after:
                after.linger = 0
                after.connect(backend.address)
                assert isinstance(Attacker.ask(after, m.Hello(client_id="fuzz-client-0002")), m.Welcome), seed
            attacker.control.close()
            attacker.data.close()


def own_memory(pid: int) -> int:
    """Without the pages of libraries, which come when they are first needed."""
    memory = psutil.Process(pid).memory_info()
    return memory.rss - memory.shared


def fuzz(make_backend, connect, seed: int, count: int) -> None:
    print(f"seed {seed}")
    server = make_backend(environment=ENVIRONMENT).start()
    ask_what_loads(connect(server).ask)
    attack(server, seed, 2 * BATCH)
    before = own_memory(server.process.pid)
    attack(server, seed + 1, count)
    grown = own_memory(server.process.pid) - before
    print(f"grown by {grown >> 20} MiB")
    assert grown < 48 << 20, seed
    assert isinstance(connect(server).ask(m.GetHealth()), m.Health)
    assert "could not be handled" not in server.output(), f"seed {seed}: {server.output()[-3000:]}"
    assert server.stop() == 0


def test_damaged_messages_leave_a_real_server_standing(make_backend, connect):
    fuzz(make_backend, connect, random.SystemRandom().randrange(1 << 30), 1500)


@pytest.mark.slow
def test_twenty_thousand_damaged_messages_leave_a_real_server_standing(make_backend, connect):
    fuzz(make_backend, connect, random.SystemRandom().randrange(1 << 30), 20_000)
