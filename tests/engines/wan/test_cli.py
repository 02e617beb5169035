"""``ex4d generate`` and ``ex4d run`` with the model's engine on tiny weights, as a user or a farm calls them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wan_golden import Golden
from wan_requests import make_guides, tensor_bytes

from ex4d.cli.app import main
from ex4d.clip import read_video, write_video
from ex4d.takes import read_take
from ex4d_ground.stereo import Eyes
from ex4d_ground.takes import read_take_info

FAST = ["--set", "device=cpu", "--set", "steps=1", "--set", "cfg_scale=1", "--set", "compile=false"]


@pytest.fixture
def home(chain: Golden, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder in the usual places, named by the environment."""
    root = tmp_path / "weights"
    shutil.copytree(chain.weights.base, root / "Wan2.1-I2V-14B-480P")
    (root / "EX-4D").mkdir()
    shutil.move(root / "Wan2.1-I2V-14B-480P" / "ex4d.ckpt", root / "EX-4D" / "ex4d.ckpt")
    monkeypatch.setenv("EX4D_WEIGHTS", str(root))
    monkeypatch.setattr("ex4d.engines.wan.engine.default_cache", lambda: prompts)
    return root


@pytest.fixture
def shot(tmp_path: Path) -> list[str]:
    """The source options of a clip of five frames: a near square in front of a far wall."""
    frames = make_guides(5, 48, 64).colour
    depth = np.full((5, 48, 64), 6.0, np.float32)
    depth[:, 12:36, 20:44] = 2.0
    write_video(tmp_path / "clip.mp4", frames, fps=12)
    np.savez(tmp_path / "depth.npz", depth=depth)
    return ["--input_video", str(tmp_path / "clip.mp4"), "--depth", str(tmp_path / "depth.npz")]


def test_generate_takes_the_published_flags(home: Path, tmp_path: Path) -> None:
    guides = make_guides(7, 40, 52)
    write_video(tmp_path / "c.mp4", guides.colour, fps=15)
    write_video(tmp_path / "m.mp4", guides.mask, fps=15)
    out = tmp_path / "out.mp4"
    arguments = ["--color_video", tmp_path / "c.mp4", "--mask_video", tmp_path / "m.mp4", "--output_video", out]
    size = ["--height", 48, "--width", 64, "--num_frames", 5, "--seed", 3, "--num_inference_steps", 1]
    paths = ["--ex4d_path", home / "EX-4D" / "ex4d.ckpt", "--dit_dir", home / "Wan2.1-I2V-14B-480P"]
    assert main([str(a) for a in ["generate", *arguments, *size, *paths, "--device", "cpu"]]) == 0
    frames, fps = read_video(out)
    assert frames.shape == (5, 48, 64, 3) and fps == 15


def test_run_makes_a_take_and_finds_it_again(home: Path, shot: list[str], tmp_path: Path, capsys) -> None:
    out = tmp_path / "shots"
    command = ["run", *shot, "--cam", "orbit_left", "--output_dir", str(out), *FAST]
    assert main(command) == 0
    take = read_take(out / "take_001")
    assert take.engine == "wan" and take.frames.shape == (5, 48, 64, 3)
    assert take.details.lead_in_frames == 0
    assert sorted(p.name for p in out.iterdir()) == ["take_001", "take_001.mp4"]
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(out / "take_001")
    assert main([*command, "--seed", "1"]) == 0
    assert main([*command, "--again"]) == 0
    assert len(list(out.glob("take_*.mp4"))) == 3
    assert read_take(out / "take_003").frames.tobytes() == take.frames.tobytes()


