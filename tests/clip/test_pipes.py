"""A pipe or a device named as footage is refused at once: reading it would never end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ex4d.clip import read_depth, read_video
from ex4d_ground.errors import Ex4dError

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.exr", "a.png", "a.mkv"])
@pytest.mark.parametrize("read", [read_video, read_depth])
def test_a_pipe_is_refused_in_a_sentence(tmp_path: Path, name, read) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(Ex4dError, match="no regular file"):
        read(tmp_path / name)
