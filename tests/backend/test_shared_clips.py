"""A long clip is read once, whichever process of the server needs it, and is gone when the last has let go."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ex4d.clip.writing import write_video
from ex4d_backend import sources
from ex4d_backend.blob_files import blob_path
from ex4d_protocol.requests import BlobRef, ClipSpec, Media

FRAMES, HEIGHT, WIDTH = 6, 48, 64


@pytest.fixture
def place(tmp_path, monkeypatch, request):
    """A data folder whose every clip counts as long, with the blobs of one; its spec. Its depth has sky and holes."""
    monkeypatch.setattr(sources, "IN_MEMORY_BYTES", 0)
    rng = np.random.default_rng(3)
    write_video(tmp_path / "clip.mp4", rng.integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), np.uint8), fps=24)
    depth = rng.uniform(2, 9, (FRAMES, HEIGHT, WIDTH)).astype(np.float32)
    if getattr(request, "param", "") != "plain":
        depth[:, :8] = np.inf
        depth[2, 20, 20:24] = np.nan
    np.save(tmp_path / "depth.npy", depth)
    media = {}
    for kind, name in (("video", "clip.mp4"), ("npy", "depth.npy")):
        data = (tmp_path / name).read_bytes()
        ref = BlobRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data), name=name)
        path = blob_path(tmp_path / "blobs", ref.sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        media[kind] = Media(kind=kind, blobs=(ref,))
    (tmp_path / "scratch").mkdir()
    return tmp_path, ClipSpec(video=media["video"], depth=media["npy"], fill_invalid=True, name="a clip")


def load(place, process: str, monkeypatch, **watch):
    """The clip as a process of that name gets it."""
    folder, spec = place
    monkeypatch.setenv("EX4D_SCRATCH", str(folder / "scratch" / process))
    links = Path(tempfile.mkdtemp(dir=folder))
    return sources.Sources().clip(spec, folder / "blobs", links, clip_pixels=1 << 40, **watch)


def kept(place) -> list[str]:
    return sorted(path.parent.parent.parent.name for path in place[0].glob("scratch/*/clips/*/clip.msgpack"))


def same(one, other) -> None:
    for name in ("frames", "depth"):
        np.testing.assert_array_equal(np.asarray(getattr(one.clip, name)), np.asarray(getattr(other.clip, name)))
    for name in ("intrinsics", "fps", "name", "depth_source", "sky_from", "footage", "view"):
        assert getattr(one.clip, name) == getattr(other.clip, name)
    assert (one.filled, one.notes) == (other.filled, other.notes)


def test_a_second_process_has_the_clip_without_reading_it(place, monkeypatch):
    first = load(place, "worker", monkeypatch)
    alone = sources.Sources()
    monkeypatch.delenv("EX4D_SCRATCH")
    same(first, alone.clip(place[1], place[0] / "blobs", place[0] / "links" / "alone", clip_pixels=1 << 40))
    assert first.filled is not None and first.filled.count == 4 and kept(place) == ["worker"]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("read twice")

    monkeypatch.setattr(sources, "load_clip", never)
    second = load(place, "live", monkeypatch)
    same(second, first)
    del first
    gc.collect()
    assert kept(place) == ["live"]
    third = load(place, "worker", monkeypatch)
    same(third, second)
    del second, third
    gc.collect()
    assert kept(place) == [] and not list((place[0] / "scratch").glob("*/clips/*"))


@pytest.mark.parametrize("place", ["plain"], indirect=True)
def test_depth_that_needs_no_change_is_not_copied(place, monkeypatch):
    first = load(place, "worker", monkeypatch)
    second = load(place, "live", monkeypatch)
    (blob,) = (ref.sha256 for ref in place[1].depth.blobs)
    stored = blob_path(place[0] / "blobs", blob)
    for path in (place[0] / "scratch").glob("*/clips/*/depth.raw"):
        assert path.samefile(stored)
    assert stored.stat().st_nlink >= 3
    stored.unlink()  # it has expired
    same(first, second)
    np.testing.assert_array_equal(np.asarray(second.clip.depth), np.load(place[0] / "depth.npy"))


def test_who_lets_go_of_all_leaves_nothing(place, monkeypatch):
    folder, spec = place
    monkeypatch.setenv("EX4D_SCRATCH", str(folder / "scratch" / "worker"))
    loader = sources.Sources()
    loader.clip(spec, folder / "blobs", folder / "links", clip_pixels=1 << 40)
    gc.collect()
    assert kept(place) == ["worker"]
    loader.let_go()
    gc.collect()
    assert kept(place) == []


def test_who_comes_while_it_is_read_waits_for_it(place, monkeypatch):
    reading, go_on = threading.Event(), threading.Event()
    load_clip, read = sources.load_clip, []

    def slowly(*given, **options):
        read.append(1)
        reading.set()
        assert go_on.wait(60)
        return load_clip(*given, **options)

    monkeypatch.setattr(sources, "load_clip", slowly)
    first: list = []
    reader = threading.Thread(target=lambda: first.append(load(place, "worker", monkeypatch)))
    reader.start()
    assert reading.wait(60)
    waited = []

    def on_progress(progress) -> None:
        waited.append(progress.stage)
        go_on.set()

    second = load(place, "live", monkeypatch, on_progress=on_progress)
    reader.join(60)
    same(second, first[0])
    assert waited and len(read) == 1


def test_a_reading_that_fails_leaves_nothing_and_the_next_reads_for_itself(place, monkeypatch):
    load_clip = sources.load_clip

    def fails(*given, **options):
        load_clip(*given, **options)
        raise MemoryError

    monkeypatch.setattr(sources, "load_clip", fails)
    with pytest.raises(MemoryError):
        load(place, "worker", monkeypatch)
    assert not list((place[0] / "scratch").glob("*/clips/*"))
    monkeypatch.setattr(sources, "load_clip", load_clip)
    assert load(place, "live", monkeypatch).clip.num_frames == FRAMES


@pytest.mark.skipif(os.name != "posix", reason="a signal that cannot be caught")
def test_a_clip_outlives_the_process_that_read_it(place, monkeypatch):
    folder, spec = place
    code = (
        "import sys, msgspec; from pathlib import Path; from ex4d_backend import sources;"
        "from ex4d_protocol.requests import ClipSpec; sources.IN_MEMORY_BYTES = 0; folder = Path(sys.argv[1]);"
        "spec = msgspec.json.decode(sys.stdin.readline(), type=ClipSpec);"
        "kept = sources.Sources().clip(spec, folder / 'blobs', folder / 'links' / 'dead', clip_pixels=1 << 40);"
        "print('read', flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"EX4D_SCRATCH": str(folder / "scratch" / "dead")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], env=environment, **pipes) as process:
        process.stdin.write(msgspec.json.encode(spec).decode() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "read\n"
        before = load(place, "live", monkeypatch)
        process.kill()
    for path in sorted(Path(folder / "scratch" / "dead").rglob("*"), reverse=True):  # as the server does
        path.unlink() if path.is_file() else path.rmdir()
    monkeypatch.setattr(sources, "load_clip", None)
    same(load(place, "worker", monkeypatch), before)
