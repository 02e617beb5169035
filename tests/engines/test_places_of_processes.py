"""Processes share the folder of places: nothing half-written is ever used, and nothing that is whole is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a write is cut off by a limit that Windows has not")

PROCESS = """
import hashlib, resource, signal, sys
from dataclasses import fields
import numpy as np
from test_kept_places import room
from ex4d.fill import kept, parts, surfaces
from ex4d.fill.plate import clean_plate
from ex4d.fill.world import build_world

surfaces.TEXELS = 64
most_bytes, killed_at, times = (int(word) for word in sys.argv[1:])
parts.MOST_BYTES = most_bytes or parts.MOST_BYTES

def digest(world):
    total = hashlib.sha256()
    for each in fields(world):
        value = getattr(world, each.name)
        total.update(value.tobytes() if isinstance(value, np.ndarray) else b"")
    for plane in world.planes:
        total.update(repr([getattr(plane, each.name) for each in fields(plane)]).encode())
    return total.hexdigest()

true = {}
for colour in (90, 91):
    plate = clean_plate(room(colour))
    true[colour] = digest(build_world(plate))
print("ready", flush=True)
sys.stdin.readline()
if killed_at:  # by the kernel, in the middle of the write that goes beyond it
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (killed_at, killed_at))
for turn in range(times):
    for colour, whole in true.items():
        kept._last.clear()  # as another process finds it
        if digest(kept.world_of(room(colour))) != whole:
            sys.exit(f"turn {turn}: another place was taken for that of {colour}")
"""


def begun(folder: Path, *, most_bytes: int = 0, killed_at: int = 0, times: int = 1) -> subprocess.Popen[str]:
    """A process that waits to look for the places of two clips."""
    environment = {**os.environ, "EX4D_PLACES": str(folder)}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    words = [str(number) for number in (most_bytes, killed_at, times)]
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def run_all(*processes: subprocess.Popen[str]) -> list[int]:
    """Let all begin at the same moment; their exit codes."""
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n", process.communicate()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate() for process in processes]
    codes = [process.returncode for process in processes]
    assert all(code <= 0 for code in codes), said
    return codes


def whole(folder: Path) -> dict[str, int]:
    """The parts that are kept, and which file each is: one that is made anew is another."""
    return {path.name: path.stat().st_ino for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def kept_sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The parts of both clips' places as one process alone keeps them."""
    folder = tmp_path_factory.mktemp("alone") / "places"
    assert run_all(begun(folder)) == [0]
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_a_process_killed_in_mid_write_leaves_nothing_that_is_used(tmp_path: Path, kept_sizes: dict[str, int]) -> None:
    folder = tmp_path / "places"
    [code] = run_all(begun(folder, killed_at=max(kept_sizes.values()) // 2))
    assert code < 0, "it was not killed"
    half = [path for path in folder.iterdir() if path.name.startswith(".")]
    assert len(half) == 1 and half[0].stat().st_size > 0
    before = whole(folder)
    assert len(before) < len(kept_sizes)
    assert run_all(begun(folder)) == [0]
    after = whole(folder)
    assert after.keys() == kept_sizes.keys() and before.items() <= after.items()
    assert {name: (folder / name).stat().st_size for name in after} == kept_sizes


def test_processes_that_find_the_same_places_at_once_lose_none(tmp_path: Path, kept_sizes: dict[str, int]) -> None:
    folder = tmp_path / "places"
    assert run_all(begun(folder), begun(folder)) == [0, 0]
    before = whole(folder)
    assert {name: (folder / name).stat().st_size for name in before} == kept_sizes
    assert run_all(begun(folder, times=2)) == [0]
    assert whole(folder) == before, "what was there was made anew"


def test_a_process_reads_on_while_another_makes_room(tmp_path: Path, kept_sizes: dict[str, int]) -> None:
    folder = tmp_path / "places"
    room_for_one = sum(kept_sizes.values()) // 3
    assert run_all(*(begun(folder, most_bytes=room_for_one, times=6) for _ in range(2))) == [0, 0]
    for name in whole(folder):
        assert (folder / name).stat().st_size == kept_sizes[name]
