"""Out of memory: smaller windows, then the CPU, each step told; advice only when nothing is left."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ex4d.cli.app import main
from ex4d.clip import write_video
from ex4d.depth import (
    ArrayFrames,
    DepthOptions,
    ExternalEstimator,
    estimate_depth,
    estimate_to_file,
    get_estimator,
)  # fmt: skip
from ex4d.depth.fallback import estimate_within_memory
from ex4d_ground import stages
from ex4d_ground.errors import DeviceMemoryError

from .conftest import ROOT

pytest.importorskip("diffusers")
import torch

from . import tiny_models

FRAMES = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), dtype=np.uint8)


def windows_of(golden, window, overlap, **more):
    return {"model_dir": str(golden), "num_steps": 1, "window": window, "overlap": overlap, **more}


@pytest.fixture
def mock_gpu_for_windows_up_to(monkeypatch):
    """A mock: torch's own exception for GPUs is raised where the network runs, for windows longer than given."""
    from ex4d.depth.depthcrafter.pipeline import Sampler

    predict = Sampler._predict

    def install(longest):
        def limited(self, sample, *rest):
            if len(sample) > longest:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            return predict(self, sample, *rest)

        monkeypatch.setattr(Sampler, "_predict", limited)

    return install


@pytest.fixture
def mock_of_a_gpu_that_is_full(monkeypatch):
    """A mock: device "auto" counts as a GPU, on which every model runs out of memory."""
    from ex4d.depth import fallback, single_image
    from ex4d.depth.depthcrafter import estimator
    from ex4d.depth.depthcrafter.pipeline import Sampler

    asked = []

    def full(original):
        def run(self, *rest, **kwargs):
            if asked[-1] == "auto":
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return original(self, *rest, **kwargs)

        return run

    monkeypatch.setattr(fallback, "pick_device", lambda name: torch.device("cuda" if name == "auto" else name))
    for module in (single_image, estimator):
        monkeypatch.setattr(module, "pick_device", lambda name: asked.append(name) or torch.device("cpu"))
    monkeypatch.setattr(Sampler, "_predict", full(Sampler._predict))
    monkeypatch.setattr(single_image._SingleImage, "_frame", full(single_image._SingleImage._frame))


def test_smaller_windows_are_taken_one_step_after_another_and_told(golden, mock_gpu_for_windows_up_to):
    mock_gpu_for_windows_up_to(12)
    seen = []
    got = estimate_depth(
        FRAMES, estimator="depthcrafter", settings=windows_of(golden, 60, 16, device="cpu"),
        options=DepthOptions.ex4d_parity(), on_progress=seen.append,
    )  # fmt: skip
    told = (
        "DepthCrafter ran out of GPU memory; trying again with windows of 20 frames, decoded 4 at a time.",  # of 40
        "DepthCrafter ran out of GPU memory; trying again with windows of 10 frames, decoded 2 at a time.",
    )
    assert got.report.warnings == told
    assert tuple(got.file.details["out_of_memory"]) == told
    assert [(s.done, s.message) for s in seen if s.stage == stages.DEPTH_MEMORY] == list(enumerate(told, start=1))
    assert (got.file.details["window"], got.file.details["overlap"]) == (10, 2)
    same = estimate_depth(
        FRAMES, estimator="depthcrafter", settings=windows_of(golden, 10, 2, device="cpu", decode_chunk=2),
        options=DepthOptions.ex4d_parity(),
    )  # fmt: skip
    np.testing.assert_array_equal(got.file.depth, same.file.depth)


def test_a_full_gpu_is_left_for_the_cpu_and_told(golden, mock_of_a_gpu_that_is_full):
    settings = windows_of(golden, 16, 4, device="auto", dtype="float16")
    got = estimate_depth(FRAMES[:16], estimator="depthcrafter", settings=settings, options=DepthOptions.ex4d_parity())
    assert [w.split("; ")[1] for w in got.report.warnings] == [
        "trying again with windows of 8 frames, decoded 4 at a time.",
        "trying again on the CPU, which takes far longer.",
    ]
    assert got.file.details["device"] == "cpu"
    assert got.file.details["dtype"] == "auto"  # half precision is for GPUs
    assert np.isfinite(got.file.depth).all()


