"""A take under way and what others do meanwhile: a second Blender, a backend that dies, undo, a full disk."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from full_disk import no_file_beyond
from small_clip import ROOT
from test_addon_operators import fails
from under_way import begin, spin, started, take_files

from ex4d_protocol.messages import ListJobs


@pytest.fixture
def undoable(ready):
    """A first undo step to come back to."""
    ready.ops.ed.undo_push(message="ready")
    return ready


def shots(blender) -> list[str]:
    return [obj.name for obj in blender.data.objects if obj.ex4d.is_shot]


def test_undo_and_redo_while_a_take_is_made_neither_stop_nor_lose_it(undoable, quiet):
    blender = undoable
    blender.context.scene.ex4d.shot.location.x = 5
    blender.ops.ed.undo_push(message="moved")
    task = begin(blender)
    spin(lambda: started(task))
    blender.ops.ed.undo()
    assert blender.context.scene.ex4d.shot.location.x == 0
    blender.ops.ed.redo()
    blender.ops.ed.undo()
    spin(lambda: task.finished)
    scene = blender.context.scene
    assert [take.name for take in scene.ex4d.takes] == ["take_001"] and shots(blender) == ["clip"]
    assert scene.ex4d.shot.location.x == 0
    blender.ops.ed.undo()  # the take is one step of its own
    assert len(blender.context.scene.ex4d.takes) == 0 and shots(blender) == ["clip"]
    blender.ops.ed.redo()
    assert [take.plane is not None for take in blender.context.scene.ex4d.takes] == [True]


def test_undoing_the_import_while_a_take_is_made_leaves_a_sentence_and_redo_finds_the_take(blender, address, sources,
    tmp_path, monkeypatch, quiet,
):  # fmt: skip
    from blender_addon.takes import resume
    from blender_addon.work import session

    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    blender.ops.ex4d.connect(address=address)
    blender.ops.ed.undo_push(message="empty")
    blender.ops.ex4d.import_clip("EXEC_DEFAULT", True, **sources)
    blender.ops.ex4d.add_camera_move("EXEC_DEFAULT", True, preset="30")
    task = begin(blender)
    spin(lambda: started(task))
    blender.ops.ed.undo()
    blender.ops.ed.undo()
    assert shots(blender) == []
    spin(lambda: task.finished)
    assert session.get().message == "The shot was deleted while this was running; its files are still on disk."
    blender.ops.ed.redo()
    blender.ops.ed.redo()
    assert shots(blender) == ["clip"], "what could be redone still can be"
    assert resume.find_unlisted(blender.context.scene) == ["take_001"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def backend_at(port: int, command: str, data: Path):
    """A backend as another person runs it, on a port of their choice; killed at the end as by kill -9."""
    full = [*shlex.split(command), "--address", f"tcp://127.0.0.1:{port}", "--data-dir", str(data)]
    full += ["--exit-with-parent", str(os.getpid())]  # should this process be killed
    with (data.parent / f"backend-{time.monotonic()}.log").open("wb") as log:
        running = subprocess.Popen(full, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def test_a_backend_killed_and_started_again_by_others_goes_on_with_the_take_by_itself(
    blender, backend_command, sources, tmp_path, monkeypatch, quiet
):
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    port, data = free_port(), tmp_path / "backend"
    preferences = blender.context.preferences.addons["blender_addon"].preferences
    preferences.timeout_s = preferences.grace_s = 240
    with backend_at(port, backend_command, data):
        blender.ops.ex4d.connect(address=f"127.0.0.1:{port}")
        blender.ops.ex4d.import_clip(**sources)
        blender.ops.ex4d.add_camera_move(preset="30")
        task = begin(blender)
        spin(lambda: started(task))
    assert not task.finished
    with backend_at(port, backend_command, data):
        spin(lambda: task.finished)
        assert task.error is None
        takes = blender.context.scene.ex4d.takes
        assert [(take.name, take.num_frames) for take in takes] == [("take_001", 5)]
        blender.ops.ex4d.disconnect()


SECOND_BLENDER = """
import json, os, sys
sys.path[:0] = {places!r}
import bpy
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1] + "/second.blend")
bpy.ops.preferences.addon_enable(module="blender_addon")
from blender_addon.work import session
from ex4d_protocol.messages import ListJobs
bpy.ops.ex4d.connect(address=sys.argv[2])
bpy.ops.ex4d.import_clip(video_path=sys.argv[3], depth_path=sys.argv[4], focal_px=120.0)
bpy.ops.ex4d.add_camera_move(preset="60")
print("ready", flush=True)
for seed in range(3):
    bpy.ops.ex4d.generate(engine="preview", seed=seed)
