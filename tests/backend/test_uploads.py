from __future__ import annotations

import errno
import hashlib
import os
import queue
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from backend.conftest import until
from ex4d_backend.blobs import BlobStore
from ex4d_backend.uploads import FLUSHED_BYTES, Settled, Uploads
from ex4d_ground.errors import OutputError
from ex4d_protocol import messages as m
from ex4d_protocol.base import MAX_CHUNK_BYTES
from ex4d_protocol.errors import RequestRefused, UploadFailed
from ex4d_protocol.events import RequestFailed, Uploaded, UploadError, UploadProgress
from ex4d_protocol.requests import BlobRef


def content(size: int, seed: int) -> bytes:
    block = hashlib.sha256(str(seed).encode()).digest()
    return (block * (size // 32 + 1))[:size]


def test_the_same_bytes_are_sent_once_whoever_sends_them(client, connect, backend, tmp_path):
    data = content(5 << 20, 1)
    first = client.wait_uploaded(client.upload(data, name="a.bin"), 120)
    assert first.sent_bytes == len(data)
    path = tmp_path / "same.bin"
    path.write_bytes(data)
    again = client.wait_uploaded(client.upload(path), 120)
    assert again.sent_bytes == 0
    other = connect(backend)
    assert other.wait_uploaded(other.upload(path), 120).sent_bytes == 0
    assert first.ref.sha256 == again.ref.sha256 == hashlib.sha256(data).hexdigest()


def test_an_upload_goes_on_where_it_stopped(client, connect, backend):
    data = content(64 << 20, 2)
    upload = client.upload(data)
    client.wait_for(lambda e: isinstance(e, UploadProgress) and e.stage == "send" and e.done >= 3 << 20, 120)
    client.close()
    later = connect(backend, client_id=client.client_id)
    resumed = later.wait_uploaded(later.upload(data), 120)
    assert resumed.ref == upload.ref
    assert 0 < resumed.sent_bytes <= len(data) - (3 << 20)


def test_two_clients_may_send_the_same_blob_at_once(client, connect, backend):
    data = content(8 << 20, 3)
    other = connect(backend)
    mine, theirs = client.upload(data), other.upload(data)

    def both_arrived():
        client.poll()
        other.poll()
        return mine.at_server and theirs.at_server

    until(both_arrived)


class Direct:
    """Uploads without a server around them, whose loop is :meth:`send`."""

    def __init__(self, folder: Path) -> None:
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self.settled: list[Settled] = []
        self.errors: list[str] = []
        self.store = BlobStore(folder, post=self.calls.put, clock=time.monotonic)
        self.uploads = Uploads(
            self.store,
            blob_bytes=1 << 40,
            check_room=lambda *_: None,
            post=self.calls.put,
            on_settled=self.settled.append,
        )

    def send(self, data: bytes, offset: int, end: int) -> int:
        """Send chunks up to ``end`` or the first error, each when the last is written; what there is of it now."""
        digest, view = hashlib.sha256(data).hexdigest(), memoryview(data)
        told: list[int] = []

        def stored(have: int, error: OutputError | None) -> None:
            told.append(have)
            self.errors += [str(error)] if error else []

        failed = len(self.errors)
        while offset < end and len(self.errors) == failed:
            assert self.uploads.put("me", digest, len(data), offset, view[offset : offset + (1 << 20)], stored) is None
            self.calls.get(timeout=60)()
            offset = told[-1]
        return offset

    def end(self) -> Settled:
        """What became of the one that is whole."""
        while not self.settled:
            self.calls.get(timeout=60)()
        return self.settled[0]


@pytest.fixture
def direct(tmp_path) -> Iterator[Direct]:
    made = Direct(tmp_path)
    yield made
    made.uploads.close()
    made.store.close()


def test_what_the_disk_says_once_while_the_rest_comes_is_not_lost(direct, monkeypatch, caplog):
    """Linux tells an error of writing back to whom asks first, and what it concerns may be any byte before it."""
    flushed = threading.Event()

    def flush(path: Path) -> None:
        monkeypatch.setattr("ex4d_backend.uploads.flush_file", lambda path: None)
        flushed.set()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("ex4d_backend.uploads.flush_file", flush)
    data = content(3 * FLUSHED_BYTES, 9)
    assert direct.send(data, 0, FLUSHED_BYTES) == FLUSHED_BYTES
    assert flushed.wait(60)
    assert direct.send(data, FLUSHED_BYTES, len(data)) == 0, "no byte of it is known to be there"
    assert len(direct.errors) == 1 and "Input/output error" in direct.errors[0]
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
        f"an upload cannot be kept: {direct.errors[0]}"
    ]
    assert direct.send(data, 0, len(data)) == len(data)
    assert direct.end().error == "" and len(direct.errors) == 1


def test_an_error_of_the_disk_after_the_last_byte_drops_the_upload(direct, monkeypatch):
    whole = threading.Event()

    def flush(path: Path) -> None:
        monkeypatch.setattr("ex4d_backend.uploads.flush_file", lambda path: None)
        assert whole.wait(60)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("ex4d_backend.uploads.flush_file", flush)
    data = content(2 * FLUSHED_BYTES, 10)
    direct.send(data, 0, len(data))
    whole.set()
    assert "Input/output error" in direct.end().error
    assert not direct.store.has(hashlib.sha256(data).hexdigest(), len(data))


def test_an_upload_that_is_being_flushed_is_not_given_up(direct, tmp_path, monkeypatch):
    """Windows removes no file that another thread has open: it would stay, counted by nobody."""
    goes_on = threading.Event()
    monkeypatch.setattr("ex4d_backend.uploads.flush_file", lambda path: goes_on.wait(60))
    direct.send(content(2 * FLUSHED_BYTES, 11), 0, FLUSHED_BYTES)
    direct.uploads.expire(-1.0)
    parts = list((tmp_path / "partial").iterdir())
    assert len(parts) == 1
    goes_on.set()

    def given_up() -> bool:
        direct.uploads.expire(-1.0)
        return not parts[0].exists()

    until(given_up)


def _become_a_folder(part: Path) -> None:
    part.unlink()
    part.mkdir()


@pytest.mark.parametrize(
    "touch",
    [
        pytest.param(Path.unlink, id="removed"),
        pytest.param(lambda part: os.truncate(part, 100), id="cut"),
        pytest.param(_become_a_folder, id="a folder"),
        pytest.param(lambda part: shutil.rmtree(part.parent), id="all of them"),
    ],
)
@pytest.mark.parametrize("sent", [2 << 20, 4 << 20], ids=["amid", "after the last byte"])
def test_a_part_that_somebody_touches_never_counts_as_whole(direct, tmp_path, touch, sent):
    data = content(4 << 20, 12)
    digest = hashlib.sha256(data).hexdigest()
    goes_on = threading.Event()
    direct.uploads._finisher.submit(goes_on.wait, 60)  # what is whole is not looked at yet
    have = direct.send(data, 0, sent)
    touch(next((tmp_path / "partial").iterdir()))
    goes_on.set()
    if sent < len(data):
        have = direct.send(data, have, len(data))
        assert "removed or changed" in direct.errors[0] and have <= 100
        direct.send(data, have, len(data))
        assert direct.end().error == ""
        assert hashlib.sha256(direct.store.path(digest).read_bytes()).hexdigest() == digest
    else:
        assert "removed or changed" in direct.end().error
        assert not direct.store.has(digest, len(data)) and not direct.store.path(digest).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process, as Linux can")
def test_an_upload_goes_on_when_the_server_may_open_files_again(make_backend, connect):
    """The threads could not even tell the loop that they had failed: the upload stayed broken, its bytes counted."""
    server = make_backend().start()
    client, process = connect(server), psutil.Process(server.process.pid)
    until(lambda: client.poll() is not None and client.capabilities.engines)
    most, data = process.num_fds() + 2, content(40 << 20, 13)
    usual = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (most, usual[1]))
    host, port = server.address.removeprefix("tcp://").rsplit(":", 1)
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(socket.create_connection((host, int(port))))
        until(lambda: process.num_fds() >= most)
        with pytest.raises(RequestRefused, match="Too many open files"):
            client.wait_uploaded(client.upload(data), 120)
    process.rlimit(psutil.RLIMIT_NOFILE, usual)
    for _ in range(2):
        assert client.wait_uploaded(client.upload(data), 120).at_server
        data = content(40 << 20, 14)


