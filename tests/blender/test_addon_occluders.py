"""A shot's choice of occluders: what reaches the backend, what it changes, what a take brings back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ex4d_ground.options import MeshOptions
from ex4d_protocol.requests import MeshSpec


@pytest.fixture
def moving(connected, sources):
    """A shot with a camera move, through a real backend."""
    connected.ops.ex4d.import_clip(**sources)
    connected.ops.ex4d.add_camera_move(preset="60")
    return connected


def shot_of(blender):
    return blender.context.scene.ex4d.shot


def coverage_of(blender) -> np.ndarray:
    blender.ops.ex4d.render_guides()
    return np.array(json.loads(shot_of(blender).ex4d.coverage_json))


def test_the_choice_is_what_a_job_is_given(moving):
    from blender_addon.edit import occluders

    shot = shot_of(moving)
    assert occluders.mesh_spec(shot) == MeshSpec()
    shot.ex4d.occluders = "SOLID"
    assert occluders.mesh_spec(shot).options == MeshOptions(mode="solid")
    shot.ex4d.thickness_by, shot.ex4d.thickness_share = "SHARE", 0.2
    assert occluders.mesh_spec(shot).options == MeshOptions(mode="solid", thickness=0.2)
    shot.ex4d.thickness_by, shot.ex4d.thickness_length, shot.ex4d.other_frames = "LENGTH", 0.3, True
    wanted = MeshOptions(mode="solid", thickness=0.3, thickness_unit="depth", other_frames=True)
    assert occluders.mesh_spec(shot).options == wanted


def test_solid_occluders_show_more_of_the_source(moving):
    endless = coverage_of(moving)
    shot_of(moving).ex4d.occluders = "SOLID"
    solid = coverage_of(moving)
    assert solid[-1] > endless[-1] + 0.01
    shot_of(moving).ex4d.occluders = "ENDLESS"
    assert np.array_equal(coverage_of(moving), endless)


def test_a_take_brings_its_occluders_back(moving):
    shot = shot_of(moving)
    shot.ex4d.occluders, shot.ex4d.thickness_by, shot.ex4d.thickness_share = "SOLID", "SHARE", 0.25
    moving.ops.ex4d.generate(engine="preview", seed=3)
    take = moving.context.scene.ex4d.takes[0]
    folder = Path(moving.path.abspath(take.folder))
    assert json.loads((folder / "take.json").read_text())["mesh"]["options"]["mode"] == "solid"
    shot.ex4d.occluders, shot.ex4d.thickness_by, shot.ex4d.thickness_share = "ENDLESS", "AUTO", 0.1
    moving.ops.ex4d.restore_take()
    assert (shot.ex4d.occluders, shot.ex4d.thickness_by) == ("SOLID", "SHARE")
    assert shot.ex4d.thickness_share == pytest.approx(0.25)


@pytest.mark.parametrize("content", ["{", '{"mesh": {"options": {"mode": "of a later version"}}}'])
def test_a_take_that_cannot_be_read_still_gives_its_settings(moving, content):
    moving.ops.ex4d.generate(engine="preview", seed=7)
    take = moving.context.scene.ex4d.takes[0]
    (Path(moving.path.abspath(take.folder)) / "take.json").write_text(content)
    moving.context.scene.ex4d.seed = 0
    moving.ops.ex4d.restore_take()
    assert moving.context.scene.ex4d.seed == 7


def test_the_panel_shows_what_belongs_to_the_choice(moving):
    from drawn_panels import Layout

    from blender_addon.edit import occluders

    def names() -> list[str]:
        layout = Layout()
        occluders.draw(layout, shot_of(moving))
        return [text for _, text, _ in layout.drawn]

    assert len(names()) == 1
    shot_of(moving).ex4d.occluders = "SOLID"
    assert len(names()) == 3
    shot_of(moving).ex4d.thickness_by = "LENGTH"
    assert len(names()) == 4
