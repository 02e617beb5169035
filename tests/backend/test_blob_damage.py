"""Uploads that were damaged on disk are noticed, dropped and sent anew, and nobody can stand in another's way."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.conftest import long_job, poses, until
from ex4d_backend.uploads import PARTIALS_EACH
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.errors import JobFailed, RequestRefused
from ex4d_protocol.events import Event, LiveAnswer, RequestFailed, UploadProgress
from ex4d_protocol.requests import BlobRef, MeshEdit, MeshSpec, RenderGuides


def about(data: bytes) -> BlobRef:
    return BlobRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def blobs_of_folder(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs").glob("??/*") if len(path.name) == 64]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def rot(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 8)


def zeros_at_the_end(path: Path) -> None:
    """What a power cut leaves where a size reached the disk before the bytes did."""
    size = path.stat().st_size
    os.truncate(path, size - 50)
    os.truncate(path, size)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_instead(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


DAMAGE = [cut, empty, rot, zeros_at_the_end, longer, Path.unlink, folder_instead, link_instead]


@pytest.fixture(scope="module")
def used(make_module_backend, clip_files) -> Path:
    """The data folder of a killed server that has the clip of one client."""
    server = make_module_backend()
    client = Client(server.address, client_id="owner-of-the-clip")
    client.connect()
    client.wait_connected(120)
    for path in clip_files:
        client.wait_uploaded(client.upload(path), 120)
    client.close()
    server.kill()
    return server.data_dir


@pytest.fixture
def damaged(used, tmp_path) -> Callable[[Callable[[Path], None]], Path]:
    def make(damage: Callable[[Path], None]) -> Path:
        shutil.copytree(used, tmp_path / "data", ignore=shutil.ignore_patterns("lock"))
        found = blobs_of_folder(tmp_path / "data")
        assert len(found) == 2
        for path in found:
            damage(path)
        return tmp_path / "data"

    return make


def test_uploads_damaged_in_every_way_are_sent_again_without_a_word(make_backend, connect, send_clip):
    """All kinds of damage in one data folder, and a job with a clip that has rotted; each kind alone is tried below."""
    server = make_backend().start()
    client = connect(server)
    send_clip(client)
    sent = {damage: os.urandom(3000) for damage in DAMAGE}
    for data in sent.values():
        client.wait_uploaded(client.upload(data), 120)
    client.close()
    server.kill()
    places = {path.name: path for path in blobs_of_folder(server.data_dir)}
    for damage, data in sent.items():
        damage(places.pop(about(data).sha256))
    for path in places.values():  # those of the clip
        rot(path)
    server.start()
    later = connect(server, client_id=client.client_id)
    for data in sent.values():
        assert later.wait_uploaded(later.upload(data), 120).at_server
    clip = send_clip(later)
    assert later.wait_job(later.submit(RenderGuides(clip=clip, trajectory=poses(1))), 120).phase == "done"
    whole = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in blobs_of_folder(server.data_dir)}
    assert len(whole) == len(DAMAGE) + 2 and all(name == digest for name, digest in whole.items())
    assert "Traceback" not in server.output()


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: d.__name__)
def test_a_damaged_upload_is_sent_again_without_a_word(damaged, make_backend, connect, send_clip, damage):
    folder = damaged(damage)
    server = make_backend().start()
    client = connect(server, client_id="owner-of-the-clip")
    clip = send_clip(client)
    assert client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(1))), 120).phase == "done"
    whole = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in blobs_of_folder(folder)}
    assert len(whole) == 2 and all(name == digest for name, digest in whole.items())
    assert "Traceback" not in server.output()


def test_an_upload_damaged_while_the_server_runs_fails_one_job_and_is_sent_again(make_backend, connect, send_clip):
    server = make_backend().start()
    client = connect(server)
    for k, damage in enumerate((cut, empty, Path.unlink)):
        clip = replace(send_clip(client), focal_px=50.0 + k)  # the worker has what it has read in memory
        for path in blobs_of_folder(server.data_dir):
            damage(path)
        with pytest.raises(JobFailed):
            client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(1))), 120)
        again = client.submit(RenderGuides(clip=clip, trajectory=poses(1)))
        assert client.wait_job(again, 120).phase == "done", damage


def test_a_live_view_of_a_file_that_is_gone_or_cut_has_it_sent_again(make_backend, connect, send_clip):
    server = make_backend().start()
    client = connect(server)
    for k, damage in enumerate((cut, empty, Path.unlink)):
        clip = replace(send_clip(client), focal_px=60.0 + k)  # the process has what it has read in memory
        shown = m.LiveView(view="shot", sequence=k, clip=clip, trajectory=poses(1))
        for path in blobs_of_folder(server.data_dir):
            damage(path)

        failed = ended(client, shown)
        assert isinstance(failed, RequestFailed) and failed.error.code == "blob_missing", (damage, failed)
        send_clip(connect(server, client_id=client.client_id))
        assert isinstance(ended(client, shown), LiveAnswer), damage


def ended(client: Client, shown: m.LiveView) -> Event:
    """How a live view ends."""
    request_id = client.live(shown)

    def is_end(event: Event) -> bool:
        if not isinstance(event, RequestFailed | LiveAnswer) or event.request_id != request_id:
            return False
        return isinstance(event, RequestFailed) or event.ended

    return client.wait_for(is_end, 120)


def test_a_waiting_job_whose_file_was_damaged_fails_with_a_sentence_and_the_rest_runs(
    make_backend, connect, send_clip, clip_files
):
    server = make_backend().start()
    client = connect(server)
    clip = send_clip(client)
    faces = client.wait_uploaded(client.upload(bytes(64), name="edits.bin"), 120).ref
    first = client.submit(long_job(clip), fetch=False)
    mesh = MeshSpec(edits=(MeshEdit(frame=0, face_flags=faces),))
    broken = client.submit(RenderGuides(clip=clip, trajectory=poses(1), mesh=mesh), fetch=False)
    sound = client.submit(RenderGuides(clip=clip, trajectory=poses(2)), fetch=False)
    until(lambda: client.poll(0.01) is not None and all(client.jobs[j].submitted for j in (first, broken, sound)))
    client.close()
    server.kill()
    cut(next(path for path in blobs_of_folder(server.data_dir) if path.name == faces.sha256))
    server.start()
    later = connect(server, client_id=client.client_id)
    for job in (broken, sound):
        later.follow(job, fetch=False)
    later.ask(m.CancelJob(job_id=first))
    assert later.wait_job(sound, 120).phase == "done"
    with pytest.raises(JobFailed, match=r"edits\.bin was lost or damaged"):
        later.wait_job(broken, 120)


def test_another_size_for_the_same_digest_stands_in_nobodys_way(make_backend, connect):
    """Neither before the upload, nor after it, nor over a restart."""
    server = make_backend().start()
    data = os.urandom(3 << 20)
    ref = about(data)
    attacker = connect(server, client_id="attacker-0001")
    acks: list[m.ChunkAck] = []
    attacker._uploads.take_ack = lambda ack, _: acks.append(ack)
    attacker._uploads.refused = lambda error, _: bool(acks.append(error)) or True

    def announce() -> None:
        before = len(acks)
        for size in (1, len(data) - 1, len(data) + 1, 1 << 33):
            attacker.connection.data.send(m.PutChunk(sha256=ref.sha256, size=size, offset=0), blobs=[b"x"])
        until(lambda: attacker.poll() is not None and len(acks) >= before + 4)

    announce()
    client = connect(server)
    assert client.wait_uploaded(client.upload(data), 120).at_server
    announce()
    assert client.ask(m.HaveBlobs(blobs=(ref,))).missing == ()
    server.kill()
    server.start()
    later = connect(server, client_id=client.client_id)
    assert later.ask(m.HaveBlobs(blobs=(ref,))).missing == ()
    other = connect(server)
    assert other.wait_uploaded(other.upload(data), 120).sent_bytes == 0


def test_part_of_an_upload_is_no_part_of_anothers(connect, backend):
    """What another client has begun is neither shown, nor gone on with, nor spoilt."""
    data = os.urandom(2 << 20)
    ref = about(data)
    attacker, client = connect(backend), connect(backend)
    acks: list[m.ChunkAck] = []
    attacker._uploads.take_ack = lambda ack, _: acks.append(ack)
    attacker.connection.data.send(m.PutChunk(sha256=ref.sha256, size=ref.size, offset=0), blobs=[bytes(1 << 20)])
    until(lambda: attacker.poll() is not None and acks)
    assert acks[0].received == 1 << 20
    [missing] = client.ask(m.HaveBlobs(blobs=(ref,))).missing
    assert missing.received == 0 and not missing.prove
    assert client.wait_uploaded(client.upload(data), 120).sent_bytes == len(data)
    # The attacker's own upload ends as corrupt, and takes nothing with it.
    errors: list[m.ErrorReply] = []
    attacker._uploads.refused = lambda error, _: bool(errors.append(error)) or True
    attacker.connection.data.send(m.PutChunk(sha256=ref.sha256, size=ref.size, offset=1 << 20), blobs=[bytes(1 << 20)])
    until(lambda: attacker.poll() is not None and errors)
    assert errors[0].code == "blob_corrupt"
    assert client.ask(m.HaveBlobs(blobs=(ref,))).missing == ()


@pytest.mark.parametrize(
    "damage",
    [rot, *(pytest.param(each, marks=pytest.mark.slow) for each in (cut, zeros_at_the_end))],
    ids=lambda d: d.__name__,
)
def test_a_part_that_was_damaged_while_the_server_was_down_is_sent_again(make_backend, connect, damage):
    server = make_backend().start()
    client = connect(server)
    data = os.urandom(1 << 20) * 40
    upload = client.upload(data)
    client.wait_for(lambda e: isinstance(e, UploadProgress) and e.stage == "send" and e.done > 2 << 20, 120)
    server.kill()
    [part] = (server.data_dir / "blobs" / "partial").iterdir()
    damage(part)
    server.start()
    assert client.wait_uploaded(upload, 120).at_server
    assert not list((server.data_dir / "blobs" / "partial").iterdir())


def test_files_of_strange_names_among_the_parts_change_nothing(make_backend, connect):
    server = make_backend()
    partial = server.data_dir / "blobs" / "partial"
    partial.mkdir(parents=True)
    for name in ("zz-5.part", "a-٣.part", "-9.part", "q" * 200 + "-" + "9" * 29 + ".part", "9" * 16 + ".part"):
        (partial / name).write_bytes(b"x" * 10)
    (partial / f"{'ab' * 32}-77.part").write_bytes(b"of an older server, which did not say whose it is")
    (partial / "folder-7.part").mkdir()
    server.start()
    client = connect(server)
    assert client.wait_uploaded(client.upload(os.urandom(1000)), 120).at_server
    assert not (partial / f"{'ab' * 32}-77.part").exists() and (partial / "zz-5.part").exists()


def test_what_is_announced_is_reserved(make_backend, connect):
    """Uploads that have only begun count whole towards the quota, so that together they cannot exceed it, and those of
    one client, beyond the first, leave half of it to others."""
    server = make_backend(environment={"EX4D_BACKEND_STORAGE_BYTES": "2000000"}).start()
    greedy, client = connect(server), connect(server)
    acks: list[m.ChunkAck] = []
    greedy._uploads.take_ack = lambda ack, _: acks.append(ack)
    refused: list[m.ErrorReply] = []
    greedy._uploads.refused = lambda error, _: bool(refused.append(error)) or True
    for k in range(10):
        greedy.connection.data.send(m.PutChunk(sha256=about(bytes([k])).sha256, size=300_000, offset=0), blobs=[b"x"])
    until(lambda: greedy.poll() is not None and len(acks) + len(refused) >= 10)
    assert len(acks) == 3 and {error.code for error in refused} == {"rate_limited"}
    with pytest.raises(RequestRefused, match="quota"):
        client.wait_uploaded(client.upload(os.urandom(1_300_000)), 120)
    assert client.wait_uploaded(client.upload(os.urandom(900_000)), 120).sent_bytes == 900_000


def test_no_job_waits_for_what_another_client_only_announced(make_backend, connect, send_clip):
    server = make_backend(environment={"EX4D_BACKEND_STORAGE_BYTES": "2000000"}).start()
    greedy, client = connect(server), connect(server)
    clip = send_clip(client)
    left = 2_000_000 - client.ask(m.GetHealth()).blob_bytes
    acks: list[m.ChunkAck] = []
    greedy._uploads.take_ack = lambda ack, _: acks.append(ack)
    greedy.connection.data.send(m.PutChunk(sha256=about(b"all").sha256, size=left, offset=0), blobs=[b"x"])
    until(lambda: greedy.poll() is not None and acks)
    for _ in range(2):  # what the first leaves would have been announced twice
        job = client.submit(RenderGuides(clip=clip, trajectory=poses(3)), fetch=False)
        assert client.wait_job(job, 120).phase == "done"
    with pytest.raises(RequestRefused, match="quota"):
        client.wait_uploaded(client.upload(os.urandom(1000)), 120)


def test_uploads_under_way_are_bounded_for_each_client(make_backend, connect):
    server = make_backend().start()
    many, client = connect(server), connect(server)
    kept = os.urandom(1 << 20) * 12
    upload = client.upload(kept)
    client.wait_for(lambda e: isinstance(e, UploadProgress) and e.stage == "send" and e.done > 1 << 20, 120)
    acks: list[m.ChunkAck | m.ErrorReply] = []
    many._uploads.take_ack = lambda ack, _: acks.append(ack)
    many._uploads.refused = lambda error, _: bool(acks.append(error)) or True
    for k in range(3 * PARTIALS_EACH):
        many.connection.data.send(m.PutChunk(sha256=about(b"%d" % k).sha256, size=900_000, offset=0), blobs=[b"x"])
        many.poll()
    until(lambda: many.poll() is not None and len(acks) >= 3 * PARTIALS_EACH)
    assert len(list((server.data_dir / "blobs" / "partial").iterdir())) <= PARTIALS_EACH + 1
    assert client.wait_uploaded(upload, 120).sent_bytes == len(kept)
