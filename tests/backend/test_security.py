from __future__ import annotations

import socket
import stat
import tomllib

import pytest
import zmq

from backend.conftest import FRAMES, HEIGHT, WIDTH, poses, until
from ex4d_backend.client_errors import without_paths
from ex4d_backend.keys import KeyRing
from ex4d_ground.errors import InputError
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.errors import ConnectionFailed, JobFailed, RequestRefused
from ex4d_protocol.events import Disconnected
from ex4d_protocol.requests import BuildMesh, RenderGuides


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """An encrypted server."""
    from backend.conftest import Backend

    server = Backend(tmp_path_factory.mktemp("encrypted") / "data", environment={"EX4D_BACKEND_CURVE": "true"})
    server.start()
    yield server
    server.stop()


def new_key(server, name: str) -> dict:
    keys = {k: v.encode() for k, v in tomllib.loads(KeyRing(server.data_dir).new(name)).items()}
    return {"server_key": keys["server_key"], "keypair": (keys["public_key"], keys["secret_key"])}


def refused(address: str, **keys) -> str:
    client = Client(address, **keys)
    client.connect()
    try:
        return client.wait_for(lambda e: isinstance(e, Disconnected), 120).reason
    finally:
        client.close()


def test_an_allowed_key_may_work_and_owns_its_jobs(encrypted, connect, send_clip):
    keys = new_key(encrypted, "alice")
    client = connect(encrypted, **keys)
    job = client.submit(RenderGuides(clip=send_clip(client), trajectory=poses(3)))
    assert client.wait_job(job, 120).items == 7
    again = connect(encrypted, **keys)
    assert [s.job_id for s in again.ask(m.ListJobs()).jobs] == [job]
    other = connect(encrypted, **new_key(encrypted, "bob"), client_id=client.client_id)
    assert other.ask(m.ListJobs()).jobs == ()


def test_a_refused_key_and_a_silent_server_are_told_apart(encrypted, unused_address):
    server_key = KeyRing(encrypted.data_dir).server_pair()[0]
    stranger = Client(encrypted.address, client_name="test", server_key=server_key, keypair=zmq.curve_keypair())
    nobody = Client(unused_address, client_name="test")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mute = Client(f"tcp://127.0.0.1:{silent.getsockname()[1]}", client_name="test")
        texts = []
        for client in (stranger, nobody, mute):
            client.connect()
            if client is not mute:
                client.wait_for(lambda e: isinstance(e, Disconnected), 120)
            with pytest.raises(ConnectionFailed) as failed:
                client.wait_connected(0.2)
            texts.append(failed.value.text("cli"))
            client.close()
    assert "refused this client's key" in texts[0] and "start one" not in texts[0]
    assert "nothing answers there; start one with 'ex4d-backend'" in texts[1]
    assert "what is there is silent" in texts[2] and len(set(texts)) == 3


def test_unknown_keys_and_plain_clients_are_refused(encrypted):
    server_key = KeyRing(encrypted.data_dir).server_pair()[0]
    assert "refused this client's key" in refused(encrypted.address, server_key=server_key)
    assert "handshake failed" in refused(encrypted.address, server_key=zmq.curve_keypair()[0])
    assert "if it is encrypted, this client needs its key" in refused(encrypted.address)


def test_a_revoked_key_is_shut_out_while_it_is_connected(encrypted, connect):
    client = connect(encrypted, **new_key(encrypted, "carol"))
    assert isinstance(client.ask(m.GetHealth()), m.Health)
    KeyRing(encrypted.data_dir).revoke("carol")
    lost = client.wait_for(lambda e: isinstance(e, Disconnected), 120)
    assert "revoked" in lost.reason
    until(lambda: client.poll() is not None and "refused this client's key" in client.connection.last_failure)


def test_a_request_is_answered_when_the_folder_of_keys_is_gone(encrypted, connect):
    """In a sentence of its own, as the answer to the request."""
    client = connect(encrypted, **new_key(encrypted, "dora"))
    answered: list[tuple[str, int]] = []
    client.connection.refused = lambda error, reply_to: bool(answered.append((error.message, reply_to))) or True
    allowed = encrypted.data_dir / "keys" / "allowed"
    allowed.rename(allowed.with_name("away"))

    def answers_a_request() -> bool:
        client.connection.tell(m.GetHealth())
        client.poll(0.05)
        return any(reply_to for _, reply_to in answered)

    try:
        until(answers_a_request)
    finally:
        allowed.with_name("away").rename(allowed)
    [sentence] = {text for text, _ in answered}
    assert sentence == "The backend cannot read which keys it allows, and lets nobody in until it can."


