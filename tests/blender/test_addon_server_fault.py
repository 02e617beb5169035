"""The backend's server process ends by a fault in mid-take: the artist reads one sentence and has the take."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time

import pytest
from small_clip import write_source_files
from under_way import begin, spin, take_files
from zmtp_reset import PINGS_UNREAD, reset_while_unread

SENTENCE = "The backend ended and was started again; what was under way goes on by itself."


@pytest.mark.any_blender
@pytest.mark.skipif(os.name == "nt", reason="stops a process by signal")
def test_an_abort_of_the_own_backend_in_mid_take_costs_nothing(
    blender, backend_command, small_clip, tmp_path, monkeypatch, quiet
):
    from blender_addon.work import session, timer

    monkeypatch.setenv("EX4D_BACKEND_COMMAND", backend_command)
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EX4D_BACKEND_WORKER_SILENT_S", "900")
    video, depth = write_source_files(small_clip, tmp_path / "in")
    operators = blender.ops.ex4d
    blender.context.preferences.addons["blender_addon"].preferences.grace_s = 240
    operators.connect()
    operators.import_clip(video_path=str(video), depth_path=str(depth), focal_px=small_clip.focal_px)
    operators.add_camera_move(preset="30")
    blender.ops.wm.save_mainfile()
    current = session.get()
    backend, address, identity = current.backend, current.address, current.identity
    assert backend is not None and identity is not None
    log = backend.log_path
    worker = int(re.findall(r"worker cpu started as process (\d+)", log.read_text())[-1])
    os.kill(worker, signal.SIGSTOP)  # so that the take is under way when the server ends
    task = begin(blender)
    spin(lambda: any(view.state is not None and view.state.phase == "running" for view in jobs(current)), 120)
    told, end = set(), time.monotonic() + 240
    while "it is started again" not in log.read_text():
        assert time.monotonic() < end, "this libzmq is not to be ended so"
        with contextlib.suppress(OSError):
            reset_while_unread(address, PINGS_UNREAD)
        timer.tick()
        told.add(current.message)
    spin(lambda: told.add(current.message) or task.finished, 240)
    assert task.error is None and SENTENCE in told
    assert current.backend is backend and current.address == address and backend.why_gone() is None
    assert [take.name for take in blender.context.scene.ex4d.takes] == ["take_001"]
    assert "take.json" in take_files(tmp_path / "scene_ex4d" / "clip" / "take_001")
    assert not list(identity.open_takes()), "nothing is left to find again"
    operators.disconnect()
    assert backend._process.returncode == 0


def jobs(current):
    return list(current.link.client.jobs.values())
