"""What a camera file's poses are relative to: files say it, and those that cannot are told apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ex4d.trajectory import MoveSetup, orbit
from ex4d_ground.camera_files import SOURCE, WORLD, CameraLayout, load_camera, load_camera_file, save_camera
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.source_camera import SourceCamera

LENS = Intrinsics.from_focal(320, 200, 300.0)


@pytest.fixture
def move() -> Trajectory:
    return orbit(40.0, 10.0, setup=MoveSetup(9, LENS, (0.0, 0.0, 3.0)))


@pytest.fixture
def filmed() -> SourceCamera:
    return SourceCamera.of_trajectory(orbit(-20.0, 5.0, setup=MoveSetup(9, LENS, (0.1, 0.0, 2.0))))


@pytest.mark.parametrize(
    ("name", "layout", "axes"),
    [
        ("cam.npz", "ex4d-blender", WORLD),
        ("transforms.json", "nerfstudio", WORLD),
        ("model", "colmap", WORLD),
        ("camera_30.npz", "ex4d", SOURCE),
    ],
)
def test_what_a_layout_means(tmp_path, move, filmed, name: str, layout: CameraLayout, axes):
    save_camera(tmp_path / name, move, layout=layout)
    file = load_camera_file(tmp_path / name)
    assert file.axes == axes
    assert file.in_world(None) is file.move
    as_it_says, other = file.in_world(filmed), file.in_world(filmed, WORLD if axes == SOURCE else SOURCE)
    world, beside = (as_it_says, other) if axes == WORLD else (other, as_it_says)
    np.testing.assert_array_equal(world.world_from_camera, file.move.world_from_camera)
    np.testing.assert_array_equal(beside.world_from_camera, filmed.world_from_camera @ file.move.world_from_camera)


def test_files_from_before_it_was_noted_are_relative_to_the_source_camera_of_the_moment(tmp_path, move, filmed):
    save_camera(tmp_path / "old.npz", move)
    with np.load(tmp_path / "old.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if name != "axes"}
    np.savez(tmp_path / "old.npz", **arrays)
    save_camera(tmp_path / "old.json", move)
    document = json.loads((tmp_path / "old.json").read_text())
    del document["ex4d"]["axes"]
    (tmp_path / "old.json").write_text(json.dumps(document))
    for name in ("old.npz", "old.json"):
        file = load_camera_file(tmp_path / name)
        assert file.axes == SOURCE
        beside = filmed.in_world(file.move)
        np.testing.assert_array_equal(file.in_world(filmed).world_from_camera, beside.world_from_camera)
    del document["ex4d"]
    (tmp_path / "theirs.json").write_text(json.dumps(document))
    assert load_camera_file(tmp_path / "theirs.json").axes == WORLD
    np.testing.assert_array_equal(load_camera(tmp_path / "old.npz").world_from_camera, move.world_from_camera)


def test_axes_that_nobody_knows_are_refused(tmp_path, move):
    save_camera(tmp_path / "cam.json", move)
    text = (tmp_path / "cam.json").read_text().replace('"axes": "world"', '"axes": "moon"')
    (tmp_path / "cam.json").write_text(text)
    with pytest.raises(TrajectoryError, match="relative to 'moon'; 'world' and 'source' are known"):
        load_camera_file(tmp_path / "cam.json")


def test_relative_to_the_source_and_back_is_the_same_move(move, filmed):
    again = filmed.seen_by_source(filmed.in_world(move))
    np.testing.assert_allclose(again.world_from_camera, move.world_from_camera, atol=1e-12)
