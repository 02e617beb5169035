"""Plugged-in tools: real programs, started, listened to, stopped."""

import os
import sys
import time
from typing import Any

import numpy as np
import pytest

from ex4d.depth import (
    ArrayFrames,
    ConvertOptions,
    DepthOptions,
    ExternalEstimator,
    ExternalTool,
    estimate_depth,
    get_estimator,
    list_estimators,
    save_depth,
)
from ex4d.depth.store import load_depth
from ex4d.depth.tools import run_depth_anything_3
from ex4d.progress import CancelToken
from ex4d_ground.camera_files import load_camera
from ex4d_ground.errors import Cancelled, DepthError, EngineError, SettingError, TrajectoryError

from .conftest import ROOT

FRAMES = np.random.default_rng(0).integers(0, 255, (4, 24, 32, 3), dtype=np.uint8)

HEAD = """
import json, sys, time, subprocess, pathlib
import numpy as np
frames, request, output = sys.argv[1:4]
facts = json.loads(pathlib.Path(request).read_text())
count, h, w = facts["num_frames"], facts["height"], facts["width"]
"""
GOOD = """
import cv2
paths = sorted(pathlib.Path(frames).glob("*.png"))
depth = []
for i, path in enumerate(paths):
    depth.append(cv2.imread(str(path))[::2, ::2, 2].astype(np.float32) + 1)  # red, at half size
    print("progress", i + 1, count, flush=True)
    time.sleep(0.15)
k = np.array([[20.0, 0, w / 4], [0, 20.0, h / 4], [0, 0, 1]])
np.savez(output, depth=np.stack(depth), meaning="metric", intrinsics=k)
"""


def tool(tmp_path, body, **more):
    script = tmp_path / "tool.py"
    script.write_text(HEAD + body)
    return ExternalTool(name="mine", command=(sys.executable, str(script), "{frames}", "{request}", "{output}"), **more)


def run(tmp_path, body, *, on_progress=None, cancel=None, **more):
    return ExternalEstimator(tool(tmp_path, body, **more)).estimate(
        ArrayFrames(FRAMES), on_progress=on_progress, cancel=cancel
    )


def test_frames_go_out_and_depth_lens_and_meaning_come_back(tmp_path):
    seen = []
    got = run(tmp_path, GOOD, on_progress=seen.append)
    assert got.values.shape == FRAMES.shape[:3]
    np.testing.assert_allclose(got.values[:, 0, 0], FRAMES[:, 0, 0, 0] + 1.0)
    assert got.meaning == "metric"
    assert (got.intrinsics.fx, got.intrinsics.cx, got.intrinsics.width) == (40, 16, 32)
    assert got.intrinsics.source == "estimated by mine"
    assert [s.done for s in seen if s.stage == "depth: estimate"]


def test_npz_input_holds_the_frames(tmp_path):
    body = 'np.savez(output, depth=np.load(frames)["frames"][..., 0].astype(np.float32) + 1)'
    got = run(tmp_path, body, input="npz")
    np.testing.assert_array_equal(got.values, FRAMES[..., 0] + np.float32(1))


def test_a_failing_tool_says_what_it_printed(tmp_path):
    with pytest.raises(EngineError, match="exit code 3: no such model"):
        run(tmp_path, 'print("no such model"); sys.exit(3)')


def test_a_tool_that_writes_nothing_is_said(tmp_path):
    with pytest.raises(EngineError, match="without writing its output"):
        run(tmp_path, "pass")


def test_too_few_frames_of_depth_are_refused(tmp_path):
    with pytest.raises(DepthError, match="wrote 2 frames of depth for 4 frames"):
        run(tmp_path, "np.savez(output, depth=np.ones((2, h, w)))")


def test_nan_depth_names_the_frame(tmp_path):
    with pytest.raises(EngineError, match="only NaN or infinity in frame 2"):
        run(tmp_path, "d = np.ones((count, h, w)); d[1] = np.nan; np.savez(output, depth=d)")


