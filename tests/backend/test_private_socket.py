"""Nobody but the server's own processes is heard on its inner socket, and no message on it ends the server."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest
import zmq

from backend.conftest import until
from ex4d_backend.private_socket import KEY_VARIABLE, PrivateSocket, connect_privately

pack = msgspec.msgpack.encode


def _tagged(tag: str, key: str, value: bytes) -> bytes:
    """A message of one kind with a field whose value is these bytes."""
    return b"\x82" + pack("type") + pack(tag) + pack(key) + value


BAD = {
    "a token that is no text": [_tagged("Ready", "token", b"\xa4\xff\xfe\xfd\xfc")],
    "a token of other letters": [_tagged("Ready", "token", pack("é" * 8))],
    "a token of half a letter": [_tagged("Ready", "token", pack("x" * 43))],
    "200,000 lists in each other": [_tagged("Beat", "more", b"\x91" * 200_000 + b"\x01")],
    "a number beyond all": [_tagged("JobProgress", "done", b"\xcf" + b"\xff" * 8)],
    "no message": [b""],
    "no kind": [b"\x80"],
    "another kind": [pack({"type": "Surprise"})],
    "many frames": [b"x"] * 500,
    "news of a job": [pack({"type": "JobEnded", "job_id": "x", "outcome": "done", "message": ""})],
    "eight MiB": [b"\xc6\x00\x80\x00\x00" + bytes(1 << 23)],
}


@pytest.mark.parametrize("curve", [False, True], ids=["plain", "curve"])
def test_no_message_on_the_inner_socket_ends_the_server(make_backend, connect, curve: bool) -> None:
    backend = make_backend(environment={"EX4D_BACKEND_CURVE": "true"} if curve else {}).start()
    [worker] = _workers(backend)
    address = worker.cmdline()[worker.cmdline().index("--server") + 1]
    with zmq.Context() as context:
        for frames in BAD.values():
            socket = context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 2000)
            socket.connect(address)
            socket.send_multipart(frames)
            socket.close()
    time.sleep(0.5)
    assert backend.process.poll() is None, backend.output()
    if not curve:
        client = connect(backend)
        until(lambda: (client.poll(0.05), client.capabilities.engines)[1], 120)
    assert "Traceback" not in backend.output()


def _workers(backend) -> list[psutil.Process]:
    until(lambda: backend.workers())
    return backend.workers()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the ports")
def test_the_server_listens_on_its_public_ports_alone(make_backend, connect) -> None:
    backend = make_backend().start()
    _workers(backend)
    listening = {c.laddr.port for c in psutil.Process(backend.process.pid).net_connections() if c.status == "LISTEN"}
    client = connect(backend)
    assert listening == {int(backend.address.rpartition(":")[2]), client.welcome.data_port}


@pytest.mark.skipif(os.name != "posix", reason="permissions of files")
def test_the_folder_of_the_socket_is_its_users_alone_and_leaves_with_the_server(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"ex4d-children-{ended.pid}-0"
    left.mkdir()
    with zmq.Context() as context:
        private = PrivateSocket(context)
        assert private.address.startswith("ipc://") and private.folder is not None
        assert stat.S_IMODE(private.folder.stat().st_mode) == 0o700
        assert not left.exists(), "a killed server's folder stays until the next one starts"
        private.close()
        assert not private.folder.exists()


def test_a_path_too_long_for_a_socket_is_not_used(tmp_path, monkeypatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with zmq.Context() as context:
        private = PrivateSocket(context)
        assert str(long) not in private.address
        private.close()


def test_where_it_is_a_port_only_who_knows_the_key_is_heard(monkeypatch) -> None:
    with zmq.Context() as context:
        private = PrivateSocket(context, files=False)
        assert private.address.startswith("tcp://127.0.0.1:")
        strangers = []
        for key in (None, zmq.curve_keypair()[0]):
            stranger = context.socket(zmq.DEALER)
            stranger.setsockopt(zmq.LINGER, 0)
            if key is not None:
                stranger.curve_serverkey = key
                stranger.curve_publickey, stranger.curve_secretkey = zmq.curve_keypair()
            stranger.connect(private.address)
            stranger.send(b"let me in")
            strangers.append(stranger)
        monkeypatch.setenv(KEY_VARIABLE, private.environment[KEY_VARIABLE])
        child = connect_privately(context, private.address)
        assert KEY_VARIABLE not in os.environ
        child.send(b"it is me")
        assert private.socket.poll(60_000)
        assert private.socket.recv_multipart()[1] == b"it is me"
        assert not private.socket.poll(300), "a stranger was heard"
        for socket in (*strangers, child):
            socket.close(0)
        private.close()
        assert not Path(private.address).exists()
