"""Bits that flipped on a disk, in the parts of numpy's archives that no checksum covers, are told in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip.depth import read_depth
from ex4d.clip.depth_facts import read_depth_facts
from ex4d.clip.thickness_map import read_thickness_map
from ex4d.depth.store import read_npz_small
from ex4d_ground.camera_files import load_camera, save_camera
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import Ex4dError, InputError

FLIPS = (0x01, 0x08, 0x2B)
"""Bits that make an archive's member look encrypted, or compressed in another way."""


def damaged(whole: bytes) -> Iterator[bytes]:
    """The archive with each byte of its lists of members changed, and of the beginning of the first member."""
    start = whole.index(b"PK\x01\x02")
    for place in (*range(60), *range(start, len(whole))):
        for flip in FLIPS:
            yield whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]


def archive(path: Path) -> Path:
    np.savez_compressed(path, depth=np.full((2, 6, 8), 3, np.float32), facts=np.array('{"estimator": "x"}'))
    return path


def camera(path: Path) -> Path:
    poses, lenses = np.repeat(np.eye(4)[None], 2, axis=0), np.repeat([[50.0, 50, 4, 3]], 2, axis=0)
    save_camera(path, Trajectory(poses, lenses, np.arange(2.0), 8, 6))
    return path


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (camera, lambda path: load_camera(path, size=(8, 6))),
        (archive, lambda path: np.asarray(read_depth(path))),
        (archive, read_depth_facts),
        (archive, lambda path: read_npz_small(path, "depth")),
        (archive, lambda path: read_thickness_map(path)),
    ],
    ids=["camera", "depth", "facts", "small", "thickness"],
)
def test_a_damaged_archive_is_read_or_refused_in_a_sentence(make, read, tmp_path: Path) -> None:
    path, refused = make(tmp_path / "a.npz"), 0
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        try:
            read(path)
        except Ex4dError:
            refused += 1
    assert refused > 100


def test_a_thickness_map_of_another_kind_is_told_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(InputError, match=r"^[^:]*has no array 'thickness'; it has: a, b\.$"):
        read_thickness_map(tmp_path / "two.npz")
