"""Temporary files of processes that were killed are removed, and nothing below the data folder is another user's."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from backend.conftest import found, long_job, until
from ex4d.frames import FrameStack
from ex4d.frames.scratch import free_bytes
from ex4d.frames.stack import IN_MEMORY_BYTES
from ex4d_ground.errors import ClipError
from ex4d_protocol.errors import JobFailed
from ex4d_protocol.events import ItemReceived


def left(server) -> list[str]:
    jobs, scratch = found(server.data_dir / "jobs", "*/scratch-*"), found(server.data_dir / "scratch", "*/*")
    return [str(path) for path in (*jobs, *scratch)]


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
    until(lambda: not left(server) and not folder.exists(), 120)
    client.close()
    server.kill()
    job_folder = next((server.data_dir / "jobs").iterdir())
    for name in ("scratch/0123456789abcdef", f"jobs/{job_folder.name}/scratch-1"):
        (server.data_dir / name).mkdir()
        (server.data_dir / name / "temporary").write_bytes(b"x")
    server.start()
    until(lambda: not left(server), 120)


@pytest.mark.skipif(os.name != "posix", reason="permissions of files")
def test_nothing_in_the_data_folder_is_open_to_others_whatever_the_umask(make_backend, connect, send_clip):
    before = os.umask(0)
    try:
        server = make_backend().start()
    finally:
        os.umask(before)
    client = connect(server)
    client.submit(long_job(send_clip(client)))
    client.wait_for(lambda e: isinstance(e, ItemReceived), 180)
    modes = {}
    with server.held():
        for path in found(server.data_dir, "**/*"):
            with suppress(FileNotFoundError):  # a temporary one that took its place meanwhile
                modes[path] = stat.S_IMODE(path.lstat().st_mode)
    assert len(modes) > 10
    assert not {str(path): oct(mode) for path, mode in modes.items() if mode & 0o077 and path.name != "lock"}


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks into other processes' environments")
def test_workers_keep_decoded_clips_in_the_data_folder_and_leave_some_of_the_disk_free(make_backend, connect):
    server = make_backend(environment={"EX4D_BACKEND_KEEP_FREE_BYTES": str(123 << 20)}).start()
    connect(server)
    until(server.workers, 60)
    entries = (Path("/proc") / str(server.workers()[0].pid) / "environ").read_bytes().split(b"\0")
    environment = dict(entry.decode().partition("=")[::2] for entry in entries)
    assert Path(environment["EX4D_SCRATCH"]).parent == server.data_dir / "scratch"
    assert environment["EX4D_SCRATCH_SPARE"] == str(123 << 20)


def test_a_scratch_disk_keeps_free_what_it_is_told_to(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setenv("EX4D_SCRATCH_SPARE", str(free + (1 << 30)))
    assert free_bytes(tmp_path) == 0
    monkeypatch.setenv("EX4D_SCRATCH", str(tmp_path))
    stack = FrameStack(expected=IN_MEMORY_BYTES // 3000 + 1, label="the video")
    with pytest.raises(ClipError, match=r"needs 0\.\d GiB of disk .* has 0\.0 GiB free: .* or free some space there"):
        stack.append(np.zeros((10, 100, 3), np.uint8))
    monkeypatch.setenv("EX4D_SCRATCH_SPARE", "0")
    assert free_bytes(tmp_path) > 0
