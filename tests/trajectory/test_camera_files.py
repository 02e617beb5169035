from __future__ import annotations

import json

import numpy as np
import pytest
from full_disk import no_file_beyond

from ex4d.trajectory import MoveSetup, orbit, preset, source_times, vertigo
from ex4d_ground.camera_files import CameraLayout, load_camera, save_camera
from ex4d_ground.cameras import Intrinsics, Trajectory, from_matrices
from ex4d_ground.errors import OutputError, TrajectoryError


@pytest.fixture
def lens() -> Intrinsics:
    return Intrinsics(310.0, 305.0, 150.0, 95.0, 320, 200)


@pytest.fixture
def move(lens: Intrinsics) -> Trajectory:
    """Roll, pitch, an off-centre animated lens and a retime: everything a file can lose."""
    times = source_times("slow", num_frames=12, num_source_frames=30, frame=3, speed=0.4)
    base = vertigo(0.5, setup=MoveSetup(12, lens, (0.1, 0.2, 3.0), source_time=times))
    turned = orbit(70, -40, setup=MoveSetup(12, lens, (0.0, 0.0, 2.0))).world_from_camera
    return from_matrices(
        turned @ base.world_from_camera,
        intrinsics=base.intrinsics,
        size=(lens.width, lens.height),
        source_time=times,
        name="everything",
    )


@pytest.mark.parametrize(
    ("name", "layout", "keeps_time"),
    [
        ("cam.npz", None, True),
        ("transforms.json", None, True),
        ("sparse", None, False),
        ("x.npz", "ex4d-blender", True),
    ],
)
def test_a_move_round_trips_through_every_layout(move, tmp_path, name, layout: CameraLayout | None, keeps_time):
    save_camera(tmp_path / name, move, layout=layout)
    again = load_camera(tmp_path / name)
    np.testing.assert_allclose(again.world_from_camera, move.world_from_camera, atol=1e-12)
    np.testing.assert_allclose(again.intrinsics, move.intrinsics, rtol=1e-15)
    assert (again.width, again.height) == (move.width, move.height)
    if keeps_time:
        np.testing.assert_array_equal(again.source_time, move.source_time)
        assert again.name == move.name
    assert not list(tmp_path.glob(".*"))


def test_ex4d_layout_round_trips_to_float32(tmp_path, lens):
    centred = Intrinsics.from_focal(320, 200, 500)
    move = preset("180", num_frames=9, intrinsics=centred, near_depth=2.0)
    save_camera(tmp_path / "camera_180.npz", move, layout="ex4d")
    again = load_camera(tmp_path / "camera_180.npz")
    np.testing.assert_allclose(again.world_from_camera, move.world_from_camera, atol=1e-6)
    np.testing.assert_allclose(again.intrinsics, move.intrinsics, rtol=1e-7)
    assert (again.width, again.height, again.name) == (320, 200, "180")


def test_ex4d_layout_takes_the_size_of_an_off_centre_camera_from_the_caller(tmp_path, lens):
    move = preset("30", num_frames=3, intrinsics=lens, near_depth=2.0)
    save_camera(tmp_path / "c.npz", move, layout="ex4d")
    assert load_camera(tmp_path / "c.npz", size=(320, 200)).width == 320


def test_ex4d_layout_refuses_a_changing_lens_and_writes_nothing(tmp_path, move):
    with pytest.raises(TrajectoryError, match="one lens"):
        save_camera(tmp_path / "c.npz", move, layout="ex4d")
    assert not list(tmp_path.iterdir())


def test_images_of_colmap_are_in_natural_order(tmp_path, move):
    save_camera(tmp_path / "s", move)
    images = tmp_path / "s" / "images.txt"
    lines = images.read_text().replace("frame_00", "frame_").replace("frame_0", "frame_").splitlines()
    pairs = [lines[i : i + 2] for i in range(1, len(lines), 2)]
    images.write_text("\n".join(lines[:1] + [line for pair in reversed(pairs) for line in pair]) + "\n")
    again = load_camera(tmp_path / "s")
    np.testing.assert_allclose(again.world_from_camera, move.world_from_camera, atol=1e-12)


