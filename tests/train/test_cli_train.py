from __future__ import annotations

import numpy as np
import pytest
from tiny_training import depth_clip, moving_clip

from ex4d.cli.app import main
from ex4d.clip import write_video
from ex4d.engines.wan.constants import PROMPT


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    clip = depth_clip((9, 64, 96))
    write_video(folder / "one.mp4", np.asarray(clip.frames), fps=15)
    np.savez(folder / "one.depth.npz", depth=clip.depth)
    return folder


def test_a_preview_lists_its_masks(footage, tmp_path, capsys) -> None:
    arguments = ["--num_frames", "9", "--count", "2", "--output_dir", str(tmp_path), "--tracking", "1"]
    assert main(["train", "preview-masks", str(footage / "one.mp4"), *arguments]) == 0
    said = capsys.readouterr()
    assert (tmp_path / "masks.png").is_file() and str(tmp_path / "masks.mp4") in said.out
    assert "seed 0: tracking" in said.err and "seed 1: tracking" in said.err


def test_a_folder_without_use_says_why(tmp_path, capsys) -> None:
    write_video(tmp_path / "short.mp4", moving_clip(1, (5, 64, 96)), fps=15)
    assert main(["train", "prepare", str(tmp_path), "-o", str(tmp_path / "set"), "--size", "48x32"]) == 2
    assert "short.mp4: frames 1 to 5 are 5, a sample takes 49" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "50x32"], "multiples of 16"),
        (["--part", "4/4"], "I from 0 to N-1"),
        (["--frames", "10"], "4n+1 frames"),
        (["--estimator", "depht-pro"], "depht-pro"),
        (["--seed", "-1"], "--seed must be between 0 and"),
    ],
)
def test_wrong_words_are_told(arguments, said, footage, tmp_path, capsys) -> None:
    assert main(["train", "prepare", str(footage), "-o", str(tmp_path / "set"), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_clip_that_is_not_there_is_told_before_its_depth_is_missed(tmp_path, capsys) -> None:
    assert main(["train", "preview-masks", str(tmp_path / "no.mp4"), "--output_dir", str(tmp_path)]) == 2
    assert "There is no file or folder" in capsys.readouterr().err
    assert main(["train", "preview-masks", str(tmp_path / "no.mp4"), "--output_dir", "x", "--seed", "-1"]) == 2
    assert "--seed must be between 0 and" in capsys.readouterr().err


def test_masks_of_a_strip_of_pixels_are_shown(tmp_path) -> None:
    write_video(tmp_path / "strip.mp4", np.zeros((2, 16, 8000, 3), np.uint8), fps=15)
    np.savez(tmp_path / "strip.npz", depth=np.ones((2, 16, 8000), np.float32))
    arguments = ["--output_dir", str(tmp_path / "out"), "--num_frames", "2", "--count", "1", "--tracking", "1"]
    assert main(["train", "preview-masks", str(tmp_path / "strip.mp4"), *arguments]) == 0
    assert (tmp_path / "out" / "masks.png").is_file()


@pytest.mark.parametrize("text", ["a=" + "[" * 100_000, "steps=" + "9" * 5000, "a="])
def test_a_configuration_that_is_no_toml_is_told(text, tmp_path, capsys) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert main(["train", "run", str(tmp_path / "c.toml")]) == 2
    assert "cannot be read as TOML" in capsys.readouterr().err
    assert main(["train", "run", str(tmp_path)]) == 2
    assert f"The configuration {tmp_path} cannot be read: Is a directory" in capsys.readouterr().err


def test_doctor_reckons_and_fails_where_it_cannot_fit(tiny_config, write_config, monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path / "none"))
    path = tmp_path / "plain.toml"
    path.write_text("")
    assert main(["train", "doctor", str(path), "--gpu", "H200:141"]) == 0
    said = capsys.readouterr().out
    assert "TFLOP" in said and "s a step" in said and "49 frames of 512x512" in said
    assert main(["train", "doctor", str(path), "--gpu", "RTX 4090:24"]) == 1
    assert 'set memory.base to "fp8"' in capsys.readouterr().err


def test_a_configuration_without_data_or_folder_is_told(tmp_path, capsys) -> None:
    path = tmp_path / "plain.toml"
    path.write_text('[output]\nfolder = "x"\n')
    assert main(["train", "run", str(path)]) == 2
    assert "sets no data.dataset" in capsys.readouterr().err
    path.write_text(f'prompt = "{PROMPT}"\n[train]\nstep = 4\n')
    assert main(["train", "run", str(path)]) == 2
    assert "did you mean train.steps?" in capsys.readouterr().err
