"""A file that was saved before shots had a source rig: it opens, plays and is sent as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_clip import make_clip
from small_shot import write_shot_files

FILES = Path(__file__).with_name("files")


@pytest.fixture
def facts():
    """What the version that saved it has seen in it, on every frame."""
    return json.loads((FILES / "old_layout.json").read_text())


@pytest.fixture
def old(blender, tmp_path):
    shutil.copy(FILES / "old_layout.blend", tmp_path / "old_layout.blend")
    write_shot_files(make_clip(4, 24, 32), tmp_path / "old_layout_ex4d" / "clip")
    blender.ops.wm.open_mainfile(filepath=str(tmp_path / "old_layout.blend"))
    return blender.context.scene.ex4d.shot


def test_everything_stands_where_it_stood(blender, old, facts):
    from blender_addon.scene import mesh

    assert {each.name: each.parent.name for each in blender.data.objects if each.parent} == facts["parents"]
    assert old.ex4d.rig is None and not old.ex4d.filmed_by
    for index, frame in enumerate(facts["frames"]):
        blender.context.scene.frame_set(1 + index)
        graph = blender.context.evaluated_depsgraph_get()
        for name, matrix in frame["matrices"].items():
            shown = np.array(blender.data.objects[name].evaluated_get(graph).matrix_world)
            np.testing.assert_allclose(shown, matrix, atol=1e-6)
        positions = mesh.evaluated_positions(old.ex4d.mesh, graph)
        assert hashlib.sha256(positions.tobytes()).hexdigest() == frame["positions"]


def test_the_backend_is_asked_for_the_same(blender, old, facts):
    from blender_addon.scene import cameras
    from blender_addon.scene import shot as shots

    move = cameras.sample(blender.context, old, old.ex4d.camera)
    np.testing.assert_allclose(move.world_from_camera, facts["poses"], atol=1e-6)
    np.testing.assert_allclose(move.source_time, facts["times"], atol=1e-6)
    spec = shots.stored_clip(old).spec
    assert hashlib.sha256(msgspec.msgpack.encode(spec)).hexdigest() == facts["clip"]


def test_saved_by_this_version_and_opened_again_it_is_the_same(blender, old, facts):
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    again = blender.context.scene.ex4d.shot
    test_everything_stands_where_it_stood(blender, again, facts)
    test_the_backend_is_asked_for_the_same(blender, again, facts)