def test_an_interrupted_run_goes_on_with_its_guides(
    home: Path, shot: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out = tmp_path / "shots"
    command = ["run", *shot, "--cam", "orbit_left", "--output_dir", str(out), *FAST]

    def die(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ex4d.engines.wan.clip.ClipRun.__call__", die)
        assert main(command) == 130
    assert [p.suffix for p in out.iterdir()] == [".npz"]
    capsys.readouterr()
    assert main(command) == 0
    assert "Going on with the guides" in capsys.readouterr().err
    assert sorted(p.name for p in out.iterdir()) == ["take_001", "take_001.mp4"]


def test_run_with_a_stereo_pair_and_a_lead_in_loads_once(
    home: Path, shot: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    from ex4d.engines.wan import pipeline

    load, loads = pipeline.load_transformer, []

    def counted(*args: Any, **kwargs: Any) -> Any:
        loads.append(args)
        return load(*args, **kwargs)

    monkeypatch.setattr(pipeline, "load_transformer", counted)
    before = tensor_bytes()
    out = tmp_path / "shots"
    command = ["run", *shot, "--cam", "zoom_in", "--output_dir", str(out), *FAST, "--stereo", "0.2"]
    assert main([*command, "--convergence", "4"]) == 0
    assert "frames lead there and are cut off" in capsys.readouterr().err  # the right eye starts beside the source
    take = read_take(out / "take_001")
    assert take.frames.shape == (5, 48, 64, 3)
    assert take.right is not None
    assert take.right.frames.shape == (5, 48, 64, 3)
    info = read_take_info(out / "take_001")
    assert info.eyes == Eyes.of(0.2, 4)
    assert info.settings["keep_loaded"] is False
    assert len(loads) == 1
    loads.clear()
    # And it is let go of afterwards; modules imported on the way keep constants of a few hundred bytes.
    assert tensor_bytes() < before + 10_000


def test_missing_weights_end_in_the_command_that_gets_them(
    shot: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path / "none"))
    out = tmp_path / "shots"
    assert main(["run", *shot, "--cam", "30", "--output_dir", str(out)]) == 5
    assert "ex4d weights fetch wan" in capsys.readouterr().err
    assert not out.exists()
    assert main(["weights", "verify"]) == 5
    assert "run: ex4d weights fetch ex4d" in capsys.readouterr().err
    assert main(["weights", "list"]) == 0
    assert "missing; ex4d weights fetch turbo" in capsys.readouterr().out


def test_weights_here_are_listed_and_verified(home: Path, capsys) -> None:
    assert main(["weights", "list"]) == 0
    assert "Wan2.1-I2V-14B-480P, about 82 GB, Apache-2.0: missing" in capsys.readouterr().out  # no tokenizer
    (home / "Wan2.1-I2V-14B-480P" / "google" / "umt5-xxl").mkdir(parents=True)
    assert main(["weights", "verify"]) == 0
    captured = capsys.readouterr()
    assert "All weights are in order." in captured.out and "no hashes to compare" in captured.err


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--convergence", "3"], "--convergence belongs to --stereo"),
        (["--stereo", "-1"], "--stereo must be a positive distance"),
        (["--set", "mode=slow"], "mode must be one of"),
        (["--engine", "paint"], "no engine 'paint'"),
    ],
)
def test_wrong_options_are_told_before_any_work(
    home: Path, shot: list[str], tmp_path: Path, capsys, extra: list[str], said: str
) -> None:
    assert main(["run", *shot, "--cam", "30", "--output_dir", str(tmp_path / "shots"), *extra]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "shots").exists()


def test_devices_that_are_not_there_are_refused(shot: list[str], tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    for name, why in (("cuda:0+1", "names more GPUs than CUDA_VISIBLE_DEVICES=0 shows"), ("gpu", "cuda:N+M")):
        assert main(["run", *shot, "--cam", "60", "--output_dir", str(tmp_path / "shots"), "--devices", name]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_generate_on_two_processes_makes_the_film_of_one_and_ends_with_its_code(
    home: Path, prompts: Path, tmp_path: Path
) -> None:
    guides = make_guides(7, 48, 64)
    write_video(tmp_path / "c.mp4", guides.colour, fps=15)
    write_video(tmp_path / "m.mp4", guides.mask, fps=15)
    (tmp_path / "cache" / "ex4d").mkdir(parents=True)
    (tmp_path / "cache" / "ex4d" / "prompts").symlink_to(prompts)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    given = ["--color_video", "c.mp4", "--mask_video", "m.mp4", "--height", "48", "--width", "64", "--num_frames", "7"]
    given += ["--num_inference_steps", "2", "--set", "window=5", "--set", "overlap=2", "--set", "compile=false"]

    def generate(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ex4d", "generate", *given, *more]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    alone = generate("--output_video", "one.mp4", "--device", "cpu")
    shared = generate("--output_video", "two.mp4", "--devices", "cpu+cpu")
    assert (alone.returncode, shared.returncode) == (0, 0), shared.stderr
    one, two = (read_video(tmp_path / f"{name}.mp4")[0].astype(int) for name in ("one", "two"))
    # Before it is encoded a level at single pixels, for which x264 may choose other frames to predict from.
    assert np.abs(one - two).mean() <= 2 < np.abs(one - one[::-1]).mean()
    wrong = generate("--output_video", "three.mp4", "--devices", "cpu+cpu", "--set", "shift=0")
    assert wrong.returncode == 2 and "shift" in wrong.stderr.splitlines()[-1]
