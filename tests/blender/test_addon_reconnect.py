"""Connecting again, to the same backend or another: what is on disk stays, and every take comes to where it belongs."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
from own_backend import address_of
from test_addon_survives_others import backend_at, free_port
from under_way import begin, spin, spin_to_two_frames, take_files

from ex4d_ground.files import frame_name

WHOLE = [*(frame_name(i) for i in range(5)), "take.json"]


@pytest.fixture
def other_address(backend_command, tmp_path):
    """A second backend, which knows nothing of the first one's jobs."""
    from blender_addon.work.local_backend import LocalBackend

    running = LocalBackend(shlex.split(backend_command), base=tmp_path / "other")
    yield address_of(running)
    running.stop()


@pytest.fixture
def interrupted(ready, two_frames, monkeypatch, tmp_path) -> Path:
    """The folder of a take of which two frames or more are here; Blender has gone and come back."""
    from blender_addon.takes import arrivals

    monkeypatch.setattr(arrivals, "LOOK_S", 0.0)
    task = begin(ready)
    spin_to_two_frames(task)
    restart(ready)
    folder = tmp_path / "scene_ex4d" / "clip" / "take_001"
    assert 2 <= len(frames(folder)) < 5 and not (folder / "take.json").exists()
    return folder


def restart(blender: Any) -> None:
    """Blender ends and the file is opened anew."""
    blender.ops.preferences.addon_disable(module="blender_addon")
    blender.ops.preferences.addon_enable(module="blender_addon")
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)


def frames(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("frame_*.png"))}


def connect(blender: Any, address: str) -> str:
    """Connect and let everything that this begins come to its end; what is told then."""
    from blender_addon.work import session

    blender.ops.ex4d.connect(address=address)
    for task in session.get().tasks:
        task.watched_at = 0.0
    spin(lambda: not session.get().tasks)
    return session.get().message


def journal() -> list[str]:
    from blender_addon.work import session

    return [Path(entry.folder).name for entry in session.get().require_identity().open_takes()]


def test_another_backend_is_told_apart_and_the_right_one_still_finishes_the_take(
    ready, interrupted, address, other_address, quiet
):
    before = frames(interrupted)
    said = connect(ready, other_address)
    kept = f"take_001 is made by another backend ({address}); its {len(before)} frames here are kept; press Connect"
    assert said.startswith(kept), said
    assert frames(interrupted) == before and journal() == ["take_001"]
    assert [(take.name, take.arrived) for take in ready.context.scene.ex4d.takes] == [("take_001", len(before))]
    connect(ready, address)
    assert take_files(interrupted) == WHOLE and journal() == []
    assert {name: data for name, data in frames(interrupted).items() if name in before} == before
    assert [(take.name, take.partial) for take in ready.context.scene.ex4d.takes] == [("take_001", False)]


def test_a_finished_take_is_never_touched_whatever_the_journal_says(ready, address, other_address, tmp_path, quiet):
    from blender_addon.work import session

    task = begin(ready)
    spin(lambda: task.finished)
    folder = tmp_path / "scene_ex4d" / "clip" / "take_001"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    for where in (other_address, address):
        session.get().require_identity().remember(task.arrival.entry)
        connect(ready, where)
        assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
        assert journal() == []
    assert len(ready.context.scene.ex4d.takes) == 1