def test_an_unknown_meaning_is_refused(tmp_path):
    with pytest.raises(DepthError, match="wrote the meaning 'furlongs'"):
        run(tmp_path, 'np.savez(output, depth=np.ones((count, h, w)), meaning="furlongs")')


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/stat") as stat:  # a zombie is dead too
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:  # it was reaped meanwhile
        return False


CHILD = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[0]).with_name("pids").write_text(f"{__import__('os').getpid()} {child.pid}")
time.sleep(600)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_cancel_ends_the_tool_and_its_children(tmp_path):
    token = CancelToken()
    pids = tmp_path / "pids"

    def stop(_):
        if pids.exists() and pids.read_text():
            token.cancel()

    # the tool reports no progress itself, so a second thread of work stands in for the user's click
    import threading

    def watch():
        for _ in range(5000):
            stop(None)
            time.sleep(0.05)
            if token.cancelled:
                return

    threading.Thread(target=watch, daemon=True).start()
    with pytest.raises(Cancelled):
        run(tmp_path, CHILD, cancel=token)
    for pid in map(int, pids.read_text().split()):
        for _ in range(1200):
            if not alive(pid):
                break
            time.sleep(0.05)
        assert not alive(pid)


def test_a_tool_that_takes_too_long_is_stopped(tmp_path):
    started = time.monotonic()
    with pytest.raises(EngineError, match="stopped after its 1 s; raise timeout_s"):
        run(tmp_path, "time.sleep(120)", timeout_s=1)
    assert time.monotonic() - started < 60


def test_output_beyond_a_pipes_size_does_not_block(tmp_path):
    got = run(tmp_path, 'print("x\\n" * 200000); np.savez(output, depth=np.ones((count, h, w)))')
    assert (got.values == 1).all()


def test_a_command_without_placeholders_is_refused():
    with pytest.raises(SettingError, match=r"lacks \{output\}"):
        ExternalTool(name="x", command=("prog", "{frames}"))


def test_the_users_own_tools_are_listed_and_found(tmp_path, monkeypatch):
    config = tmp_path / "depth.toml"
    config.write_text(
        f'[[estimator]]\nname = "studio"\ncommand = ["{sys.executable}", "x.py", "{{frames}}", "{{output}}"]\n'
        'meaning = "metric"\nlicence = "in-house"\ntimeout_s = 60\n'
    )
    monkeypatch.setenv("EX4D_DEPTH_CONFIG", str(config))
    info = {i.name: i for i in list_estimators()}["studio"]
    assert (info.meaning, info.licence, info.available) == ("metric", "in-house", True)
    assert get_estimator("studio").tool.timeout_s == 60


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("timeout_s = inf", "has timeout_s = inf: give a number above 0"),
        ("timeout_s = nan", "has timeout_s = nan: give a number above 0"),
        ("timeout_s = -1", "has timeout_s = -1: give a number above 0"),
        ("timeout_s = 'long'", "has timeout_s = 'long': give a number above 0"),
        ("research_only = 'yes'", "has research_only = 'yes': give true or false"),
        ("licence = 3", "has licence = 3: give text"),
        ("input = 'jpg'", "has input = 'jpg': give one of"),
        ("environment = 3", "has environment = 3: give a table of texts"),
        ("environment = {THREADS = 4}", "has environment = {'THREADS': 4}: give a table of texts"),
        ("research_only = 'True'", "has research_only = 'True': give true or false"),
    ],
)
def test_a_configured_tools_entry_that_makes_no_sense_is_named_with_its_value(tmp_path, monkeypatch, entry, said):
    path = tmp_path / "depth.toml"
    path.write_text(f"[[estimator]]\nname = 'studio'\ncommand = ['x', '{{frames}}', '{{output}}']\n{entry}\n")
    monkeypatch.setenv("EX4D_DEPTH_CONFIG", str(path))
    with pytest.raises(SettingError) as refused:
        get_estimator("studio")
    assert f"{path}: the estimator 'studio' {said}" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[estimator", "not valid TOML"),
        ('[[estimator]]\nname = "a"\ncommand = "prog {frames} {output}"\n', "must be a list of words"),
        ('[[estimator]]\nname = "a"\ncommand = ["{frames}{output}"]\ncolour = 3\n', "unknown entry 'colour'"),
        ('[[estimator]]\nname = "depth-pro"\ncommand = ["{frames}{output}"]\n', "which is built in"),
        (
            '[[estimator]]\nname = "a"\ncommand = ["{frames}{output}"]\nmeaning = "far"\n',
            'give one of "disparity", "metric"',
        ),
    ],
)
def test_a_wrong_configuration_names_the_file_and_the_fault(tmp_path, monkeypatch, text, message):
    config = tmp_path / "depth.toml"
    config.write_text(text)
    monkeypatch.setenv("EX4D_DEPTH_CONFIG", str(config))
    with pytest.raises(SettingError, match=message):
        list_estimators()