def test_secrets_are_private_and_never_logged(encrypted):
    server_secret = KeyRing(encrypted.data_dir).server_pair()[1].decode()
    assert server_secret not in encrypted.output()
    for path in (encrypted.data_dir / "keys" / "server.key", *(encrypted.data_dir / "keys" / "allowed").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "../up", "a/b", "x" * 65, ".hidden"])
def test_a_key_name_that_could_be_a_path_is_refused(tmp_path, name):
    ring = KeyRing(tmp_path)
    with pytest.raises(InputError):
        ring.new(name)
    with pytest.raises(InputError):
        ring.revoke(name)


def test_a_name_is_given_once(tmp_path):
    ring = KeyRing(tmp_path)
    ring.new("alice")
    with pytest.raises(InputError, match="already"):
        ring.new("alice")
    assert ring.names() == ["alice"]


def test_a_stolen_session_token_is_of_no_use_to_another_socket(backend, connect):
    client = connect(backend)
    thief = connect(backend)
    thief.connection.data.send(m.Attach(session=client.welcome.session), request_id=77)
    until(lambda: (thief.poll() is not None and thief.connection.last_failure != "") or thief.state != "connected")
    assert isinstance(client.ask(m.GetHealth()), m.Health)


def test_a_message_on_the_wrong_socket_is_refused(client):
    with pytest.raises(RequestRefused, match="data socket"):
        client.ask(m.GetResults(job_id="0123456789"))


def test_requests_beyond_the_rate_are_turned_away_and_cancels_never(make_backend, connect, send_clip):
    server = make_backend(environment={"EX4D_BACKEND_REQUESTS_PER_S": "20"}).start()
    client = connect(server)
    clip = send_clip(client)
    refusals: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.connection, "refused", lambda error, _: not refusals.append(error.message))
        for _ in range(200):  # all at once: a slow machine must not give the server time
            client.connection.tell(m.GetHealth())
        until(lambda: client.poll(0.01) is not None and refusals)
    assert "More than 20 requests a second" in refusals[0]
    assert isinstance(client.ask(m.Ping()), m.Pong)
    with pytest.raises(RequestRefused, match="no job"):
        client.ask(m.CancelJob(job_id="0123456789abcdef"))
    job = client.submit(RenderGuides(clip=clip, trajectory=poses(3)))  # the client waits and asks again by itself
    assert client.wait_job(job, 120).phase == "done"
    assert len(client.jobs[job].received) == 7


def test_no_more_clients_than_allowed_are_served(make_backend, connect):
    server = make_backend(environment={"EX4D_BACKEND_CLIENTS": "2"}).start()
    first, _ = connect(server), connect(server)
    assert "serves 2 connections already" in refused(server.address)
    assert isinstance(first.ask(m.GetHealth()), m.Health)


def test_sentences_for_clients_name_files_but_no_folders():
    for text, shown in (
        ("Cannot write /data/jobs/ab12/items-1: the disk is full.", "Cannot write items-1: the disk is full."),
        (r"Cannot read C:\models\wan\vae.pth.", "Cannot read vae.pth."),
        ("~/weights/a.safetensors is missing", "a.safetensors is missing"),
        ("see https://example.org/a/b; 16/9, and/or, 3 / 4", "see https://example.org/a/b; 16/9, and/or, 3 / 4"),
        ("run: ex4d weights get wan", "run: ex4d weights get wan"),
    ):
        assert without_paths(text) == shown


def test_a_clip_that_is_too_large_is_refused_before_it_is_read(make_backend, connect, send_clip):
    server = make_backend(environment={"EX4D_BACKEND_CLIP_PIXELS": str(WIDTH * HEIGHT * FRAMES - 1)}).start()
    client = connect(server)
    clip = send_clip(client)
    with pytest.raises(RequestRefused, match="more than this backend takes"):
        client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(FRAMES))), 120)
    with pytest.raises(JobFailed, match=f"{FRAMES} frames of {WIDTH}x{HEIGHT} are more"):
        client.wait_job(client.submit(BuildMesh(clip=clip)), 120)