def test_nerfstudio_axes_are_opengl(tmp_path, lens):
    """The camera's third column points backward and its second up, as nerfstudio's documentation has it."""
    save_camera(tmp_path / "t.json", preset("static", num_frames=1, intrinsics=lens, near_depth=1.0))
    document = json.loads((tmp_path / "t.json").read_text())
    np.testing.assert_array_equal(document["frames"][0]["transform_matrix"], np.diag([1, -1, -1, 1]))
    assert document["fl_x"] == lens.fx and document["w"] == lens.width


def test_a_transforms_file_with_only_an_angle_is_read(tmp_path):
    document = {"w": 100, "h": 80, "camera_angle_x": np.pi / 2, "frames": [{"transform_matrix": np.eye(4).tolist()}]}
    (tmp_path / "t.json").write_text(json.dumps(document))
    np.testing.assert_allclose(load_camera(tmp_path / "t.json").intrinsics, [[50, 50, 50, 40]])


def write_json(tmp_path, **changes):
    document = {"w": 100, "h": 80, "fl_x": 90, "frames": [{"transform_matrix": np.eye(4).tolist()}]} | changes
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": []}, "no list of frames"),
        ({"frames": [{}]}, "frame 1 has no transform_matrix"),
        ({"frames": [{"transform_matrix": [[1, 2], [3, 4]]}]}, "4x4"),
        ({"frames": [{"transform_matrix": "soon"}]}, "wrong kind"),
        ({"fl_x": None}, "wrong kind"),
        ({"frames": [{"transform_matrix": (2 * np.eye(4)).tolist()}]}, "not rigid"),
    ],
)
def test_an_unusable_transforms_file_is_refused_with_its_name(tmp_path, changes, words):
    path = write_json(tmp_path, **changes)
    with pytest.raises(TrajectoryError, match=words) as caught:
        load_camera(path)
    assert str(path) in str(caught.value)


def test_unusable_npz_files_are_refused(tmp_path, move):
    path = tmp_path / "c.npz"
    with pytest.raises(TrajectoryError, match="no camera file"):
        load_camera(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(TrajectoryError, match="not a readable"):
        load_camera(path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(TrajectoryError, match="it has: a"):
        load_camera(path)
    np.savez(path, extrinsics=np.full((2, 4, 4), np.nan), intrinsics=np.eye(3))
    with pytest.raises(TrajectoryError, match="NaN"):
        load_camera(path, size=(64, 64))
    np.savez(path, world_from_camera=np.array([{"x": 1}], dtype=object))
    with pytest.raises(TrajectoryError, match="not a readable"):
        load_camera(path)
    save_camera(path, move)
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {"version": np.array(99)}))
    with pytest.raises(TrajectoryError, match=r"99.*update"):
        load_camera(path)
    with pytest.raises(TrajectoryError, match=r"cam\.abc"):
        save_camera(tmp_path / "cam.abc", move)


def test_a_colmap_folder_that_the_disk_cannot_hold_is_whole_or_not_there(tmp_path, move):
    with (
        no_file_beyond(200),  # enough for the lens, too little for the poses
        pytest.raises(OutputError, match=r"Cannot write .*model"),
    ):
        save_camera(tmp_path / "model", move, layout="colmap")
    assert not list(tmp_path.iterdir())


def test_unusable_colmap_folders_are_refused(tmp_path, move):
    save_camera(tmp_path / "s", move)
    cameras = tmp_path / "s" / "cameras.txt"
    text = cameras.read_text()
    cameras.write_text(text.replace("PINHOLE", "OPENCV"))
    with pytest.raises(TrajectoryError, match="OPENCV has 8 numbers, got 4"):
        load_camera(tmp_path / "s")
    cameras.write_text("1 PINHOLE 320 200 abc 1 1 1\n")
    with pytest.raises(TrajectoryError, match="malformed"):
        load_camera(tmp_path / "s")
    cameras.unlink()
    with pytest.raises(TrajectoryError, match=r"cameras\.txt"):
        load_camera(tmp_path / "s")


def test_a_camera_that_cannot_be_written_is_an_output_error(tmp_path, move):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file"):
        save_camera(tmp_path / "file" / "c.npz", move)
