"""Decoding leaves nothing behind: a clip's length does not show in memory."""

import gc
from pathlib import Path

import av
import numpy as np

from ex4d.clip import write_video
from ex4d.clip.video import open_video

COUNT = 96


def frames_alive() -> int:
    # By type, not isinstance: that asks objects for their class, and other libraries' answer with warnings.
    return sum(issubclass(type(each), av.VideoFrame) for each in gc.get_objects())


def test_decoded_frames_go_without_waiting_for_pythons_collector(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_video(tmp_path / "clip.mp4", rng.integers(0, 255, (COUNT, 48, 64, 3), np.uint8), fps=24)
    gc.collect()
    gc.disable()
    try:
        before, most = frames_alive(), 0
        with open_video(tmp_path / "clip.mp4") as (_, frames):
            for _ in frames:
                most = max(most, frames_alive() - before)
    finally:
        gc.enable()
    assert 0 < most < COUNT // 3  # those that a decoder holds back are few, however long the clip is
