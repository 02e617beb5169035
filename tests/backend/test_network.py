"""Two network namespaces joined by a cable: what a server says to clients of another machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest
import zmq

from backend.conftest import until
from ex4d_backend.keys import KeyRing

SERVER_IP, CLIENT_IP = "10.213.77.1", "10.213.77.2"
CLIENT = """
import sys
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.events import Connected, Disconnected

address, *keys = sys.argv[1:]
server, public, secret = (key.encode() for key in keys) if keys else (None, None, None)
client = Client(address, server_key=server, keypair=(public, secret) if public else None)
client.connect()
first = client.wait_for(lambda e: isinstance(e, (Connected, Disconnected)), 120)
if isinstance(first, Connected):
    print("connected", type(client.ask(m.GetHealth())).__name__)
else:
    print("refused:", first.reason)
client.close()
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def two_machines() -> Iterator[tuple[str, str]]:
    """Names of two namespaces that reach each other and nothing else."""
    if sys.platform != "linux":
        pytest.skip("needs Linux network namespaces")
    server, client = f"ex4d-server-{os.getpid()}", f"ex4d-client-{os.getpid()}"
    made = run("ip", "netns", "add", server)
    if made.returncode:
        pytest.skip(f"network namespaces cannot be made here ({made.stderr.strip()}); run as root with iproute2")
    try:
        for step in (
            f"ip netns add {client}",
            f"ip link add ex4d0 netns {server} type veth peer name ex4d1 netns {client}",
            f"ip -n {server} addr add {SERVER_IP}/24 dev ex4d0",
            f"ip -n {client} addr add {CLIENT_IP}/24 dev ex4d1",
            f"ip -n {server} link set ex4d0 up",
            f"ip -n {client} link set ex4d1 up",
            f"ip -n {server} link set lo up",
        ):
            done = run(*step.split())
            if done.returncode:
                pytest.skip(f"'{step}' is not permitted here ({done.stderr.strip()})")
        yield server, client
    finally:
        run("ip", "netns", "del", client)
        run("ip", "netns", "del", server)


def test_another_machine_gets_in_with_an_allowed_key_only(two_machines, tmp_path):
    server_side, client_side = two_machines
    data, port_file, log = tmp_path / "data", tmp_path / "port", tmp_path / "log"
    ring = KeyRing(data)
    allowed = tomllib.loads(ring.new("workstation"))
    command = ["ip", "netns", "exec", server_side, sys.executable, "-m", "ex4d_backend", "--device", "cpu"]
    command += ["--address", f"tcp://{SERVER_IP}:auto", "--data-dir", str(data), "--port-file", str(port_file)]
    plain = run(*command)
    assert plain.returncode == 2 and "refused without encryption" in plain.stderr
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, "EX4D_BACKEND_CURVE": "true"}, stdout=output, stderr=output
        )
    try:
        until(lambda: port_file.exists() or process.poll() is not None, 120)
        address = port_file.read_text().strip()

        def connect(*keys: str) -> str:
            return run("ip", "netns", "exec", client_side, sys.executable, "-c", CLIENT, address, *keys).stdout

        own = (allowed["server_key"], allowed["public_key"], allowed["secret_key"])
        assert connect(*own) == "connected Health\n"
        stranger = [key.decode() for key in zmq.curve_keypair()]
        assert "refused this client's key" in connect(allowed["server_key"], *stranger)
        assert "if it is encrypted, this client needs its key" in connect()
        ring.revoke("workstation")
        assert "refused this client's key" in connect(*own)
    finally:
        process.terminate()
        process.wait(120)


def test_a_loopback_server_cannot_be_reached_from_another_machine(two_machines, tmp_path):
    server_side, client_side = two_machines
    port_file = tmp_path / "port"
    command = ["ip", "netns", "exec", server_side, sys.executable, "-m", "ex4d_backend", "--device", "cpu"]
    command += ["--address", "tcp://127.0.0.1:auto", "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen([*command, "--port-file", str(port_file)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: port_file.exists() or process.poll() is not None, 120)
        port = port_file.read_text().strip().rpartition(":")[2]
        said = run("ip", "netns", "exec", client_side, sys.executable, "-c", CLIENT, f"tcp://{SERVER_IP}:{port}").stdout
        assert said.startswith("refused: No backend at")
    finally:
        process.terminate()
        process.wait(120)
