"""A .blend goes from one Blender version to another and back: between this one and the project's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import other_blender
import pytest

MENDED = (5, 2, 0)
"""From this version on the inputs of layers have other paths."""
UNREADABLE = (5, 0, 0)
"""Files of this version and later have a header that 4.2 does not read."""


@pytest.fixture
def other(project_python, tmp_path):
    """``other("make" or "read", path)``: what the project's own Blender shows of the file."""

    def run(what: str, path: Path) -> dict[str, np.ndarray]:
        target = tmp_path / f"other_{what}.npz"
        command = [*project_python, other_blender.__file__, what, str(path), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=280)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
        with np.load(target) as found:
            return dict(found)

    return run


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(found["weight"], [0, 0.25, 0.5, 0.75, 1], atol=1e-6, err_msg="the weight stays keyed")
    assert found["layers"].tolist() == expected["layers"].tolist()
    assert found["stored"].tolist() == expected["stored"].tolist()
    np.testing.assert_allclose(found["positions"], expected["positions"], atol=1e-5)
    moved = np.abs(np.diff(found["positions"], axis=0)).max(axis=(1, 2))
    assert (moved > 0.1).all(), "every frame differs from the one before"


def test_a_file_of_the_projects_own_blender_is_whole_here(blender, other, tmp_path):
    path = tmp_path / "theirs.blend"
    expected = other("make", path)
    if tuple(expected["version"]) >= UNREADABLE > blender.app.version and blender.app.version < (4, 3, 0):
        pytest.skip(f"Blender {blender.app.version_string} reads no file of {tuple(expected['version'])}")
    blender.ops.wm.open_mainfile(filepath=str(path))
    same(other_blender.shown(), expected)


def test_a_file_of_this_blender_is_whole_in_the_projects_own(blender, other, tmp_path):
    path = tmp_path / "ours.blend"
    other_blender.make(str(path))
    expected = other_blender.shown()
    same(other("read", path), expected)


def test_keys_and_drivers_of_others_stay_as_they_are(blender, shot):
    """Only paths of our layers are rewritten, and none that is this version's own."""
    from blender_addon.scene import keyframes, layers, other_versions

    body = shot.ex4d.mesh
    layer = layers.add(
        body, "Fix", np.zeros(len(body.data.vertices), np.float32), mode="RAY", frames=layers.FrameRange(1, 5)
    )
    body.keyframe_insert(layers.object_path(layer, "Weight"), frame=1)
    body.keyframe_insert("location", index=0, frame=1)
    foreign = 'modifiers["Theirs"].properties.inputs.Socket_2.value'
    next(curve for curve in keyframes.fcurves(body) if curve.data_path == "location").data_path = foreign
    assert other_versions.mend(body) == 0
    assert {curve.data_path for curve in keyframes.fcurves(body)} == {layers.object_path(layer, "Weight"), foreign}
