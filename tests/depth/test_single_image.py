"""Depth Anything V2 and Depth Pro from folders that transformers itself wrote."""

import json

import numpy as np
import pytest

from ex4d.depth import ArrayFrames, estimate_depth, get_estimator
from ex4d_ground.errors import DeviceMemoryError, EngineError, WeightsError

pytest.importorskip("transformers")

from . import tiny_models

FRAMES = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def anything(tmp_path_factory):
    return tiny_models.depth_anything(tmp_path_factory.mktemp("anything"))


@pytest.fixture(scope="module")
def pro(tmp_path_factory):
    return tiny_models.depth_pro(tmp_path_factory.mktemp("pro"))


def chosen(folder, **more):
    return {"model_dir": str(folder), "device": "cpu", **more}


def test_depth_anything_gives_disparity_of_the_clips_size(anything):
    got = get_estimator("depth-anything-v2").estimate(ArrayFrames(FRAMES), settings=chosen(anything, model_input=56))
    assert got.values.shape == (3, 48, 64)
    assert got.meaning == "disparity"
    assert got.zero_is_infinity
    assert got.values.std() > 0


def test_depth_anything_sees_what_transformers_own_preparation_would_give(anything):
    import torch
    from transformers import DepthAnythingForDepthEstimation

    frame = FRAMES[:1]
    pixels = torch.from_numpy(frame).permute(0, 3, 1, 2).float()
    resized = torch.nn.functional.interpolate(pixels, size=(56, 70), mode="bicubic", antialias=True).clamp(0, 255)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (tiny_models.MEAN, tiny_models.STD))
    model = DepthAnythingForDepthEstimation.from_pretrained(anything).eval()
    with torch.no_grad():
        raw = model(pixel_values=(resized / 255 - mean) / std).predicted_depth
        wanted = torch.nn.functional.interpolate(raw[None], size=(48, 64), mode="bilinear")[0, 0].numpy()
    got = get_estimator("depth-anything-v2").estimate(ArrayFrames(frame), settings=chosen(anything, model_input=56))
    np.testing.assert_allclose(got.values[0], wanted, rtol=1e-5)


def test_a_metric_edition_is_recognised(tmp_path):
    folder = tiny_models.depth_anything(tmp_path, metric=True)
    got = get_estimator("depth-anything-v2").estimate(ArrayFrames(FRAMES), settings=chosen(folder, model_input=28))
    assert got.meaning == "metric"


def test_depth_pro_gives_metres_and_the_lens(pro):
    got = get_estimator("depth-pro").estimate(ArrayFrames(FRAMES), settings=chosen(pro))
    assert got.meaning == "metric"
    assert (got.values > 0).all()
    assert got.intrinsics is not None
    assert got.intrinsics.source == "estimated by depth-pro"
    assert 20 < got.intrinsics.fov_deg < 120


def test_depth_pro_agrees_with_the_published_arithmetic(pro):
    import torch
    from transformers import DepthProForDepthEstimation

    pixels = torch.from_numpy(FRAMES[:1]).permute(0, 3, 1, 2).float() / 255
    prepared = torch.nn.functional.interpolate((pixels - 0.5) / 0.5, size=(64, 64), mode="bilinear")
    model = DepthProForDepthEstimation.from_pretrained(pro).eval()
    with torch.no_grad():
        out = model(pixel_values=prepared)
    focal = 0.5 * 64 / np.tan(0.5 * np.deg2rad(float(out.field_of_view)))
    inverse = torch.nn.functional.interpolate(out.predicted_depth[None] * 64 / focal, size=(48, 64), mode="bilinear")
    got = get_estimator("depth-pro").estimate(ArrayFrames(FRAMES[:1]), settings=chosen(pro))
    np.testing.assert_allclose(1 / got.values[0], np.clip(inverse[0, 0].numpy(), 1e-4, 1e4), rtol=1e-4)
    assert got.intrinsics.fx == pytest.approx(focal, rel=1e-5)


def test_a_whole_run_is_aligned_steadied_and_positive(anything):
    result = estimate_depth(FRAMES, settings=chosen(anything, model_input=28))
    depth = result.file.depth
    assert depth.shape == FRAMES.shape[:3]
    assert np.isfinite(depth).all()
    assert (depth > 0).all()
    assert depth.max() < 100
    assert result.report.alignment is not None
    assert result.report.flicker_after is not None
    assert result.file.licence.startswith("Apache-2.0")
    assert result.report.lens.source.startswith("assumed: 54.22 deg")
    assert any("54.2 degrees is assumed" in note for note in result.report.notes)


def test_the_larger_models_say_that_they_are_not_for_commercial_work(anything):
    result = estimate_depth(FRAMES, settings=chosen(anything, model_input=28, model="large"))
    assert "RESEARCH ONLY" in result.file.licence
    assert any("not for commercial work" in note for note in result.report.notes)


def test_missing_weights_name_the_command(tmp_path):
    with pytest.raises(WeightsError, match="is missing") as caught:
        get_estimator("depth-anything-v2").estimate(ArrayFrames(FRAMES), settings=chosen(tmp_path))
    assert "run: hf download depth-anything/Depth-Anything-V2-Small-hf --local-dir" in caught.value.text("cli")


def test_another_models_folder_is_refused(anything):
    with pytest.raises(WeightsError, match="type 'depth_anything', depth-pro needs 'depth_pro'"):
        get_estimator("depth-pro").estimate(ArrayFrames(FRAMES), settings=chosen(anything))


def test_weights_with_missing_tensors_are_refused(anything, tmp_path):
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((anything / name).read_text())
    tensors = load_file(anything / "model.safetensors")
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="lack 1 tensors"):
        get_estimator("depth-anything-v2").estimate(ArrayFrames(FRAMES), settings=chosen(tmp_path, model_input=28))


def test_damaged_weights_are_said(anything, tmp_path):
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((anything / name).read_text())
    (tmp_path / "model.safetensors").write_bytes((anything / "model.safetensors").read_bytes()[:999])
    with pytest.raises(WeightsError, match="is damaged") as caught:
        get_estimator("depth-anything-v2").estimate(ArrayFrames(FRAMES), settings=chosen(tmp_path))
    assert "hf download" in caught.value.text("cli")


def test_nan_weights_name_the_frame(anything, tmp_path):
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((anything / name).read_text())
    tensors = load_file(anything / "model.safetensors")
    tensors["head.conv3.bias"][:] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match="NaN in frame 1"):
        get_estimator("depth-anything-v2").estimate(ArrayFrames(FRAMES), settings=chosen(tmp_path, model_input=28))


def test_a_folder_without_a_preprocessor_is_incomplete(anything, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "depth_anything"}))
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json is missing"):
        get_estimator("depth-anything-v2").estimate(ArrayFrames(FRAMES), settings=chosen(tmp_path))


def test_out_of_memory_says_what_needs_less(anything, monkeypatch):
    import torch

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    estimator = get_estimator("depth-anything-v2")
    monkeypatch.setattr(type(estimator), "_read", fail)
    with pytest.raises(DeviceMemoryError, match="ran out of GPU memory; use a smaller model"):
        estimator.estimate(ArrayFrames(FRAMES), settings=chosen(anything, model_input=28))
