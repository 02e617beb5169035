"""Arrays of changing shapes, in memory or in a file without a name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ex4d.frames.packed import PackedFrames


@pytest.mark.parametrize("in_memory_bytes", [0, 300, 1 << 20])
def test_what_was_put_comes_back_from_memory_and_from_disk(
    in_memory_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EX4D_SCRATCH", str(tmp_path))
    rng = np.random.default_rng(0)
    given = {
        i: (rng.integers(0, 99, i * 7, np.int32), rng.integers(0, 255, (i, 3), np.uint8), rng.random((4, 5 - i % 2)))
        for i in (3, 0, 5, 1)
    }
    frames = PackedFrames("What is tried", in_memory_bytes=in_memory_bytes)
    for i, arrays in given.items():
        frames.put(i, arrays)
    for i, arrays in given.items():
        for one, other in zip(frames[i], arrays, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
    with pytest.raises(KeyError):
        frames[2]
    assert not list(tmp_path.iterdir()), "nothing that could be left over has a name"
