"""Depth on the way through the other commands: estimated where none is given, and its facts in every result."""

import json
import sys

import numpy as np
import pytest

from ex4d.cli.app import main
from ex4d.clip import load_clip, write_video
from ex4d.depth import estimate_to_file, list_estimators, load_depth
from ex4d.weights.catalogue import find_package
from ex4d_ground.errors import WeightsError

from .conftest import ROOT
from .test_lens import write_mov

pytest.importorskip("transformers")

from . import tiny_models

PHONE = {"com.apple.quicktime.camera.focal_length.35mm_equivalent": "26"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, raycast_clips):
    folder = tmp_path_factory.mktemp("shot")
    frames, depth, _ = raycast_clips["still camera"]
    write_video(folder / "clip.mp4", frames[:5, :96, :128], fps=15)
    np.savez(folder / "true.npz", depth=depth[:5, :96, :128])
    (folder / "model").mkdir()
    tiny_models.depth_anything(folder / "model")
    return folder


def estimating(folder):
    pairs = [f"model_dir={folder / 'model'}", "model_input=28", "device=cpu"]
    return [word for pair in pairs for word in ("--depth-set", pair)]


def shot(folder, *words):
    return ["--input-video", str(folder / "clip.mp4"), "--cam", "orbit_left", *map(str, words)]


def test_a_take_made_without_depth_says_where_depth_and_focal_length_came_from(folder, tmp_path, capsys):
    kept = tmp_path / "kept.npz"
    words = shot(folder, "--output-dir", tmp_path / "out", "--save-depth", kept, *estimating(folder))
    assert main(["preview", *words]) == 0
    told = capsys.readouterr().err
    assert told.count("Focal length: ") == 1
    assert "(54.2 deg), assumed: 54.22 deg; give --fov, --focal or --lens_from if you know better." in told
    assert "Depth: depth-anything-v2; licence: Apache-2.0" in told
    (take,) = (tmp_path / "out").glob("take_*/take.json")
    metadata = json.loads(take.read_text())["metadata"]
    assert metadata["clip"]["depth_source"] == "depth-anything-v2"
    assert metadata["clip"]["focal_source"] == "assumed: 54.22 deg"
    assert metadata["licences"]["depth"].startswith("Apache-2.0")
    assert load_depth(kept).estimator == "depth-anything-v2"


def test_kept_depth_gives_the_same_guides_as_estimating(folder, tmp_path):
    kept = tmp_path / "kept.npz"
    first = shot(folder, "--output-dir", tmp_path / "a", "--lossless", "--save-depth", kept, *estimating(folder))
    assert main(["recon", *first]) == 0
    assert main(["recon", *shot(folder, "--output-dir", tmp_path / "b", "--lossless", "--depth", kept)]) == 0
    a, b = (np.load(tmp_path / n / "guides_orbit_left.npz")["rgba"] for n in "ab")
    np.testing.assert_array_equal(a, b)


def test_coverage_estimates_too_and_takes_the_given_lens(folder, tmp_path, capsys):
    words = shot(folder, "--output-dir", tmp_path, "--fov", "40", *estimating(folder))
    assert main(["coverage", *words]) == 0
    assert "(40.0 deg), given: 40 deg." in capsys.readouterr().err


def test_metadata_gives_the_focal_length_of_a_clip_with_plain_depth(tmp_path):
    video = write_mov(tmp_path / "phone.mov", PHONE)
    depth = np.full((3, 48, 64), 4, np.float32)
    np.savez(tmp_path / "d.npz", depth=depth)
    for source in (video, video.read_bytes()):
        lens = load_clip(source, tmp_path / "d.npz").intrinsics
        assert lens.source == "metadata: 26 mm (35 mm equivalent, QuickTime)"
    assert load_clip(video, tmp_path / "d.npz", fov_deg=50).intrinsics.source == "given"


def test_metadata_is_asked_when_depth_is_estimated(folder, tmp_path, capsys):
    video = write_mov(tmp_path / "phone.mov", PHONE)
    words = ["--input-video", str(video), "--cam", "orbit_left", "--output-dir", str(tmp_path / "out")]
    assert main(["coverage", *words, *estimating(folder)]) == 0
    assert "metadata: 26 mm" in capsys.readouterr().err


def test_one_call_makes_a_depth_file_and_a_summary_that_can_be_sent(folder, tmp_path):
    settings = {"model_dir": str(folder / "model"), "model_input": 28, "device": "cpu", "model": "large"}
    summary = estimate_to_file(folder / "clip.mp4", tmp_path / "d.npz", settings=settings)
    sent = json.loads(json.dumps(summary.as_dict()))
    assert (sent["estimator"], sent["num_frames"], sent["research_only"]) == ("depth-anything-v2", 5, True)
    assert sent["intrinsics_source"] == "assumed: 54.22 deg"
    assert sent["flicker_after"] is not None
    assert load_depth(tmp_path / "d.npz").intrinsics.fx == pytest.approx(sent["intrinsics"][0])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--depth", "true.npz", "--estimator", "depth-pro"], 2, "--depth is finished depth"),
        (["--depth", "true.npz", "--save-depth", "x.npz"], 2, "--depth is finished depth"),
        (["--estimator", "magic"], 2, "There is no depth estimator 'magic'"),
        (["--depth-set", "colour=3"], 2, "has no setting 'colour'"),
        (["--save-depth", "x.exr"], 2, "end it in .npz"),
        (["--depth-scale", "2"], 2, "belong to a depth file"),
        (["--depth-set", "model_dir=/nowhere"], 5, "run: hf download depth-anything/Depth-Anything-V2-Small-hf"),
    ],
)
def test_wrong_use_is_one_sentence_and_writes_nothing(folder, tmp_path, capsys, monkeypatch, words, code, message):
    monkeypatch.chdir(folder)
    assert main(["recon", *shot(folder, "--output-dir", tmp_path / "out", *words)]) == code
    told = capsys.readouterr().err
    assert message in told.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_what_is_not_here_names_the_weights_and_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path))
    for info in list_estimators():
        if info.name != "depth-anything-3":
            assert not info.available
            assert "run: ex4d weights fetch" in info.remedy.cli
            assert str(tmp_path) in info.missing