def test_a_later_take_with_the_same_number_is_not_written_over(ready, interrupted, address, quiet):
    """The artist removed the unfinished take's folder and made another, which got its number."""
    import shutil

    from blender_addon.work import session

    lost = next(iter(session.get().identify(interrupted.parents[2] / "data" / "clients").open_takes()))
    shutil.rmtree(interrupted)
    interrupted.mkdir()
    (interrupted / "take.json").write_text('{"engine": "preview", "seed": 77, "metadata": {"job": "anotherone"}}')
    connect(ready, address)
    assert take_files(interrupted) == ["take.json"]
    assert take_files(interrupted.with_name("take_002")) == WHOLE and journal() == []
    assert lost.job_id in (interrupted.with_name("take_002") / "take.json").read_text()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_a_backend_that_dies_while_a_take_is_taken_up_again_takes_nothing_with_it(
    blender, backend_command, sources, two_frames, tmp_path, monkeypatch, quiet
):
    from blender_addon.work import session

    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    port, data = free_port(), tmp_path / "backend"
    preferences = blender.context.preferences.addons["blender_addon"].preferences
    preferences.timeout_s = 240
    address = f"127.0.0.1:{port}"
    folder = tmp_path / "scene_ex4d" / "clip" / "take_001"
    with backend_at(port, backend_command, data) as running:
        blender.ops.ex4d.connect(address=address)
        blender.ops.ex4d.import_clip(**sources)
        blender.ops.ex4d.add_camera_move(preset="30")
        blender.ops.wm.save_mainfile()
        task = begin(blender)
        spin_to_two_frames(task)
        restart(blender)
        before = frames(folder)
        preferences = blender.context.preferences.addons["blender_addon"].preferences
        preferences.timeout_s, preferences.grace_s = 240, 1
        blender.ops.ex4d.connect(address=address)
        os.kill(running.pid, signal.SIGKILL)
        (again,) = session.get().tasks
        again.watched_at = 0.0
        spin(lambda: again.finished)
    assert before.items() <= frames(folder).items() and journal() == ["take_001"]
    with backend_at(port, backend_command, data):
        connect(blender, address)
        assert take_files(folder) == WHOLE and journal() == []
        blender.ops.ex4d.disconnect()


def test_a_backend_that_has_forgotten_the_take_leaves_what_came_of_it(ready, interrupted, address, quiet):
    import msgspec

    from blender_addon.work import session

    identity = session.get().identify(interrupted.parents[2] / "data" / "clients")
    (entry,) = identity.open_takes()
    identity.forget(entry.job_id)
    identity.remember(msgspec.structs.replace(entry, job_id="0" * 32))  # a job that is nowhere
    description = interrupted / "partial.json"
    description.write_text(description.read_text().replace(entry.job_id, "0" * 32))
    before = frames(interrupted)
    said = connect(ready, address)
    assert said == f"The backend does not know take_001 any more; its {len(before)} frames here are kept."
    assert frames(interrupted) == before and journal() == []


DAMAGED = {"empty": b"", "cut": b'{"job_id": "abc', "no text": b"\xff\xfe{", "types": b'{"seed": "x"}'}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_journal_entry_is_set_aside_and_its_take_is_offered(ready, interrupted, address, damage):
    clients = interrupted.parents[2] / "data" / "clients" / "client-1"
    (entry,) = clients.glob("take-*.json")
    entry.write_bytes(damage)
    (clients / "take-folder.json").mkdir()
    said = connect(ready, address)
    assert said == "A take that no file knows waits at the backend: 'Receive Waiting Takes' fetches it."
    assert entry.with_name(f"{entry.name}.damaged").read_bytes() == damage and not entry.exists()
    assert ready.ops.ex4d.receive_takes() == {"FINISHED"}
    assert take_files(interrupted.with_name("take_002")) == WHOLE
    assert "take.json" not in take_files(interrupted), "what came first is as it was"
    assert not ready.ops.ex4d.receive_takes.poll()
    assert "waits" not in connect(ready, address)


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"../../etc", b"a" * 5000])
def test_an_id_that_cannot_be_read_is_replaced_and_kept_for_people(tmp_path, damage):
    from blender_addon.work import identity

    first = identity.claim(tmp_path)
    first.release()
    (first.folder / "id").write_bytes(damage)
    again = identity.claim(tmp_path)
    assert again.client_id != first.client_id and len(again.client_id) == 32
    assert (again.folder / "id.damaged").read_bytes() == damage
    again.release()


def test_two_blenders_that_start_a_backend_at_once_get_one_each(backend_command, tmp_path):
    """The second asks before the first one's backend has had time to hold its folder."""
    from blender_addon.work.local_backend import LocalBackend

    started = [LocalBackend(shlex.split(backend_command), base=tmp_path) for _ in range(3)]
    try:
        assert [each.folder.name for each in started] == ["local-1", "local-2", "local-3"]
    finally:
        for each in started:
            each.stop()
    again = LocalBackend(shlex.split(backend_command), base=tmp_path, preferred=[tmp_path / "local-2"])
    again.stop()
    assert again.folder.name == "local-2", "takes that wait there are reached again"
