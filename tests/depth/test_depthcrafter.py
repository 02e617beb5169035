"""DepthCrafter's pipeline against what the published program gave, and its promises about memory and errors."""

import gc
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ex4d.depth import ArrayFrames, DepthOptions, disparity_to_depth, estimate_depth, get_estimator
from ex4d.progress import CancelToken
from ex4d_ground.errors import Cancelled, ClipError, DeviceMemoryError, EngineError, SettingError, WeightsError

from .conftest import ROOT

pytest.importorskip("diffusers")


def settings(golden, **more):
    config = json.loads((golden / "config.json").read_text())
    return {
        "model_dir": str(golden), "device": "cpu", "dtype": config["dtype"], "num_steps": config["num_inference_steps"],
        "guidance_scale": config["guidance_scale"], "window": config["window_size"], "overlap": config["overlap"],
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def expected(golden):
    with np.load(golden / "expected.npz") as stored:
        return dict(stored)


def test_relative_depth_is_the_published_programs(golden, expected):
    config = json.loads((golden / "config.json").read_text())
    chosen = {"estimator": "depthcrafter", "settings": settings(golden), "seed": config["seed"]}
    got = get_estimator("depthcrafter").estimate(
        ArrayFrames(expected["frames"]), settings=settings(golden), seed=config["seed"]
    )
    assert got.meaning == "disparity"
    assert np.abs(got.values - expected["relative"]).max() <= 2e-3
    mapped = estimate_depth(expected["frames"], options=DepthOptions.ex4d_parity(), **chosen)
    inverse_error = np.abs(1 / mapped.file.depth - 1 / expected["depth"][:, 0])
    assert inverse_error.max() <= 2e-3 * 3900 / 10000
    assert "RESEARCH ONLY" in mapped.file.licence


def test_the_mapping_is_ex4ds(golden, expected):
    config = json.loads((golden / "config.json").read_text())
    got = np.clip(disparity_to_depth(expected["relative"]), config["near"], config["far"])
    np.testing.assert_allclose(got, expected["depth"][:, 0], rtol=1e-5)


class Stream:
    """Frames that exist only while they are looked at."""

    fps = 15.0

    def __init__(self, num_frames, side=32):
        self.num_frames, self.height, self.width = num_frames, side, side

    def __iter__(self):
        rng = np.random.default_rng(0)
        for _ in range(self.num_frames):
            yield rng.integers(0, 255, (self.height, self.width, 3), dtype=np.uint8)


def most_tensor_bytes(golden, num_frames):
    """The largest number of bytes in tensors other than weights that any denoising step of a run sees."""
    import torch

    seen = [0]

    def look(step):
        if step.stage == "depth: denoise":
            gc.collect()  # what only waits to be collected, of an earlier test too, is not needed
            tensors = [o for o in gc.get_objects() if type(o) is torch.Tensor and not o.requires_grad]
            seen.append(sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values()))

    got = get_estimator("depthcrafter").estimate(
        Stream(num_frames), settings=settings(golden, num_steps=1, window=6, overlap=2), on_progress=look
    )
    assert np.isfinite(got.values).all()
    return max(seen)


def test_memory_does_not_grow_with_the_clip(golden):
    short, long = most_tensor_bytes(golden, 10), most_tensor_bytes(golden, 30)
    assert long <= short * 1.01


@pytest.mark.slow
def test_a_thousand_frames_need_no_more_memory_than_sixty(golden):
    command = [sys.executable, ROOT / "benchmarks" / "depth_memory.py", "--frames", "60", "1000", "--model", golden]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["passed"]


def test_a_clip_shorter_than_a_window_is_one_window(golden, expected):
    got = get_estimator("depthcrafter").estimate(
        ArrayFrames(expected["frames"][:3]), settings=settings(golden, num_steps=1, window=5)
    )
    assert got.details["windows"] == [(0, 3)]


def test_sides_that_do_not_suit_the_model_are_scaled_and_said(golden):
    got = get_estimator("depthcrafter").estimate(Stream(2, side=40), settings=settings(golden, num_steps=1))
    assert got.values.shape == (2, 40, 40)
    assert "pixels" in got.notes[0]


def test_cancel_stops_within_a_step(golden, expected):
    token = CancelToken()
    seen = []

    def stop(step):
        seen.append(step)
        if step.stage == "depth: denoise":
            token.cancel()

    with pytest.raises(Cancelled):
        get_estimator("depthcrafter").estimate(
            ArrayFrames(expected["frames"]), settings=settings(golden), on_progress=stop, cancel=token
        )
    assert sum(s.stage == "depth: denoise" for s in seen) == 1


def test_one_frame_is_too_short(golden, expected):
    with pytest.raises(ClipError, match="at least 2 frames, the clip has 1"):
        get_estimator("depthcrafter").estimate(ArrayFrames(expected["frames"][:1]), settings=settings(golden))


def test_an_overlap_as_long_as_the_window_is_refused(golden, expected):
    with pytest.raises(SettingError, match="overlap of 5 does not fit windows of 5"):
        get_estimator("depthcrafter").estimate(
            ArrayFrames(expected["frames"]), settings=settings(golden, window=5, overlap=5)
        )


def test_missing_weights_name_the_file_and_the_command(tmp_path, expected):
    with pytest.raises(WeightsError, match=r"config\.json is missing") as caught:
        get_estimator("depthcrafter").estimate(
            ArrayFrames(expected["frames"]), settings={"model_dir": str(tmp_path), "device": "cpu"}
        )
    assert "; run: hf download tencent/DepthCrafter" in caught.value.text("cli")


def test_damaged_weights_are_said(tmp_path, golden, expected):
    folder = tmp_path / "model"
    shutil.copytree(golden, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="UNet"):
        get_estimator("depthcrafter").estimate(ArrayFrames(expected["frames"]), settings=settings(folder))


def test_nan_output_names_the_frame(golden, expected, monkeypatch):
    from ex4d.depth.depthcrafter.pipeline import Sampler

    decode = Sampler.decode
    monkeypatch.setattr(Sampler, "decode", lambda self, latents: decode(self, latents) * np.float32("nan"))
    with pytest.raises(EngineError, match="NaN in frame 1"):
        get_estimator("depthcrafter").estimate(
            ArrayFrames(expected["frames"][:2]), settings=settings(golden, num_steps=1)
        )


def test_out_of_memory_says_what_needs_less(golden, expected, monkeypatch):
    import torch

    from ex4d.depth.depthcrafter.pipeline import Sampler

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Sampler, "_predict", fail)
    with pytest.raises(DeviceMemoryError, match=r"windows shorter than 5 frames .* smaller max_side"):
        get_estimator("depthcrafter").estimate(ArrayFrames(expected["frames"]), settings=settings(golden, window=5))


def test_the_published_layout_of_two_folders_loads(tmp_path, golden, expected):
    alone = tmp_path / "DepthCrafter"
    shutil.copytree(golden / "unet", alone)
    config = json.loads((alone / "config.json").read_text())
    config["_class_name"] = "DiffusersUNetSpatioTemporalConditionModelDepthCrafter"
    (alone / "config.json").chmod(0o644)
    (alone / "config.json").write_text(json.dumps(config))
    got = get_estimator("depthcrafter").estimate(
        ArrayFrames(expected["frames"]), settings=settings(golden, model_dir=str(alone), base_model_dir=str(golden))
    )
    assert np.abs(got.values - expected["relative"]).max() <= 2e-3