current = session.get()
link = current.link
task = current.start("List", link.ask(ListJobs()))
current.run(task)
found = {{
    "client": current.identity.client_id,
    "jobs": [state.job_id for state in task.result.jobs],
    "takes": [take.name for take in bpy.context.scene.ex4d.takes],
}}
print("found " + json.dumps(found), flush=True)
session.end()
os._exit(0)  # Blender's destructors may wait for other libraries' threads
"""


def test_two_blenders_on_one_backend_finish_side_by_side_and_know_nothing_of_each_other(
    ready, address, sources, tmp_path, quiet
):
    from blender_addon.work import session

    script = SECOND_BLENDER.format(places=[str(ROOT), str(ROOT / "protocol")])
    (tmp_path / "second").mkdir()
    arguments = [str(tmp_path / "second"), address, sources["video_path"], sources["depth_path"]]
    second = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert second.stdout is not None
        while "ready" not in (line := second.stdout.readline()):
            assert line, second.communicate()
        tasks = [begin(ready, seed) for seed in range(2)]
        spin(lambda: started(tasks[0]))
        session.get().cancel(tasks[1])
        spin(lambda: tasks[0].finished)
        out, err = second.communicate(timeout=240)
    finally:
        second.kill()
    assert "Traceback" not in err, err
    found = json.loads(next(line for line in out.splitlines() if line.startswith("found ")).removeprefix("found "))
    current = session.get()
    link = current.require_link()
    listing = current.start("List", link.ask(ListJobs()))
    current.run(listing)
    mine = {state.job_id for state in listing.result.jobs}
    assert found["client"] != current.require_identity().client_id
    assert mine and found["jobs"] and not mine & set(found["jobs"])
    assert found["takes"] == ["take_001", "take_002", "take_003"], "cancelling one here stops nothing there"
    assert len(ready.context.scene.ex4d.takes) == 1


def test_a_full_disk_during_an_import_is_a_sentence_and_leaves_nothing(connected, sources, small_clip, tmp_path, quiet):
    _, height, width = small_clip.size
    with no_file_beyond(height * width * 12 * 2):  # less than the mesh cache, more than a picture
        sentence = fails(connected.ops.ex4d.import_clip, **sources)
    assert "Cannot write the mesh cache" in sentence and "choose another folder" in sentence
    assert list((tmp_path / "scene_ex4d").iterdir()) == []
    assert connected.ops.ex4d.import_clip(**sources) == {"FINISHED"}


def test_a_full_disk_during_a_take_keeps_it_on_the_backend_until_there_is_room(ready, address, tmp_path, quiet):
    from blender_addon.work import session

    folder = tmp_path / "scene_ex4d" / "clip"
    with no_file_beyond(3000):  # more than the journal's entry, less than a frame
        sentence = fails(ready.ops.ex4d.generate, engine="preview", seed=1)
    assert "Cannot write" in sentence and "the backend keeps the take: free some space; press Connect" in sentence
    assert not (folder / "take_001" / "take.json").exists() and len(ready.context.scene.ex4d.takes) == 0
    ready.ops.ex4d.connect(address=address)
    spin(lambda: not session.get().tasks)
    assert [take.name for take in ready.context.scene.ex4d.takes] == ["take_001"]
    assert take_files(folder / "take_001") == [*(f"frame_{n:04d}.png" for n in range(1, 6)), "take.json"]


def test_a_full_disk_during_guides_keeps_the_last_ones(ready, tmp_path, quiet):
    guides = tmp_path / "scene_ex4d" / "clip" / "guides"
    ready.ops.ex4d.render_guides()
    before = {path: path.read_bytes() for path in guides.rglob("*.png")}
    with no_file_beyond(600):
        assert "Cannot write" in fails(ready.ops.ex4d.render_guides)
    assert {path: path.read_bytes() for path in guides.rglob("*.png")} == before
    assert sorted(p.name for p in guides.parent.iterdir()) == ["colour", "guides", "mesh.pc2", "visible"]


def test_a_disk_that_is_behind_slows_an_import_down_and_loses_nothing(
    connected, sources, small_clip, monkeypatch, tmp_path
):
    from blender_addon.work import files, link, pc2, writer

    slowed = threading.Event()
    unwatched = link.BackendLink.poll

    def poll(self, budget_s: float) -> bool:
        if self._slowed:
            slowed.set()
        return unwatched(self, budget_s)

    written = files.write_whole

    def slow_write(path: Path, data) -> None:
        slowed.wait(120)  # it is behind until that is noticed
        written(path, data)

    monkeypatch.setattr(writer, "MAX_WAITING_BYTES", 20_000)
    monkeypatch.setattr(files, "write_whole", slow_write)
    monkeypatch.setattr(link.BackendLink, "poll", poll)
    assert connected.ops.ex4d.import_clip(**sources) == {"FINISHED"}
    assert slowed.is_set()
    cache = pc2.read_pc2(tmp_path / "scene_ex4d" / "clip" / files.CACHE_FILE)
    np.testing.assert_allclose(cache[4], small_clip.vertices(4), rtol=1e-5, atol=1e-5)
    assert len(take_files(tmp_path / "scene_ex4d" / "clip" / "colour")) == small_clip.size[0]