def test_a_model_that_does_not_fit_goes_to_the_cpu_without_trying_windows(golden):
    settings = get_estimator("depthcrafter").info().validated(windows_of(golden, 64, 16, device="cpu"))
    assert get_estimator("depthcrafter").smaller(settings, 64).settings["window"] == 32
    assert get_estimator("depthcrafter").smaller(settings, 64, weights_alone=True) is None  # it is on the CPU


def test_when_nothing_is_left_the_error_says_what_was_tried_and_what_to_do(golden, mock_gpu_for_windows_up_to):
    mock_gpu_for_windows_up_to(0)
    with pytest.raises(
        DeviceMemoryError, match=r"smaller max_side\. Tried before: .*windows of 8 frames, decoded 4 at a time\.$"
    ):
        estimate_depth(FRAMES[:16], estimator="depthcrafter", settings=windows_of(golden, 16, 4, device="cpu"))


def test_the_command_and_the_jobs_summary_tell_it_too(golden, tmp_path, capsys, mock_of_a_gpu_that_is_full):
    write_video(tmp_path / "clip.mp4", FRAMES[:4], fps=15)
    model = tmp_path / "model"
    model.mkdir()
    tiny_models.depth_anything(model)
    words = ["--set", f"model_dir={model}", "--set", "model_input=28"]
    assert main(["depth", str(tmp_path / "clip.mp4"), "-o", str(tmp_path / "d.npz"), *words]) == 0
    told = "depth-anything-v2 ran out of GPU memory; trying again on the CPU, which takes far longer."
    assert capsys.readouterr().err.count(f"Warning: {told}\n") == 1
    summary = estimate_to_file(
        tmp_path / "clip.mp4", tmp_path / "e.npz", settings={"model_dir": str(model), "model_input": 28}
    )
    assert summary.notes[0] == told
    words = ["--input-video", str(tmp_path / "clip.mp4"), "--cam", "orbit_left", "--output-dir", str(tmp_path / "out")]
    pairs = ["--depth-set", f"model_dir={model}", "--depth-set", "model_input=28"]
    assert main(["coverage", *words, *pairs]) == 0
    assert f"Warning: {told}\n" in capsys.readouterr().err


SCRIPT = """
import resource, sys
import numpy as np, torch
from ex4d.depth import DepthOptions, estimate_depth

torch.set_num_threads(1)
frames = np.random.default_rng(0).integers(0, 255, (48, 160, 160, 3), dtype=np.uint8)
limited = []

def look(step):
    if step.stage == "depth: encode" and not limited:  # the model is loaded: leave room for less than the whole window
        size = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[2]) * 2**20, resource.RLIM_INFINITY))
        limited.append(size)

settings = {"model_dir": sys.argv[1], "device": "cpu", "num_steps": 1, "window": 48, "overlap": 8}
got = estimate_depth(
    frames, estimator="depthcrafter", settings=settings, options=DepthOptions.ex4d_parity(), on_progress=look
)
assert np.isfinite(got.file.depth).all()
print("finished:", *got.report.warnings)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space")
def test_memory_that_really_runs_out_makes_windows_smaller(golden):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(golden), "220"], capture_output=True, text=True, cwd=ROOT, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (
        "finished: DepthCrafter ran out of main memory; trying again with windows of 24 frames, decoded 4 at a time."
        in done.stdout
    )


TOOL = """
import sys
import numpy as np

frames, output, chunk, device = sys.argv[1:5]
if int(chunk) > 12 or device != "cpu":
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.")
    sys.exit(1)
np.savez(output, depth=np.ones((24, 8, 8)))
"""


def test_a_tool_that_runs_out_gets_smaller_chunks_and_then_the_cpu(tmp_path):
    (tmp_path / "tool.py").write_text(TOOL)
    like_depth_anything_3 = replace(
        get_estimator("depth-anything-3").tool,
        command=(sys.executable, str(tmp_path / "tool.py"), "{frames}", "{output}", "{chunk}", "{device}"),
        weights="",
    )
    estimator = ExternalEstimator(like_depth_anything_3)
    settings = estimator.info().validated({"chunk": 24})
    got = estimate_within_memory(estimator, ArrayFrames(FRAMES[:24]), settings=settings, seed=1)
    assert [w.rsplit("; ", 1)[1] for w in got.warnings] == [
        "trying again with 12 frames at a time.",
        "trying again on the CPU, which takes far longer.",
    ]