def test_an_empty_file_can_be_uploaded(client, tmp_path):
    path = tmp_path / "empty"
    path.touch()
    assert client.wait_uploaded(client.upload(path), 120).ref.size == 0


def test_a_file_that_changes_while_it_is_sent_is_refused(client, tmp_path):
    path = tmp_path / "changing.bin"
    path.write_bytes(content(6 << 20, 4))
    upload = client.upload(path)
    while not upload.hashed:
        client.poll()
    path.write_bytes(content(6 << 20, 5))
    with pytest.raises(RequestRefused, match="changed while it was uploaded"):
        client.wait_uploaded(upload, 120)


def test_a_file_that_cannot_be_read_is_named(client, tmp_path):
    with pytest.raises(UploadFailed, match=r"nothing\.mp4"):
        client.upload(tmp_path / "nothing.mp4")
    with pytest.raises(UploadFailed, match="is not a file"):
        client.upload(tmp_path)
    path = tmp_path / "shrinks.bin"
    path.write_bytes(content(3 << 20, 6))
    upload = client.upload(path)
    path.write_bytes(b"")
    event = client.wait_for(lambda e: isinstance(e, UploadError), 120)
    assert "shorter" in event.message and upload.error


def test_hashing_a_large_file_never_makes_a_long_tick(client):
    upload = client.upload(content(64 << 20, 7))
    ticks = 0
    while not upload.hashed:
        client.poll(0.002)
        ticks += 1
    assert ticks >= 10