PUBLISHED = {
    "depth-anything-v2-small": "README.md config.json preprocessor_config.json model.safetensors",
    "depth-anything-3": "README.md config.json model.safetensors",
    "depth-pro": "README.md config.json preprocessor_config.json model.safetensors",
    "depthcrafter": "README.md config.json diffusion_pytorch_model.safetensors",
    "stable-video-diffusion": "model_index.json svd_xt.safetensors feature_extractor/preprocessor_config.json "
    "image_encoder/config.json image_encoder/model.safetensors image_encoder/model.fp16.safetensors "
    "scheduler/scheduler_config.json unet/config.json unet/diffusion_pytorch_model.fp16.safetensors "
    "vae/config.json vae/diffusion_pytorch_model.safetensors vae/diffusion_pytorch_model.fp16.safetensors",
}
"""What lies in the repositories, without pictures."""


def test_the_commands_that_are_named_bring_what_is_missing_and_no_more(monkeypatch, tmp_path):
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("EX4D_DA3_PYTHON", sys.executable)
    remedies = [info.remedy for info in list_estimators() if info.remedy is not None]
    assert all(r.values["command"] == f"ex4d weights fetch {r.values['packages']}" for r in remedies)
    named = [name for r in remedies for name in str(r.values["packages"]).split()]
    assert sorted(named) == sorted(PUBLISHED)
    for name, files in PUBLISHED.items():
        package = find_package(name)
        for file in filter(package.wants, files.split()):
            (package.path() / file).parent.mkdir(parents=True, exist_ok=True)
            (package.path() / file).write_text("{}")
        assert package.is_there()
    assert [info.missing for info in list_estimators() if not info.available] == []
    fetched = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.safetensors")}
    assert not any(
        "unet" in name or "svd_xt.safe" in name or name.endswith("_encoder/model.safetensors") for name in fetched
    )


def test_weights_for_research_only_say_so_where_they_are_offered(capsys):
    assert main(["weights", "list"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()[1:]
    terms = {line.split()[0]: after for line, after in zip(lines[::2], lines[1::2], strict=True)}
    restricted = {name for name, text in terms.items() if "RESEARCH ONLY" in text}
    assert restricted == {"depth-anything-v2-base", "depth-anything-v2-large", "depth-pro", "depthcrafter"}
    assert "Apache-2.0" in terms["depth-anything-v2-small"]
    assert "CC BY-NC" in terms["depth-anything-v2-large"]


def test_weights_in_their_usual_folder_make_an_estimator_ready(monkeypatch, tmp_path):
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path))
    usual = tmp_path / "Depth-Anything-V2-Small-hf"
    usual.mkdir()
    tiny_models.depth_anything(usual)
    assert {i.name: i.available for i in list_estimators()}["depth-anything-v2"]
    (usual / "model.safetensors").unlink()
    from ex4d.depth import estimate_depth

    with pytest.raises(WeightsError, match="cannot be loaded") as caught:
        estimate_depth(np.zeros((2, 48, 64, 3), np.uint8), settings={"device": "cpu"})
    assert "run: ex4d weights fetch depth-anything-v2-small" in caught.value.text("cli")


def test_run_estimates_keeps_the_depth_over_an_interruption_and_cleans_up(folder, tmp_path, capsys, monkeypatch):
    words = shot(folder, "--output-dir", tmp_path, "--engine", "preview", *estimating(folder))

    def stop(*_, **__):
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr("ex4d.shots.take.run_engine", stop)
        assert main(["run", *words]) == 1
    (kept,) = tmp_path.glob(".guides-*-depth.npz")
    capsys.readouterr()
    assert main(["run", *words]) == 0
    told = capsys.readouterr()
    assert f"Going on with the depth in {kept}." in told.err
    assert "Depth is estimated by" not in told.err
    assert list(tmp_path.glob(".guides-*")) == []
    metadata = json.loads((tmp_path / "take_001" / "take.json").read_text())["metadata"]
    assert metadata["clip"]["depth_source"] == "depth-anything-v2"
    assert metadata["licences"]["depth"].startswith("Apache-2.0")
    assert main(["run", *words]) == 0  # the same again finds the take
    assert "was made from the same inputs" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "recon", "preview", "coverage"])
def test_every_command_offers_the_estimators_in_its_help(command, capsys):
    assert main([command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(flag in shown for flag in ("--estimator", "--depth_set", "--save_depth", "--lens_from"))


def test_the_named_command_fetches_and_verifies_a_depth_model_that_then_runs(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "weights"))
    from fake_hub import serve

    files = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path / "weights"))
    words = ["depth", str(folder / "clip.mp4"), "-o", str(tmp_path / "d.npz"), "--set", "model_input=28"]
    assert main(words) == 5
    command = capsys.readouterr().err.strip().rsplit("run: ", 1)[1].split()
    assert command == ["ex4d", "weights", "fetch", "depth-anything-v2-small"]
    with serve("depth-anything/Depth-Anything-V2-Small-hf", {**files, "README.md": b"for people"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        assert main(command[1:]) == 0
    assert main(["weights", "verify", "depth-anything-v2-small"]) == 0
    assert main(words) == 0
    assert load_depth(tmp_path / "d.npz").licence.startswith("Apache-2.0")
