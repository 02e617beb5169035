from __future__ import annotations

import json
import shutil

import pytest
import torch
from msgspec.structs import replace

from ex4d.progress import CancelToken
from ex4d.train.dataset import Manifest
from ex4d.train.loop import train
from ex4d.train.record import LOG, read_log
from ex4d.train.state import checkpoints
from ex4d_ground.errors import Cancelled


def curve(folder) -> list[float]:
    return [line["loss"] for line in read_log(folder / LOG) if "loss" in line]


def test_one_clip_is_learnt_by_heart(tiny_config, weights, dataset, tmp_path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(dataset, alone)
    manifest = Manifest.read(alone)
    sample = manifest.shards[0].samples[0]
    both = [sample, replace(sample, held_out=True)]
    replace(manifest, shards=[replace(manifest.shards[0], samples=both)]).write(alone)
    config = tiny_config(
        data={"dataset": str(alone)},
        train={"steps": 120, "learning_rate": 2e-2, "geometry_dropout": 0.0, "prompt_dropout": 0.0},
        output={"held_out_every": 1},
    )
    train(config, weights=weights)
    measured = [line for line in read_log(tmp_path / "run" / LOG) if "held_out" in line]
    assert [line["step"] for line in measured] == list(range(1, 121))
    assert measured[-1]["held_out"] < 0.85 * measured[0]["held_out"]
    assert measured[-1]["held_out_hidden"] < 0.9 * measured[0]["held_out_hidden"]


def test_a_run_that_was_cancelled_goes_on_exactly(tiny_config, weights, tmp_path) -> None:
    train(tiny_config("whole"), weights=weights)
    token = CancelToken()

    def stop(progress) -> None:
        if progress.stage == "training" and progress.done == 2:
            token.cancel()

    config = tiny_config("parts")
    with pytest.raises(Cancelled):
        train(config, weights=weights, on_progress=stop, cancel=token)
    assert [p.name for p in checkpoints(tmp_path / "parts")] == ["step_000002"]
    train(config, weights=weights)
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")


def test_averages_are_kept_over_a_break(tiny_config, weights, tmp_path) -> None:
    from safetensors.torch import load_file

    train(tiny_config("whole", train={"ema": 0.9}), weights=weights)
    train(tiny_config("parts", train={"ema": 0.9, "steps": 2}), weights=weights)
    train(tiny_config("parts", train={"ema": 0.9}), weights=weights)
    states = [load_file(tmp_path / name / "step_000004" / "ema.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    trained = load_file(tmp_path / "whole" / "step_000004" / "trained.safetensors")
    assert any(not torch.equal(trained[name], states[0][name]) for name in trained)


def test_accumulated_batches_are_one_large_batch(tiny_config, weights, tmp_path) -> None:
    train(tiny_config("one", data={"batch": 2}), weights=weights)
    train(tiny_config("two", train={"accumulate": 2}), weights=weights)
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), rel=1e-4)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tiny_config, weights, tmp_path) -> None:
    from ex4d.train.errors import TrainingError

    train(tiny_config(train={"steps": 2}), weights=weights)
    path = tmp_path / "run" / "step_000002" / "trained.safetensors"
    from safetensors.torch import load_file, save_file

    broken = load_file(path)
    name = next(n for n in broken if n.endswith("lora_B"))
    broken[name][0, 0] = float("nan")
    save_file(broken, path)
    with pytest.raises(
        TrainingError, match=r"Step 3 has a loss of nan; the checkpoint .*step_000002 is kept"
    ) as caught:
        train(tiny_config(), weights=weights)
    assert caught.value.code == "diverged"
    assert [p.name for p in checkpoints(tmp_path / "run")] == ["step_000002"]


def test_a_run_does_not_go_on_as_another_one(tiny_config, weights) -> None:
    from ex4d.train.config import ConfigError

    train(tiny_config(train={"steps": 1}), weights=weights)
    with pytest.raises(ConfigError, match=r"begun with train\.seed = 0, the configuration has 7"):
        train(tiny_config(train={"seed": 7}), weights=weights)


def test_samples_and_a_sheet_are_written(tiny_config, weights, tmp_path) -> None:
    train(tiny_config(train={"steps": 1}, output={"sample_every": 1, "sample_steps": 2}), weights=weights)
    folder = tmp_path / "run" / "samples" / "step_000001"
    assert (folder / "sample.mp4").stat().st_size > 0 and (folder / "sheet.png").stat().st_size > 0


def test_the_log_is_lines_of_json(tiny_config, weights, tmp_path) -> None:
    train(tiny_config(train={"steps": 2}), weights=weights)
    lines = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert all({"loss", "plain", "hidden", "norm", "rate", "seconds"} <= set(line) for line in lines)