def test_a_blob_beyond_the_limit_is_refused_before_it_is_stored(make_backend, connect):
    server = make_backend(environment={"EX4D_BACKEND_BLOB_BYTES": "1000000"}).start()
    client = connect(server)
    with pytest.raises(RequestRefused, match="larger than this backend takes"):
        client.wait_uploaded(client.upload(content(1_000_001, 8)), 120)
    assert client.wait_uploaded(client.upload(content(1_000_000, 9)), 120).at_server


def test_a_full_disk_or_quota_refuses_uploads_and_jobs(make_backend, connect, clip_files):
    server = make_backend(environment={"EX4D_BACKEND_STORAGE_BYTES": "2000000"}).start()
    client = connect(server)
    assert client.wait_uploaded(client.upload(content(1_500_000, 120)), 120).at_server
    with pytest.raises(RequestRefused, match="quota"):
        client.wait_uploaded(client.upload(content(900_000, 11)), 120)
    assert client.ask(m.GetHealth()).blob_bytes == 1_500_000


def test_chunks_that_do_not_fit_change_nothing(client):
    data = content(3000, 12)
    ref = BlobRef(sha256=hashlib.sha256(data).hexdigest(), size=3000)
    got: list[m.ChunkAck] = []
    client._uploads.take_ack = lambda ack, _: got.append(ack)

    def put(offset: int, part: bytes, size: int = 3000) -> None:
        client.connection.data.send(
            m.PutChunk(sha256=ref.sha256, size=size, offset=offset), request_id=99, blobs=[part]
        )

    put(1000, data[1000:2000])  # a gap
    put(0, data[:1000])
    put(0, data[:1000])  # replayed
    put(1000, data[1000:] + b"beyond")
    put(1000, data[1000:])
    until(lambda: client.poll() is not None and any(a.complete for a in got))
    assert [a.received for a in got if not a.complete] == [0, 1000, 1000, 1000, 3000]
    assert client.ask(m.HaveBlobs(blobs=(ref,))).missing == ()


def test_a_chunk_above_the_limit_is_answered_and_not_stored(client):
    data = bytes(MAX_CHUNK_BYTES + 1)
    frames = [b"EX4D\x01", *__import__("ex4d_protocol.framing", fromlist=["x"]).encode(m.Ping(), request_id=5)[1:]]
    client.connection.data._socket.send_multipart([*frames, data])
    client.poll()
    assert isinstance(client.ask(m.GetHealth()), m.Health)


def test_uploads_report_progress_to_their_end(client):
    upload = client.upload(content(4 << 20, 13), name="film.mp4")
    events = []
    client.wait_for(lambda e: events.append(e) or isinstance(e, Uploaded), 120)
    for stage in ("hash", "send"):
        steps = [e.done for e in events if isinstance(e, UploadProgress) and e.stage == stage]
        assert steps == sorted(steps) and steps[-1] == upload.size
    assert not [e for e in events if isinstance(e, RequestFailed)]
