"""A large clip shows its first frame by a job of its own, before the rest was sent; the whole has the last word."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from test_addon_first_frame import begin, finish, folders, step, until
from test_addon_layers import current


@pytest.fixture
def large(monkeypatch):
    """Every clip counts as a large one."""
    from blender_addon.jobs import opening

    monkeypatch.setattr(opening, "LARGE_BYTES", 0)
    return opening


@pytest.mark.parametrize("kind", ["npz", "npy", "pictures"])
def test_an_opening_holds_the_first_frames_and_what_stands_beside_them(large, tmp_path, kind):
    from blender_addon.jobs.media import ClipFiles, MediaFiles

    depth = np.arange(5 * 4 * 6, dtype=np.float32).reshape(5, 4, 6)
    paths = [tmp_path / f"depth.{kind}"]
    if kind == "npz":
        np.savez_compressed(paths[0], depth=depth, facts=np.array('{"focal": 3}'))
    elif kind == "npy":
        np.save(paths[0], depth)
    else:
        paths = [tmp_path / f"{i}.exr" for i in range(5)]
        paths[0].write_bytes(b"0" * 64)
    given = MediaFiles("exr_sequence" if kind == "pictures" else kind, tuple(paths))
    folder = tmp_path / "made"
    folder.mkdir()
    made = large.opening_of(ClipFiles(MediaFiles("video", (tmp_path / "clip.mp4",)), given), folder)
    assert made.num_frames == 5 and made.files.video.paths == (tmp_path / "clip.mp4",)
    assert made.files.depth.kind == given.kind
    if kind == "pictures":
        assert made.files.depth.paths == given.paths[:2]
        return
    (path,) = made.files.depth.paths
    assert path == made.made
    short = np.load(path)
    np.testing.assert_array_equal(short["depth"] if kind == "npz" else short, depth[:2])
    assert kind == "npy" or str(short["facts"]) == '{"focal": 3}'


def test_small_damaged_and_missing_depth_has_no_opening(large, tmp_path, monkeypatch):
    from blender_addon.jobs.media import ClipFiles, MediaFiles

    video = MediaFiles("video", (tmp_path / "clip.mp4",))
    for name, content in (("a.npz", b"PK nothing"), ("a.npy", b"\x93NUMPY"), ("b.npz", b"")):
        (tmp_path / name).write_bytes(content)
        files = MediaFiles(name[2:], (tmp_path / name,))
        assert large.opening_of(ClipFiles(video, files), tmp_path) is None
    assert large.opening_of(ClipFiles(video, None), tmp_path) is None
    monkeypatch.setattr(large, "LARGE_BYTES", 1 << 20)
    np.save(tmp_path / "small.npy", np.ones((5, 4, 6), np.float32))
    assert large.opening_of(ClipFiles(video, MediaFiles("npy", (tmp_path / "small.npy",))), tmp_path) is None
    assert not (tmp_path / "opening.npy").exists()


def test_the_whole_clip_decides_what_the_opening_could_not_know(large, connected, sources, small_clip):
    from blender_addon.scene import mesh
    from blender_addon.work import files, pc2

    depth = small_clip.depth.copy()
    depth[:, 20:30, 90:120] = 5000.0  # one far number: sky, as far as the first frames tell
    depth[4, 40:50, 90:120] = 3000.0  # there is more so far away, so it is none
    np.savez_compressed(sources["depth_path"], depth=depth)
    blender = connected
    task = begin(blender, sources)
    until(blender, task, lambda: blender.context.scene.ex4d.shot is not None)
    body = current(blender)
    early = mesh.positions(body.data).copy()
    assert not task.finished and early[:, 2].max() < 101
    assert blender.context.scene.ex4d.shot.ex4d.num_frames == 5
    finish(blender, task)
    props = blender.context.scene.ex4d.shot.ex4d
    cache = pc2.read_pc2(Path(blender.path.abspath(props.folder)) / files.CACHE_FILE)
    np.testing.assert_array_equal(mesh.positions(current(blender).data), cache[0])
    assert cache[0][:, 2].max() == 5000 and len(cache) == 5 and folders(blender) == ["clip"]
    assert not list(Path(blender.path.abspath(props.folder)).glob("opening*"))
    assert '"num_frames":2' not in props.clip_json and not props.arriving


def test_a_refused_opening_leaves_the_word_to_the_whole_clip(large, connected, sources, small_clip):
    depth = small_clip.depth.copy()
    depth[0, 20, 20] = 0.0
    np.savez_compressed(sources["depth_path"], depth=depth)
    task = begin(connected, sources)
    end = time.monotonic() + 240
    while not task.finished and time.monotonic() < end:
        step(connected, task)
    assert "no usable value in 1 of" in str(task.error) and f"of {depth.size} pixels" in str(task.error)
    task.watched_at = 0.0
