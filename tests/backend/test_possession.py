"""Who may use an upload: who sent it, proved to have it, or whose job made it; nobody by its digest and size."""

from __future__ import annotations

import hashlib
import os

import msgspec
import numpy as np
import pytest

from backend.conftest import poses, until
from ex4d_backend.possession import OWNERS_PER_BLOB, Possession
from ex4d_ground.options import MeshOptions
from ex4d_protocol import messages as m
from ex4d_protocol.errors import RequestRefused
from ex4d_protocol.proofs import STRETCH_BYTES, STRETCHES, proof_of, stretches
from ex4d_protocol.requests import BlobRef, BuildMesh, MeshSpec, ObjectSpec, RenderGuides, blobs_of

DIGEST = hashlib.sha256(b"x").hexdigest()


def about(data: bytes) -> BlobRef:
    return BlobRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def proof(nonce: str, data: bytes, ref: BlobRef | None = None) -> m.BlobProof:
    ref = ref or about(data)
    made = proof_of(nonce, ref.sha256, ref.size, lambda offset, length: data[offset : offset + length])
    return m.BlobProof(sha256=ref.sha256, size=ref.size, proof=made)


def test_digest_and_size_do_not_get_another_clients_footage(client, connect, backend, send_clip):
    """A take's description names both; whoever has read one must not get the pictures by them."""
    clip = send_clip(client)
    thief = connect(backend)
    asked = thief.ask(m.HaveBlobs(blobs=tuple(blobs_of(BuildMesh(clip=clip)).values()))).missing
    assert len(asked) == 2 and {blob.received for blob in asked} == {0}
    for request in (BuildMesh(clip=clip), RenderGuides(clip=clip, trajectory=poses(1))):
        with pytest.raises(RequestRefused) as refused:
            thief.ask(m.SubmitJob(job_id=os.urandom(8).hex(), request=request))
        assert refused.value.code == "blob_missing"
    view = m.LiveView(view="shot", sequence=1, clip=clip, trajectory=poses(1), picture=True)
    with pytest.raises(RequestRefused) as refused:
        thief.ask(view)
    assert refused.value.code == "blob_missing"
    with pytest.raises(RequestRefused, match="again"):
        thief.wait_job(thief.submit(BuildMesh(clip=clip)), 120)


def test_who_has_the_bytes_proves_it_without_sending_them(client, connect, backend):
    for size in (0, 5, STRETCHES * STRETCH_BYTES, 3 << 20):
        data = os.urandom(size)
        client.wait_uploaded(client.upload(data), 120)
        other = connect(backend)
        assert other.wait_uploaded(other.upload(data), 120).sent_bytes == 0
        assert other.ask(m.HaveBlobs(blobs=(about(data),))).missing == ()


def test_a_wrong_proof_a_foreign_nonce_and_an_unknown_blob_give_nothing(client, connect, backend):
    data = os.urandom(300_000)
    client.wait_uploaded(client.upload(data), 120)
    ref, other, third = about(data), connect(backend), connect(backend)

    def nonce(of) -> str:
        answer = of.ask(m.HaveBlobs(blobs=(ref,)))
        assert answer.missing[0].prove and answer.nonce
        return answer.nonce

    mine, theirs = nonce(other), nonce(third)
    assert mine != theirs
    guessed = bytearray(data)
    first, _ = next(stretches(mine, ref.sha256, ref.size))
    guessed[first] ^= 1  # all but one byte of those that count is known
    for wrong in (proof(mine, bytes(guessed), ref), proof(theirs, data), proof("", data)):
        answer = other.ask(m.ProveBlobs(proofs=(wrong,)))
        assert [blob.sha256 for blob in answer.missing] == [ref.sha256]
        assert not answer.missing[0].prove and not answer.nonce  # now it must be sent
    unknown = proof(mine, b"nobody sent this")
    assert [blob.received for blob in other.ask(m.ProveBlobs(proofs=(unknown,))).missing] == [0]
    assert other.ask(m.ProveBlobs(proofs=(proof(mine, data),))).missing == ()
    assert other.ask(m.HaveBlobs(blobs=(ref,))).missing == ()
    assert third.ask(m.HaveBlobs(blobs=(ref,))).missing != ()


def test_a_client_that_knows_no_proofs_sends_the_bytes(client, connect, backend):
    """A client of 1.0 reads over what is new in the answer."""
    data = os.urandom(2 << 20)
    client.wait_uploaded(client.upload(data), 120)
    old = connect(backend)
    take = old._uploads.take_missing

    def as_1_0_reads_it(message: m.BlobsMissing, reply_to: int) -> None:
        without = tuple(msgspec.structs.replace(blob, prove=False) for blob in message.missing)
        take(m.BlobsMissing(missing=without), reply_to)

    old._uploads.take_missing = as_1_0_reads_it
    assert old.wait_uploaded(old.upload(data), 120).sent_bytes == len(data)
    assert old.ask(m.HaveBlobs(blobs=(about(data),))).missing == ()
    assert client.ask(m.HaveBlobs(blobs=(about(data),))).missing == ()


