"""Frames that lie on disk look like an array, stay within memory, and leave nothing behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import load_clip, write_video
from ex4d.frames import DepthStack, Frames, FrameStack, FrameStore, JoinedFrames, MappedFrames, PickedFrames, bounds_of
from ex4d.frames import scratch as scratch_module
from ex4d.frames import stack as stack_module
from ex4d_ground.errors import ClipError, DepthError, OutputError, ShapeError


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every clip is too large for memory here; the scratch folder."""
    folder = tmp_path / "scratch"
    monkeypatch.setenv("EX4D_SCRATCH", str(folder))
    monkeypatch.setattr(stack_module, "IN_MEMORY_BYTES", 0)
    return folder


def stacked(values: np.ndarray) -> Frames:
    stack = FrameStack(expected=len(values), label="the clip")
    for frame in values:
        stack.append(frame)
    return stack.frames()


VALUES = np.random.default_rng(0).integers(0, 255, (9, 6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    "key",
    [
        0, -1, np.int64(3), slice(2, 5), slice(None, None, -2), [4, 4, 0], np.array([1, 8]), np.arange(9) % 2 == 0,
        (3, 2), (slice(1, 4), slice(None, None, 3), 2), ([0, 5], Ellipsis, 1),
    ],
)  # fmt: skip
def test_a_store_is_indexed_like_the_array(on_disk: Path, key: object) -> None:
    store = stacked(VALUES)
    assert isinstance(store, FrameStore)
    assert np.array_equal(np.asarray(store[key]), VALUES[key])  # pyright: ignore[reportArgumentType]


def test_a_store_has_the_arrays_looks(on_disk: Path) -> None:
    store = stacked(VALUES)
    assert (store.shape, store.dtype, store.ndim, store.size, store.nbytes, len(store)) == (
        VALUES.shape, VALUES.dtype, 4, VALUES.size, VALUES.nbytes, 9,
    )  # fmt: skip
    assert all(np.array_equal(a, b) for a, b in zip(store, VALUES, strict=True))
    with pytest.raises(IndexError):
        store[9]


def test_parts_of_parts_and_views_read_only_what_is_asked(on_disk: Path) -> None:
    read: list[int] = []

    def noted(frame: np.ndarray) -> np.ndarray:
        read.append(int(np.flatnonzero((frame == VALUES).all(axis=(1, 2, 3)))[0]))
        return 255 - frame

    store = MappedFrames(stacked(VALUES), noted)
    assert np.array_equal(store[2:][1], 255 - VALUES[3])
    assert np.array_equal(PickedFrames(store, [7, 0])[0], 255 - VALUES[7])
    assert read == [3, 7]


def test_two_eyes_join_and_must_fit(on_disk: Path) -> None:
    store = stacked(VALUES)
    assert np.array_equal(np.asarray(JoinedFrames(store, VALUES)), np.concatenate([VALUES, VALUES], axis=2))
    with pytest.raises(ShapeError, match="side by side"):
        JoinedFrames(store, VALUES[1:])


@pytest.mark.parametrize("begun_in_memory", [False, True])
def test_masks_lie_on_disk_as_bits(on_disk: Path, monkeypatch: pytest.MonkeyPatch, begun_in_memory: bool) -> None:
    """Whatever their number of pixels, strides and order, and where they move there while they are collected."""
    written: list[int] = []
    write = scratch_module.ScratchFile.write

    def counted(self: scratch_module.ScratchFile, offset: int, data: memoryview) -> None:
        written.append(data.nbytes)
        write(self, offset, data)

    monkeypatch.setattr(scratch_module.ScratchFile, "write", counted)
    if begun_in_memory:
        monkeypatch.setattr(stack_module, "IN_MEMORY_BYTES", 100)
    masks = (np.random.default_rng(1).random((9, 7, 5)) < 0.4)[:, ::-1]
    stack = FrameStack(expected=2 if begun_in_memory else len(masks), label="masks")
    for i in range(len(masks)) if begun_in_memory else (3, 0, 8, 1, 2, 7, 4, 6, 5):
        stack.put(i, masks[i])
    store = stack.frames()
    assert isinstance(store, FrameStore)
    assert (store.dtype, store.shape) == (np.bool_, masks.shape)
    assert np.array_equal(np.asarray(store), masks)
    assert written == [5] * 9  # 35 bits


def test_few_frames_stay_an_array(tmp_path: Path) -> None:
    assert isinstance(stacked(VALUES), np.ndarray)


def test_frames_that_become_too_many_move_to_disk_unharmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "IN_MEMORY_BYTES", 4 * VALUES[0].nbytes)
    stack = FrameStack(expected=2, label="the clip")
    for frame in VALUES:
        stack.append(frame)
    assert isinstance(stack.frames(), FrameStore)
    assert np.array_equal(np.asarray(stack.frames()), VALUES)