def test_a_program_that_is_not_there_is_said_before_anything_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("EX4D_DA3_PYTHON", str(tmp_path / "python"))
    estimator = get_estimator("depth-anything-3")
    assert "pip install depth-anything-3" in estimator.info().remedy.cli
    with pytest.raises(EngineError, match="is not installed") as caught:
        estimator.estimate(ArrayFrames(FRAMES))
    assert "pip install depth-anything-3" in caught.value.text("cli")
    assert caught.value.exit_code == 4


PACKAGE = """
import numpy as np
class Prediction: pass
class DepthAnything3:
    @classmethod
    def from_pretrained(cls, folder): return cls()
    def to(self, device): return self
    def eval(self): return self
    def inference(self, paths):
        p = Prediction()
        first = int(paths[0][-9:-4])
        # every call has a scale of its own, as the real model's calls do
        p.depth = np.stack([np.full((6, 8), 2.0 + int(q[-9:-4])) for q in paths]) * (1 + 0.1 * first)
        p.intrinsics = np.tile(np.array([[5.0, 0, 4], [0, 5.0, 3], [0, 0, 1]]), (len(paths), 1, 1))
        # and a world of its own: that of its first frame, in which it tells camera_from_world
        poses = np.stack([pose(int(q[-9:-4])) for q in paths])
        poses = np.linalg.inv(poses[0]) @ poses
        poses[:, :3, 3] *= 1 + 0.1 * first
        p.extrinsics = np.linalg.inv(poses)[:, :3].astype(np.float32)
        return p
"""
POSE = """
def pose(frame):
    turned, (c, s) = np.eye(4), (np.cos(0.02 * frame), np.sin(0.02 * frame))
    turned[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    turned[:3, 3] = 0.3 * frame, -0.01 * frame, 0.02 * frame * frame
    return turned
"""


