"""Temporary files of processes that were killed are removed, and nothing below the data folder is another user's."""

from __future__ import annotations

import os
import stat

import pytest

from backend.conftest import long_job, until
from ex4d_protocol.errors import JobFailed
from ex4d_protocol.events import ItemReceived


def left(server) -> list[str]:
    jobs = [str(path) for path in (server.data_dir / "jobs").glob("*/scratch-*")]
    return jobs + [str(path) for path in (server.data_dir / "scratch").glob("*/*")]


def test_what_killed_workers_and_servers_leave_is_removed(make_backend, connect, send_clip):
    server = make_backend().start()
    client = connect(server)
    job = client.submit(long_job(send_clip(client)))
    client.wait_for(lambda e: isinstance(e, ItemReceived), 180)
    [folder] = (server.data_dir / "scratch").iterdir()
    (folder / "temporary").write_bytes(b"x")
    assert left(server)
    server.workers()[0].kill()
    with pytest.raises(JobFailed):
        client.wait_job(job, 180)
    until(lambda: not left(server) and not folder.exists(), 60)
    client.close()
    server.kill()
    job_folder = next((server.data_dir / "jobs").iterdir())
    for name in ("scratch/0123456789abcdef", f"jobs/{job_folder.name}/scratch-1"):
        (server.data_dir / name).mkdir()
        (server.data_dir / name / "temporary").write_bytes(b"x")
    server.start()
    until(lambda: not left(server), 60)


@pytest.mark.skipif(os.name != "posix", reason="permissions of files")
def test_nothing_in_the_data_folder_is_open_to_others_whatever_the_umask(make_backend, connect, send_clip):
    before = os.umask(0)
    try:
        server = make_backend().start()
    finally:
        os.umask(before)
    client = connect(server)
    client.submit(long_job(send_clip(client), 50))
    client.wait_for(lambda e: isinstance(e, ItemReceived), 180)
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in server.data_dir.rglob("*")}
    assert len(found) > 10
    assert not {str(path): oct(mode) for path, mode in found.items() if mode & 0o077 and path.name != "lock"}
