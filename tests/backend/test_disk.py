"""A disk that is really full, and one that became read-only: a small file system of the test's own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.conftest import Backend, poses
from ex4d_protocol import messages as m
from ex4d_protocol.errors import JobFailed, RequestRefused
from ex4d_protocol.events import ItemReceived
from ex4d_protocol.requests import RenderGuides

DISK_BYTES = 24 << 20


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    if sys.platform != "linux":
        pytest.skip("needs Linux, where a tmpfs can be mounted")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted here ({made.stderr.strip()}); run as root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def server(small_disk, make_backend) -> Backend:
    return make_backend("disk/data", environment={"EX4D_BACKEND_KEEP_FREE_BYTES": "0"}).start()


def test_a_full_disk_fails_what_cannot_be_written_and_keeps_the_rest(server, small_disk, connect, send_clip):
    client = connect(server)
    clip = send_clip(client)
    kept = client.submit(RenderGuides(clip=clip, trajectory=poses(3)), fetch=False)
    client.wait_job(kept, 120)
    doomed = client.submit(RenderGuides(clip=clip, trajectory=poses(4000, step=1e-5)), fetch=True)
    client.wait_for(lambda e: isinstance(e, ItemReceived) and e.job_id == doomed, 120)
    filler = small_disk / "filler"
    with server.held(), filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    with pytest.raises(JobFailed, match=r"disk is full|disk space") as caught:
        client.wait_job(doomed, 120)
    assert str(small_disk) not in str(caught.value)
    with pytest.raises(RequestRefused, match=r"full|MiB left") as refused:
        client.wait_uploaded(client.upload(bytes(6 << 20)), 120)
    assert str(small_disk) not in str(refused.value)
    assert isinstance(client.ask(m.GetHealth()), m.Health)
    filler.unlink()
    client.fetch(kept)
    client.wait_job(kept, 120)
    assert len(client.jobs[kept].received) == 7
    assert client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(4))), 120).items == 9


def test_where_an_upload_cannot_come_to_its_place_the_sentence_names_no_folder(server, connect, clip_files):
    client, digest = connect(server), hashlib.sha256(clip_files[0].read_bytes()).hexdigest()
    place = server.data_dir / "blobs" / digest[:2]
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], check=True)
    try:
        for upload in (client.upload(clip_files[0]), client.upload(clip_files[0].read_bytes())):
            with pytest.raises(RequestRefused, match="Cannot write partial") as refused:
                client.wait_uploaded(upload, 120)
            assert str(server.data_dir) not in str(refused.value)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
    assert client.wait_uploaded(client.upload(clip_files[0]), 120).ref.sha256 == digest


def test_a_read_only_results_folder_fails_the_job_clearly_and_keeps_everything(server, connect, send_clip):
    client = connect(server)
    clip = send_clip(client)
    kept = client.submit(RenderGuides(clip=clip, trajectory=poses(3)), fetch=False)
    client.wait_job(kept, 120)
    results = str(server.data_dir / "jobs")
    subprocess.run(["mount", "--bind", results, results], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", results], check=True)
    try:
        with pytest.raises(JobFailed, match="the disk is read-only") as caught:
            client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(4))), 120)
        assert results not in str(caught.value)
        client.fetch(kept)
        client.wait_job(kept, 120)
        assert len(client.jobs[kept].received) == 7
    finally:
        subprocess.run(["umount", "--lazy", results], check=True)
    assert client.wait_job(client.submit(RenderGuides(clip=clip, trajectory=poses(5))), 120).items == 11
