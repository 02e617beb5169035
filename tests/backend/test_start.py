from __future__ import annotations

import os
import socket
import subprocess
import sys

import msgspec
import pytest
import zmq

from ex4d_backend.settings import ServerSettings, load_settings, split_address
from ex4d_ground.errors import SettingError
from ex4d_protocol import framing
from ex4d_protocol import messages as m

TOML = """
address = "tcp://127.0.0.1:7000"
devices = ["cpu"]
cancel_grace_s = 2.5
"""


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ex4d_backend", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=200, check=False, env={**os.environ, **environment}
    )


def one_sentence(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("ex4d-backend: ")
    return lines[0]


def test_a_taken_port_is_one_clear_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = one_sentence(start("--address", f"tcp://127.0.0.1:{port}", "--data-dir", str(tmp_path)))
        config = tmp_path / "backend.toml"
        config.write_text(f"data_address = 'tcp://127.0.0.1:{port}'")
        own = ("--address", "tcp://127.0.0.1:auto", "--data-dir", str(tmp_path))
        of_data = one_sentence(start(*own, "--config", str(config)))
    assert f"Port {port}" in text and "taken" in text and "--address" in text
    assert f"Port {port}" in of_data and "data_address" in of_data and "--address" not in of_data


def test_a_data_folder_that_cannot_be_written_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").touch()
    text = one_sentence(start("--address", "tcp://127.0.0.1:auto", "--data-dir", str(tmp_path / "file" / "data")))
    assert "Cannot write" in text and "file" in text


def test_two_servers_never_share_a_data_folder(backend):
    text = one_sentence(start("--address", "tcp://127.0.0.1:auto", "--data-dir", str(backend.data_dir)))
    assert "Another backend uses" in text


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:7764", "tcp://192.168.1.5:7764", "tcp://*:7764"])
def test_an_open_address_without_encryption_is_refused(address, tmp_path):
    with pytest.raises(SettingError, match="refused without encryption"):
        load_settings(overrides={"address": address}, environment={})
    with pytest.raises(SettingError, match="refused without encryption"):
        load_settings(overrides={"data_address": address}, environment={})


def test_settings_come_from_file_then_environment_then_command_line(tmp_path):
    config = tmp_path / "backend.toml"
    config.write_text(TOML)
    settings = load_settings(
        config,
        environment={"EX4D_BACKEND_CANCEL_GRACE_S": "3.5", "EX4D_BACKEND_DEVICES": "cpu, cuda:1"},
        overrides={"address": "tcp://127.0.0.1:7001", "data_dir": None},
    )
    assert settings.address == "tcp://127.0.0.1:7001"
    assert settings.devices == ("cpu", "cuda:1")
    assert settings.cancel_grace_s == 3.5
    assert settings.queued_jobs == ServerSettings().queued_jobs


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("addr = 'x'", "addr"),
        ("queued_jobs = 0", "queued_jobs"),
        ("queued_jobs = 'many'", "queued_jobs"),
        ("address = 'http://x'", "looks like tcp://"),
        ("log_level = 'loud'", "loud"),
        ("ray_workers_min = 5\nray_workers_max = 2", "raise ray_workers_max"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_bad_setting_names_itself(tmp_path, text, why):
    config = tmp_path / "bad.toml"
    config.write_text(text)
    with pytest.raises(SettingError, match=why):
        load_settings(config, environment={})


def test_check_config_reports_and_starts_nothing(tmp_path):
    config = tmp_path / "backend.toml"
    config.write_text(TOML + f"data_dir = '{tmp_path / 'data'}'\n")
    result = start("--config", str(config), "--check-config")
    assert result.returncode == 0 and "Settings are valid" in result.stdout
    assert not (tmp_path / "data").exists()
    config.write_text("nonsense = 1")
    assert "nonsense" in one_sentence(start("--config", str(config), "--check-config"))
    for devices, why in (("['gpu']", "got 'gpu'"), ("['cuda:0+0']", "twice"), ("[]", "at least one")):
        config.write_text(f"devices = {devices}")
        assert why in one_sentence(start("--config", str(config), "--check-config"))


def test_the_data_folder_may_be_written_as_people_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "backend.toml"
    for written in ("~/backend", "backend", str(tmp_path / "backend")):
        config.write_text(f"data_dir = {written!r}")
        assert load_settings(config, environment={}).folder == tmp_path / "backend"
    config.write_text("data_dir = '~nobody-of-this-name/backend'")
    with pytest.raises(SettingError, match="Nobody's home"):
        load_settings(config, environment={})


def test_addresses_are_parsed():
    assert split_address("tcp://127.0.0.1:auto") == ("127.0.0.1", 0)
    assert split_address("tcp://[::1]:7764") == ("[::1]", 7764)
    for bad in ("127.0.0.1:1", "tcp://:1", "tcp://h", "tcp://h:99999", "tcp://h:²", "ipc:///x:1"):
        with pytest.raises(SettingError):
            split_address(bad)


def test_a_client_of_another_major_is_told_which_side_to_upgrade(backend):
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(backend.address)
        for major, side in ((9, "upgrade the backend"), (0, "upgrade this client")):
            frames = framing.encode(m.Hello(client_id="0123456789"), request_id=4)
            socket.send_multipart([b"EX4D" + bytes([major]), *frames[1:]])
            assert socket.poll(60_000)
            received = framing.decode(socket.recv_multipart(), framing.SERVER_DECODERS)
            assert received.header.reply_to == 4
            assert received.message.code == "incompatible" and side in received.message.message
        socket.send_multipart(framing.encode(m.Hello(client_id="0123456789", major=7), request_id=5))
        assert socket.poll(60_000)
        reply = framing.decode(socket.recv_multipart(), framing.SERVER_DECODERS).message
        assert reply.code == "incompatible" and "upgrade the backend" in reply.message


def test_junk_on_both_sockets_leaves_the_server_standing(backend, connect):
    client = connect(backend)
    with zmq.Context() as context:
        for address in (backend.address, f"tcp://127.0.0.1:{client.welcome.data_port}"):
            with context.socket(zmq.DEALER) as socket:
                socket.linger = 2000
                socket.connect(address)
                for junk in ([b""], [b"GET /"], [b"EX4D\x01"], [b"EX4D\x01", b"\xc1", b""], [b"x"] * 50):
                    socket.send_multipart(junk)
                unknown = framing.Header(type="FromTheFuture", id=8)
                socket.send_multipart([b"EX4D\x01", msgspec.msgpack.encode(unknown), b"\x80"])
                codes = []
                while "unknown_type" not in codes:
                    assert socket.poll(60_000)
                    codes.append(framing.decode(socket.recv_multipart(), framing.SERVER_DECODERS).message.code)
                assert codes.count("bad_message") == 5
    assert isinstance(client.ask(m.GetHealth()), m.Health)


@pytest.mark.parametrize("address", ["tcp://[::1]:auto", "tcp://::1:auto"])
def test_a_backend_on_ipv6_listens_and_is_reached_with_both_sockets(make_backend, connect, clip_files, address):
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    backend = make_backend(address=address).start()
    assert backend.address.startswith("tcp://[::1]:")
    client = connect(backend)
    assert client.wait_uploaded(client.upload(clip_files[0]), 120).at_server
