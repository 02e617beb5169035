"""The scratch disk that a run is said to take, beside what it writes there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest

from ex4d import needs
from ex4d.cli.shot import render_shot
from ex4d.clip import load, write_video
from ex4d.coverage_plot import shown_frames
from ex4d.engines import get_engine
from ex4d.frames import scratch, stack
from ex4d.progress import Watch
from ex4d.shots.options import ShotOptions
from ex4d.shots.take import run_engine

FRAMES, SIZE = 12, 96


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, Path]:
    """A box that goes before a striped wall, and its depth, which is read in place."""
    y, x = np.mgrid[:SIZE, :SIZE]
    frames = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8)
    depth = np.full((FRAMES, SIZE, SIZE), 8, np.float32)
    for t in range(FRAMES):
        frames[t] = np.stack([60 + 60 * (x // 4 % 2), 90 + 0 * x, 150 + 30 * (y // 6 % 2)], axis=-1)
        box = (abs(x - 20 - 5 * t) < 10) & (abs(y - 48) < 18)
        frames[t][box], depth[t][box] = (230, 60, 20), 3
    write_video(tmp_path / "clip.mp4", frames, fps=12)
    np.savez(tmp_path / "depth.npz", depth=depth)
    return tmp_path / "clip.mp4", tmp_path / "depth.npz"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes written to scratch files, where nothing is small enough for memory."""
    sizes: list[int] = []
    write = scratch.ScratchFile.write

    def counted(self: scratch.ScratchFile, offset: int, data: memoryview) -> None:
        sizes.append(data.nbytes)
        write(self, offset, data)

    monkeypatch.setattr(scratch.ScratchFile, "write", counted)
    for module in (stack, load, needs):
        monkeypatch.setattr(module, "IN_MEMORY_BYTES", 0)
    return sizes


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of scratch disk that a run says it takes."""
    sizes: list[int] = []
    require = needs.RunNeeds.require_room

    def noted(self: needs.RunNeeds) -> None:
        sizes.append(self.disk_bytes)
        require(self)

    monkeypatch.setattr(needs.RunNeeds, "require_room", noted)
    return sizes


@pytest.mark.parametrize("pictures", [None, shown_frames])
def test_guides_take_what_was_said(
    source: tuple[Path, Path], written: list[int], told: list[int], pictures: Callable[[int], Collection[int]] | None
) -> None:
    render_shot(ShotOptions(source[0], "orbit_left", source[1], rasterizer="cpu"), Watch(), pictures=pictures)
    assert told == [sum(written)]


@pytest.mark.parametrize("known", [False, True])
def test_a_preview_takes_what_was_said(
    source: tuple[Path, Path], written: list[int], told: list[int], known: bool
) -> None:
    """What else the clip shows is reckoned by what it usually is."""
    engine = get_engine("preview")
    settings = engine.info().validated({"known_first": known})
    options = ShotOptions(source[0], "orbit_left", source[1], rasterizer="cpu")
    shot = render_shot(options, Watch(), settings=settings, takes=True)
    run_engine(engine, shot, settings=settings)
    (said,) = told
    assert said == sum(written) if not known else 0.75 < sum(written) / said <= 1
