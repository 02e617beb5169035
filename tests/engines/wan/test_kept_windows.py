"""Windows of a long clip kept on disk: made one run at a time they are those of one run, byte by byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_cli import FAST, home  # noqa: F401 - a fixture
from wan_requests import make_guides, make_request

from ex4d.cli.app import main
from ex4d.clip import write_video
from ex4d.engines.kept_windows import KeptWindows, Paused
from ex4d.engines.wan import WanEngine, tiles
from ex4d.engines.wan.windows import windows
from ex4d.takes import read_take


def singly(engine: WanEngine, request, path: Path, count: int) -> tuple[np.ndarray, list[set[str]]]:
    """The frames, made in a run for each window, and the windows that each run was busy with."""
    busy: list[set[str]] = []
    for at_most in range(1, count + 1):
        stages: set[str] = set()
        part = replace(request, kept=KeptWindows(path, at_most))
        try:
            frames = engine.generate(part, on_progress=lambda p, seen=stages: seen.add(p.stage))
        except Paused as paused:
            assert paused.exit_code == 0 and "kept" in str(paused)
        busy.append({stage for stage in stages if stage.startswith("denoising")})
    return frames, busy


def test_windows_made_one_run_at_a_time_are_those_of_one_run(engine: WanEngine, tmp_path: Path) -> None:
    request = make_request(count=11, seed=4, steps=1)
    assert len(windows(11, window=5, overlap=2)) == 3
    frames, busy = singly(engine, request, tmp_path / "kept", 3)
    assert busy == [{f"denoising (window {i} of 3)"} for i in range(1, 4)]
    sent: list[int] = []
    engine.generate(replace(request, kept=KeptWindows(tmp_path / "kept")), on_frame=lambda i, frame: sent.append(i))
    assert sent == list(range(11))  # also those of windows that were there
    assert np.array_equal(frames, engine.generate(request))


@pytest.mark.slow
def test_windows_of_two_passes_are_kept_too(engine: WanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "NATIVE", (64, 48))
    monkeypatch.setattr(tiles, "OVERLAP", 32)
    request = make_request(7, 58, 90, seed=2, steps=1)
    frames, busy = singly(engine, request, tmp_path / "kept", 4)
    names = [f"denoising ({name} pass, window {i} of 2)" for name in ("first", "second") for i in (1, 2)]
    assert [sorted({stage.split(", tile")[0].rstrip(")") for stage in each}) for each in busy] == [
        [name.rstrip(")")] for name in names
    ]
    assert np.array_equal(frames, engine.generate(request))


def test_what_is_kept_and_damaged_is_made_anew(engine: WanEngine, tmp_path: Path) -> None:
    request = make_request(count=8, seed=4, steps=1)
    with pytest.raises(Paused, match=r"Window 1 is done of 2 and kept"):
        engine.generate(replace(request, kept=KeptWindows(tmp_path / "kept", 1)))
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:500])
    kept = KeptWindows(tmp_path / "kept")
    assert np.array_equal(engine.generate(replace(request, kept=kept)), engine.generate(request))
    kept.remove()
    assert not list(tmp_path.iterdir())


def test_a_farm_gives_out_windows_of_a_shot_singly(
    home: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_video(tmp_path / "clip.mp4", make_guides(8, 48, 64).colour, fps=12)
    np.savez(tmp_path / "depth.npz", depth=np.full((8, 48, 64), 6.0, np.float32))
    source = ["--input_video", str(tmp_path / "clip.mp4"), "--depth", str(tmp_path / "depth.npz")]
    command = ["run", *source, "--cam", "orbit_left", *FAST, "--set", "window=5", "--set", "overlap=2"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*command, "--output_dir", str(whole)]) == 0
    command += ["--output_dir", str(parts)]
    assert main([*command, "--windows", "1"]) == 0
    assert "Window 1 is done of 2" in capsys.readouterr().err
    assert not list(parts.glob("take*"))
    with monkeypatch.context() as patch:
        patch.setattr("ex4d.engines.wan.pipeline.load_transformer", None)  # that window again needs no model
        assert main([*command, "--windows", "1"]) == 0
    assert main(command) == 0
    assert read_take(parts / "take_001").frames.tobytes() == read_take(whole / "take_001").frames.tobytes()
    assert sorted(path.name for path in parts.iterdir()) == ["take_001", "take_001.mp4"]
