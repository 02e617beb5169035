"""The whole way on the command line, and what is promised about defaults and pictures."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from ex4d.cli.app import main
from ex4d.clip import write_video
from ex4d.depth import DEFAULT_ESTIMATOR, get_estimator, list_estimators, load_depth
from ex4d_ground.errors import ClipError, SettingError


@pytest.fixture
def clip(tmp_path, raycast_clips):
    frames, depth, _ = raycast_clips["still camera"]
    write_video(tmp_path / "clip.mp4", frames[:6], fps=15)
    np.savez(tmp_path / "true.npz", depth=depth[:6])
    return tmp_path, depth[:6]


def test_no_non_commercial_model_is_a_default():
    chosen = get_estimator().info()
    assert chosen.name == DEFAULT_ESTIMATOR
    assert not chosen.research_only
    assert next(s for s in chosen.settings if s.name == "model").default == "small"


def test_research_only_estimators_say_so_where_they_are_offered():
    for info in list_estimators():
        assert ("RESEARCH ONLY" in info.licence_text) == info.research_only
    assert {i.name for i in list_estimators() if i.research_only} == {"depthcrafter", "depth-pro"}


@pytest.mark.parametrize(("model", "warned"), [("small", False), ("base", True), ("large", True)])
def test_a_restricted_size_of_a_free_estimator_is_said_before_it_runs(clip, capsys, monkeypatch, model, warned):
    monkeypatch.setenv("EX4D_WEIGHTS", str(clip[0] / "none"))
    command = ["depth", str(clip[0] / "clip.mp4"), "-o", str(clip[0] / "d.npz"), "--set", f"model={model}"]
    assert main(command) == 5  # there are no weights
    told = capsys.readouterr().err
    assert (f"depth-anything-v2 with model={model} is for research only" in told) == warned


def test_the_list_works_without_torch():
    code = (
        "import sys; sys.modules.update({'torch': None, 'diffusers': None, 'transformers': None})\n"
        "import importlib.util as u; old = u.find_spec\n"
        "import ex4d.depth.models as m; m.find_spec = lambda n: None\n"
        "from ex4d.depth import list_estimators, get_estimator\n"
        "assert all(not i.available and i.missing for i in list_estimators())\n"
        "from ex4d.depth import ArrayFrames; import numpy as np\n"
        "try: get_estimator('depthcrafter').estimate(ArrayFrames(np.zeros((2, 64, 64, 3), np.uint8)))\n"
        "except Exception as e: print(type(e).__name__, e.text('cli'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "MissingExtraError" in done.stdout
    assert "pip install '.[depth]'" in done.stdout


def test_list_shows_licences_and_meanings(capsys):
    assert main(["depth", "list"]) == 0
    shown = capsys.readouterr().out
    assert "depth-anything-v2 (default)" in shown
    assert "RESEARCH ONLY" in shown
    assert "larger is nearer" in shown
    assert "GiB" in shown


def test_a_disparity_file_becomes_a_depth_file_with_its_lens(clip, capsys):
    folder, depth = clip
    np.savez(folder / "nuke.npz", depth=(1 / depth).astype(np.float32))
    arguments = ["--from-file", str(folder / "nuke.npz"), "--kind", "disparity", "--fov", "60", "--no-edges"]
    assert main(["depth", str(folder / "clip.mp4"), "-o", str(folder / "d.npz"), *arguments]) == 0
    stored = load_depth(folder / "d.npz")
    np.testing.assert_allclose(stored.depth, depth, rtol=1e-4)
    assert stored.intrinsics.source == "given: 60 deg"
    told = capsys.readouterr()
    assert "60.0 deg" in told.err
    assert str(folder / "d.npz") in told.out


def test_estimating_on_the_command_line_writes_everything(clip, capsys):
    pytest.importorskip("transformers")
    from . import tiny_models

    folder, _ = clip
    model = folder / "model"
    model.mkdir()
    tiny_models.depth_anything(model)
    options = ["--set", f"model_dir={model}", "--set", "model_input=28", "--set", "device=cpu", "--num-frames", "4"]
    assert main(["depth", str(folder / "clip.mp4"), "-o", str(folder / "d.npz"), *options]) == 0
    told = capsys.readouterr().err
    assert "licence: Apache-2.0" in told
    assert "Flicker:" in told
    assert "54.2 degrees is assumed" in told
    stored = load_depth(folder / "d.npz")
    assert stored.depth.shape[0] == 4
    assert str(folder) not in json.dumps(stored.details)


def test_inspect_draws_the_three_pictures(clip, capsys):
    folder, depth = clip
    rng = np.random.default_rng(0)
    noisy = (depth * np.exp(0.02 * rng.normal(size=(len(depth), 1, 1)))).astype(np.float32)
    noisy[2, 3, 4] = np.nan
    np.savez(folder / "noisy.npz", depth=noisy)
    assert (
        main(
            [
                "depth",
                "inspect",
                str(folder / "clip.mp4"),
                str(folder / "noisy.npz"),
                "--output-dir",
                str(folder / "look"),
            ]
        )
        == 0
    )
    for name in ("contact_sheet", "flicker", "histogram"):
        picture = cv2.imread(str(folder / "look" / f"{name}.png"))
        assert picture is not None
        assert picture.std() > 5
    told = capsys.readouterr().out
    assert "Flicker as it is" in told
    assert "1 NaN" in told


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--estimator", "magic"], 2, "There is no depth estimator 'magic'; choose one of: depth-anything-v2"),
        (["--set", "colour=3"], 2, "has no setting 'colour'"),
        (["--focal-mm", "35"], 2, "--focal_mm and --sensor_mm belong together"),
        (["--fov", "60", "--focal", "500"], 2, "exclude each other"),
        (["--num-frames", "99"], 2, "99"),
        (["--from-file", "nowhere.npz"], 2, "nowhere.npz"),
        (["--from-file", "x.npz", "--estimator", "depth-pro"], 2, "do not apply"),
        (["--set", "model_dir=/nowhere"], 5, "hf download depth-anything/Depth-Anything-V2-Small-hf"),
    ],
)
def test_wrong_use_is_one_sentence_and_writes_nothing(clip, capsys, arguments, code, message):
    folder, _ = clip
    assert main(["depth", str(folder / "clip.mp4"), "-o", str(folder / "d.npz"), *arguments]) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not (folder / "d.npz").exists()


def test_depth_of_another_shape_is_refused_and_of_another_size_resampled(clip, capsys):
    folder, depth = clip
    np.savez(folder / "half.npz", depth=depth[:, ::2, ::2])
    np.savez(folder / "wide.npz", depth=depth[:, ::2])
    command = ["depth", str(folder / "clip.mp4"), "-o", str(folder / "d.npz"), "--from-file"]
    assert main([*command, str(folder / "wide.npz")]) == 2
    assert "another shape of picture" in capsys.readouterr().err
    assert main([*command, str(folder / "half.npz")]) == 0
    assert "brought from" in capsys.readouterr().err
    assert np.load(folder / "d.npz")["depth"].shape == depth.shape


def test_settings_are_checked_before_frames_are_read():
    from ex4d.depth import estimate_depth

    with pytest.raises(SettingError, match="num_steps must be between 1 and 100, got 0"):
        estimate_depth(np.zeros((2, 64, 64, 3), np.uint8), estimator="depthcrafter", settings={"num_steps": 0})


def test_frames_of_a_file_are_counted_and_limited(clip):
    from ex4d.depth import open_frames

    folder, _ = clip
    assert open_frames(folder / "clip.mp4").num_frames == 6
    limited = open_frames(folder / "clip.mp4", num_frames=3)
    assert (limited.num_frames, len(list(limited)), len(list(limited))) == (3, 3, 3)
    with pytest.raises(ClipError, match="99"):
        open_frames(folder / "clip.mp4", num_frames=99)
