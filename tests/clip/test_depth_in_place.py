"""Depth that lies in its file as it is to be read is read from there, and copied nowhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import load, load_clip, write_video
from ex4d.frames.store import DiskFrames
from ex4d_ground.errors import DepthError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a file that is read can't be removed there")
FRAMES, HEIGHT, WIDTH = 5, 32, 48
WRITERS: dict[str, Callable[..., None]] = {".npy": np.save, ".npz": lambda path, depth: np.savez(path, depth=depth)}


@pytest.fixture
def depth(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(load, "IN_MEMORY_BYTES", 0)
    return np.random.default_rng(0).uniform(2, 9, (FRAMES, HEIGHT, WIDTH)).astype(np.float32)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    frames = np.random.default_rng(1).integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    write_video(tmp_path / "clip.mp4", frames, fps=10)
    return tmp_path / "clip.mp4"


@pytest.mark.parametrize("suffix", WRITERS)
def test_it_is_the_file_itself_also_when_that_is_gone(
    depth: np.ndarray, video: Path, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"depth{suffix}"
    WRITERS[suffix](path, depth)
    clip = load_clip(video, path)
    assert isinstance(clip.depth, DiskFrames) and clip.depth.offset > 0
    np.testing.assert_allclose(clip.depth.bounds, [(frame.min(), frame.max()) for frame in depth])
    path.unlink()
    np.testing.assert_array_equal(np.asarray(clip.depth), depth)


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_needs_a_change_is_copied_and_the_file_stays(
    depth: np.ndarray, video: Path, tmp_path: Path, suffix: str
) -> None:
    depth[3, :4] = np.inf  # sky
    path = tmp_path / f"depth{suffix}"
    WRITERS[suffix](path, depth)
    before = path.read_bytes()
    clip = load_clip(video, path)
    assert np.isfinite(np.asarray(clip.depth)).all()
    np.testing.assert_array_equal(np.asarray(clip.depth)[:3], depth[:3])
    assert path.read_bytes() == before


def test_a_damaged_archive_is_told(depth: np.ndarray, video: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "depth.npz", depth=depth)
    data = bytearray((tmp_path / "depth.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "depth.npz").write_bytes(data)
    with pytest.raises(DepthError, match="CRC"):
        load_clip(video, tmp_path / "depth.npz")
