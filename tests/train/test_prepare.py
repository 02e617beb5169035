from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file
from tiny_training import depth_clip, moving_clip

from ex4d.clip import write_video
from ex4d.engines.wan.constants import PROMPT
from ex4d.engines.wan.text import PromptCache, encoder_id
from ex4d.train.dataset import SHARDS, Dataset, DatasetError
from ex4d.train.footage import scenes_of
from ex4d.train.prepare import PrepareOptions, prepare_dataset
from ex4d.train.preview import preview
from ex4d_ground.errors import DepthError

OPTIONS = PrepareOptions(masks=2, frames=9, sizes=((48, 32),), held_out=0.3)


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Path:
    """Two clips with depth, and some that are of no use, each for a reason of its own."""
    folder = tmp_path_factory.mktemp("footage")
    for name in ("one", "deeper/two"):
        clip = depth_clip((9, 64, 96))
        (folder / name).parent.mkdir(exist_ok=True)
        write_video(folder / f"{name}.mp4", np.asarray(clip.frames), fps=15)
        np.savez(folder / f"{name}.depth.npz", depth=clip.depth)
    write_video(folder / "short.mp4", moving_clip(1, (5, 64, 96)), fps=15)
    write_video(folder / "small.mp4", moving_clip(2, (9, 16, 32)), fps=15)
    write_video(folder / "still.mp4", np.repeat(moving_clip(3, (1, 64, 96)), 9, 0), fps=15)
    (folder / "broken.mp4").write_bytes(b"this is no video")
    write_video(folder / "flat.mp4", moving_clip(4, (9, 64, 96)), fps=15)
    np.savez(folder / "flat.depth.npz", depth=np.full((9, 32, 32), 2.0, np.float32))
    return folder


@pytest.fixture(scope="module")
def cache(weights, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    made = PromptCache(folder, encoder_id([weights.path_of("text_encoder")]))
    made.get([PROMPT, ""], lambda texts: [torch.zeros(1, 512, 32) + i for i, _ in enumerate(texts)])
    return folder


@pytest.fixture(scope="module")
def prepared(footage, cache, weights, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("prepared") / "set"
    prepare_dataset(footage, output, OPTIONS, weights=weights, cache=cache)
    return output


def test_what_is_of_use_is_taken_and_the_rest_has_its_reason(prepared) -> None:
    data = Dataset(prepared)
    assert len(data.training) == len(data.held_out) == 1
    assert {s.bucket for s in data.training} == {(9, 32, 48)}
    reasons = {each.clip: each.reason for each in data.manifest.rejected}
    assert set(reasons) == {"short.mp4", "small.mp4", "still.mp4", "broken.mp4", "flat.mp4"}
    assert "are 5, a sample takes 9" in reasons["short.mp4"]
    assert "it is 32x16" in reasons["small.mp4"]
    assert "nothing moves" in reasons["still.mp4"]
    assert "(9, 32, 32)" in reasons["flat.mp4"]


def test_a_sample_holds_what_the_model_is_trained_on(prepared) -> None:
    data = Dataset(prepared)
    sample = data.training[0]
    batch = data.batch([(sample, 0), (sample, 1)], [False, True])
    assert batch.latents.shape == (2, 16, 3, 4, 6) and batch.image.shape == (2, 20, 3, 4, 6)
    assert batch.colour.shape == batch.mask.shape == batch.latents.shape
    assert batch.clip_fea.shape == (2, 257, 64) and batch.context.shape == (2, 512, 32)
    assert batch.context[0].mean() == 0 and batch.context[1].mean() == 1  # the prompt, then the empty one
    assert torch.equal(batch.latents[0], batch.latents[1]) and not torch.equal(batch.mask[0], batch.mask[1])
    shares = batch.hidden.mean(dim=(1, 2, 3)) * 3  # frame 0 counts four times as much in latents
    assert (shares > 0).all()


def test_a_damaged_shard_is_told_and_made_anew_alone(prepared, footage, cache, weights, tmp_path) -> None:
    output = tmp_path / "set"
    shutil.copytree(prepared, output)
    shard = next((output / SHARDS).glob("*.safetensors"))
    rest = shard.read_bytes()
    whole = load(rest)  # not from the file, whose pages go when it is cut
    shard.write_bytes(rest[: len(rest) // 2])
    data = Dataset(output)
    with pytest.raises(DatasetError, match="damaged or missing"):
        data.batch([(data.training[0], 0)], [False])
    prepare_dataset(footage, output, OPTIONS, weights=weights, cache=cache)
    again = load_file(shard)
    assert again.keys() == whole.keys()
    for name, tensor in whole.items():
        assert (again[name].float() - tensor.float()).norm() <= 1e-2 * tensor.float().norm(), name


def test_what_is_there_is_kept(prepared, footage, cache, weights) -> None:
    shard = next((prepared / SHARDS).glob("*.safetensors"))
    before = shard.stat().st_mtime_ns
    prepare_dataset(footage, prepared, OPTIONS, weights=weights, cache=cache)
    assert shard.stat().st_mtime_ns == before


def test_another_set_is_not_mixed_in(prepared, footage, cache, weights) -> None:
    with pytest.raises(DatasetError, match="prepared with masks = 2, not 3"):
        prepare_dataset(footage, prepared, replace(OPTIONS, masks=3), weights=weights, cache=cache)


def test_no_usable_clip_says_why_each_was_left_out(footage, cache, weights, tmp_path) -> None:
    folder = tmp_path / "poor"
    folder.mkdir()
    for name in ("short.mp4", "still.mp4"):
        shutil.copy(footage / name, folder / name)
    with pytest.raises(DatasetError, match=r"short\.mp4: .* a sample takes 9; still\.mp4: nothing moves"):
        prepare_dataset(folder, tmp_path / "set", OPTIONS, weights=weights, cache=cache)


def test_cuts_are_found_where_they_are(tmp_path) -> None:
    parts = [np.clip(moving_clip(i, (8, 64, 96)) // 3 + shade, 0, 255) for i, shade in enumerate((0, 90, 170))]
    write_video(tmp_path / "cuts.mp4", np.concatenate(parts).astype(np.uint8), fps=15)
    scenes, changes, *size = scenes_of(tmp_path / "cuts.mp4")
    assert [(s.first, s.stop) for s in scenes] == [(0, 8), (8, 16), (16, 24)]
    assert len(changes) == 24 and size == [64, 96]


def test_a_preview_is_a_sheet_and_a_video(footage, tmp_path) -> None:
    made = preview(footage / "one.mp4", tmp_path / "look", seeds=range(3), num_frames=9, degrade=True)
    assert made.sheet.stat().st_size > 0 and made.video.stat().st_size > 0
    assert [m.seed for m in made.masks] == [0, 1, 2]
    with pytest.raises(DepthError, match=r"still\.mp4 has no depth beside it"):
        preview(footage / "still.mp4", tmp_path / "look")