def test_depth_anything_3s_script_joins_chunks_of_different_scale(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    package = tmp_path / "depth_anything_3"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "api.py").write_text(PACKAGE + POSE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("EX4D_DA3_PYTHON", sys.executable)
    frames = np.zeros((30, 12, 16, 3), np.uint8)
    got = get_estimator("depth-anything-3").estimate(ArrayFrames(frames), settings={"chunk": 12, "model_dir": "a"})
    expected = (2.0 + np.arange(1, 31)) * 1.1
    np.testing.assert_allclose(got.values.mean(axis=(1, 2)), expected, rtol=1e-5)
    assert got.intrinsics.fx == 10  # for the frames' size
    known: dict[str, Any] = {"np": np}
    exec(POSE, known)
    truth = np.stack([known["pose"](i) for i in range(1, 31)])
    truth = np.linalg.inv(truth[0]) @ truth
    truth[:, :3, 3] *= 1.1  # as large as the depth
    assert got.source_camera is not None and got.source_camera.origin == "estimated"
    np.testing.assert_allclose(got.source_camera.world_from_camera, truth, atol=2e-4)
    assert (got.source_camera.width, got.source_camera.intrinsics[0].tolist()) == (16, [10, 10, 8, 6])


CAMERA = """
poses = np.tile(np.eye(4), (count, 1, 1))
poses[:, 0, 3] = 0.5 * np.arange(count)
depth = np.full((count, h, w), 4.0)
k = np.array([[40.0, 0, w / 2], [0, 40.0, h / 2], [0, 0, 1]])
"""


@pytest.mark.parametrize(("meaning", "factor"), [("metric", 2.0), ("scale-free", 0.75 / 4), ("disparity", None)])
def test_a_camera_that_an_estimator_knows_is_kept_in_the_depths_unit(tmp_path, monkeypatch, meaning, factor):
    """And can be read as a camera file from the depth's; where the depth has no unit it is left out, and said."""
    facts = f'meaning="{meaning}", intrinsics=k, world_from_camera=poses'
    done = CAMERA + f"np.savez(output, depth=depth + np.arange(w), {facts})"
    monkeypatch.setattr("ex4d.depth.run.get_estimator", lambda _: ExternalEstimator(tool(tmp_path, done)))
    convert = ConvertOptions(0.75, unit_scale=2.0)
    options = DepthOptions(align=False, steady=False, convert=convert, measure_flicker=False)
    found = estimate_depth(FRAMES, estimator="mine", options=options)
    save_depth(tmp_path / "d.npz", found.file)
    if factor is None:
        assert found.file.source_camera is None and load_depth(tmp_path / "d.npz").source_camera is None
        assert any("has no unit" in note for note in found.report.notes)
        with pytest.raises(TrajectoryError, match="depth file whose estimator knew no camera; give a camera file"):
            load_camera(tmp_path / "d.npz")
        return
    assert any("says how the camera moved" in note for note in found.report.notes)
    move = load_camera(tmp_path / "d.npz")
    np.testing.assert_allclose(move.world_from_camera[:, 0, 3], 0.5 * factor * np.arange(4), rtol=1e-4)
    k = found.report.lens
    assert move.intrinsics[3].tolist() == [k.fx, k.fy, k.cx, k.cy] and (move.width, move.height) == (32, 24)
    kept = load_depth(tmp_path / "d.npz").source_camera
    np.testing.assert_array_equal(kept.world_from_camera, found.file.source_camera.world_from_camera)


@pytest.mark.parametrize(
    ("poses", "said"), [("poses[:2]", "wrote 2 cameras for 4 frames"), ("2 * poses", "wrote cameras that are none")]
)
def test_cameras_that_do_not_fit_are_refused(tmp_path, poses, said):
    with pytest.raises(DepthError, match=said):
        run(tmp_path, CAMERA + f"np.savez(output, depth=depth, intrinsics=k, world_from_camera={poses})")


def test_joined_chunks_agree_where_they_overlap():
    truth = np.random.default_rng(1).uniform(1, 5, (10, 3, 4)).astype(np.float32)
    factor = run_depth_anything_3.scale_between(truth[:6], truth[3:] * 2.5, 3)
    np.testing.assert_allclose(run_depth_anything_3.joined(truth[:6], truth[3:] * 2.5, 3, factor), truth, rtol=1e-6)


def test_the_runner_of_the_guide_works_as_it_stands(tmp_path, monkeypatch):
    guide = (ROOT / "docs" / "depth.md").read_text()
    script = tmp_path / "my_depth.py"
    script.write_text(guide.split("```python\n")[1].split("```")[0])
    table = guide.split("```toml\n")[1].split("```")[0]
    config = tmp_path / "depth.toml"
    config.write_text(table.replace('"python3"', f'"{sys.executable}"').replace("/opt/my_depth.py", str(script)))
    monkeypatch.setenv("EX4D_DEPTH_CONFIG", str(config))
    got = get_estimator("my-depth").estimate(ArrayFrames(FRAMES))
    wanted = 2.0 + 3.0 * (1.0 - FRAMES.mean(axis=3) / 255.0)
    np.testing.assert_allclose(got.values, wanted, rtol=1e-5)
    assert got.meaning == "metric"