def test_a_client_that_comes_back_keeps_what_it_has_shown_also_over_a_killed_server(make_backend, connect, send_clip):
    server = make_backend().start()
    client = connect(server, client_id="one-who-returns")
    clip = send_clip(client)
    client.close()
    server.kill()
    server.start()
    again, stranger = connect(server, client_id="one-who-returns"), connect(server)
    assert again.wait_job(again.submit(RenderGuides(clip=clip, trajectory=poses(1))), 120).phase == "done"
    with pytest.raises(RequestRefused):
        stranger.wait_job(stranger.submit(RenderGuides(clip=clip, trajectory=poses(1))), 120)


def test_an_objects_file_in_a_live_view_is_asked_for_each_time(client, connect, backend, send_clip):
    """A view of one's own clip does not open a file of another's that is named as an object of the scene."""
    positions = np.zeros((3, 3), "<f4").tobytes()
    faces = np.arange(3, dtype="<i4").tobytes()
    theirs = [client.wait_uploaded(client.upload(data), 120).ref for data in (positions, faces)]
    other = connect(backend)
    clip = send_clip(other)
    view = m.LiveView(view="shot", sequence=1, clip=clip, trajectory=poses(1), picture=False)
    other.live(view)
    with_object = msgspec.structs.replace(view, sequence=2, objects=(ObjectSpec(vertices=theirs[0], faces=theirs[1]),))
    with pytest.raises(RequestRefused) as refused:
        other.ask(with_object)
    assert refused.value.code == "blob_missing"


def test_an_edit_of_another_client_is_not_used_either(client, connect, backend, send_clip):
    painted = client.wait_uploaded(client.upload(os.urandom(64)), 120).ref
    other = connect(backend)
    clip = send_clip(other)
    with pytest.raises(RequestRefused, match="again"):
        mesh = MeshSpec(options=MeshOptions(mode="solid"), thickness=painted)
        other.wait_job(other.submit(BuildMesh(clip=clip, mesh=mesh)), 120)


def test_stretches_lie_within_the_blob_and_depend_on_the_nonce():
    for size in (0, 1, STRETCHES * STRETCH_BYTES, STRETCHES * STRETCH_BYTES + 1, 1 << 40):
        for offset, length in stretches("n", DIGEST, size):
            assert offset >= 0 and offset + length <= size
    assert list(stretches("n", DIGEST, 100)) == [(0, 100)]
    assert list(stretches("n", DIGEST, 1 << 30)) != list(stretches("o", DIGEST, 1 << 30))


def test_a_damaged_file_of_owners_costs_proofs_and_nothing_else(tmp_path):
    path = tmp_path / "owners"
    kept = Possession(path, [DIGEST])
    kept.grant("alice", DIGEST)
    kept.close()
    whole = path.read_bytes()
    assert b"alice" not in whole  # an id that owns jobs does not lie about
    path.write_bytes(b"\xff\x00 nonsense\n" + whole + DIGEST.encode() + b" short\n" + whole[:40])
    later = Possession(path, [DIGEST])
    assert later.has("alice", DIGEST) and not later.has("bob", DIGEST)
    later.close()
    assert path.read_bytes() == whole
    gone = Possession(path, [])
    assert not gone.has("alice", DIGEST)
    gone.close()


def test_owners_of_a_blob_are_bounded_in_memory_and_on_disk(tmp_path):
    path = tmp_path / "owners"
    kept = Possession(path, [DIGEST])
    for k in range(50_000):
        kept.grant(f"owner-{k}", DIGEST)
        if k % 10_000 == 0:
            kept.tidy()
    kept.tidy()
    assert path.stat().st_size < 20_000 * 82
    assert sum(kept.has(f"owner-{k}", DIGEST) for k in range(50_000)) == OWNERS_PER_BLOB
    kept.close()


def test_proofs_wait_for_one_another(connect, backend):
    """Reading for proofs is bounded for each client: beyond it the client is told to ask again."""
    client = connect(backend)
    codes: list[str] = []
    client._uploads.refused = lambda error, _: bool(codes.append(error.code)) or True
    client._uploads.take_missing = lambda message, _: codes.append("answered")
    for _ in range(200):
        client.connection.tell(m.ProveBlobs(proofs=(proof("n", b"unknown"),) * 100))
    until(lambda: client.poll() is not None and len(codes) == 200)
    assert set(codes) <= {"answered", "rate_limited"} and "answered" in codes