def test_many_threads_write_and_read_frames_in_any_order(on_disk: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(1, 9, (64, 32, 48)).astype(np.float32)
    stack = DepthStack(expected=64, label="the depth")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: stack.put(int(i), values[i]), rng.permutation(64)))
    store, barrier = stack.frames(), threading.Barrier(8)

    def look(seed: int) -> bool:
        barrier.wait()
        return all(np.array_equal(store[int(i)], values[i]) for i in np.random.default_rng(seed).integers(0, 64, 300))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, range(8)))
    assert np.array_equal(bounds_of(store), np.stack([values.min(axis=(1, 2)), values.max(axis=(1, 2))], axis=1))


def write_clip(folder: Path, frames: np.ndarray, depth: np.ndarray) -> tuple[Path, Path]:
    write_video(folder / "a.mp4", frames, fps=24)
    np.savez(folder / "a.npz", depth=depth)
    return folder / "a.mp4", folder / "a.npz"


@pytest.mark.parametrize("kind", ["plain", "holes", "sky", "shared sky", "holes in sky"])
def test_a_clip_on_disk_is_the_clip_in_memory(
    tmp_path: Path, frames: np.ndarray, depth: np.ndarray, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    given = depth.copy()
    given[2:4, :9] = np.inf if "sky" in kind and "shared" not in kind else given[2:4, :9]
    given[:, :5] = 400.0 if kind == "shared sky" else given[:, :5]
    if "holes" in kind:
        given[3, 4:20, 10:30] = np.nan
        given[5, 30:34] = -1
    paths = write_clip(tmp_path, frames, given)
    told: list[list[str]] = [[], []]
    in_memory = load_clip(*paths, fill_invalid=True, on_note=told[0].append)
    monkeypatch.setattr(stack_module, "IN_MEMORY_BYTES", 0)
    on_disk = load_clip(*paths, fill_invalid=True, on_note=told[1].append)
    assert isinstance(on_disk.frames, FrameStore)
    assert isinstance(on_disk.depth, FrameStore)
    assert np.array_equal(np.asarray(on_disk.frames), in_memory.frames)
    assert np.array_equal(np.asarray(on_disk.depth), in_memory.depth)
    assert (told[1], on_disk.sky_from) == (told[0], in_memory.sky_from)
    assert np.array_equal(bounds_of(on_disk.depth), bounds_of(in_memory.depth))


def test_invalid_depth_is_refused_in_the_same_words(tmp_path: Path, frames, depth, on_disk: Path) -> None:
    given = depth.copy()
    given[4, 3, 5:9] = np.nan
    with pytest.raises(DepthError, match=r"4 of 21504 pixels .*4 NaN; first in frame 5"):
        load_clip(*write_clip(tmp_path, frames, given))


def test_too_little_disk_is_told_before_anything_is_decoded(
    tmp_path: Path, frames, depth, on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_clip(tmp_path, frames, depth)
    monkeypatch.setattr(scratch_module, "SPARE_BYTES", 1 << 62)
    with pytest.raises(ClipError, match=r"needs 0\.0 GiB of disk decoded at 64x48, and .* has 0\.0 GiB free"):
        load_clip(*paths)


FULL_DISK = r"""
import resource, signal, sys
import numpy as np
from ex4d.frames import FrameStack, stack
from ex4d_ground.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
stack.IN_MEMORY_BYTES = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
frames = FrameStack(expected=20, label="The clip")
try:
    for i in range(20):
        frames.append(np.zeros((100, 100), np.uint8))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX's")
def test_a_disk_that_fills_up_on_the_way_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "EX4D_SCRATCH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", FULL_DISK], env=environment, capture_output=True, text=True)
    assert done.stdout.startswith(f"The clip cannot be kept in {tmp_path} while it is worked on: "), done
    assert "set EX4D_SCRATCH to a folder with more room" in done.stdout
    assert not list(tmp_path.iterdir())


KILLED = r"""
import sys
import numpy as np
from ex4d.frames import FrameStack, stack
stack.IN_MEMORY_BYTES = 0
frames = FrameStack(expected=20, label="the clip")
for i in range(20):
    frames.append(np.zeros((400, 400), np.uint8))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX's")
def test_a_killed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "EX4D_SCRATCH": str(tmp_path)}
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("EX4D_SCRATCH", str(tmp_path / "file"))
    monkeypatch.setattr(stack_module, "IN_MEMORY_BYTES", 0)
    with pytest.raises(OutputError, match=r"file, the value of EX4D_SCRATCH, cannot be written to"):
        stacked(VALUES)


def test_the_place_is_the_users_cache_before_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EX4D_SCRATCH", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if sys.platform == "linux":
        assert scratch_module.scratch_folder() == tmp_path / "cache" / "ex4d" / "scratch"


def test_a_file_system_without_nameless_files_is_served_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EX4D_SCRATCH", str(tmp_path))
    monkeypatch.setattr(stack_module, "IN_MEMORY_BYTES", 0)
    real = os.open

    def refusing(path, flags, *rest, **more) -> int:
        if flags & getattr(os, "O_TMPFILE", 0) == getattr(os, "O_TMPFILE", -1):
            raise OSError(errno.EOPNOTSUPP, "not here")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)
    assert np.array_equal(np.asarray(stacked(VALUES)), VALUES)
    assert not list(tmp_path.iterdir())
