"""One description of takes for everybody, and the older ones that lie on people's disks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import ClipError, InputError
from ex4d_ground.takes import (
    VERSION,
    TakeCamera,
    claim_take_folder,
    decode_take,
    describe,
    read_take_info,
    read_unfinished_take_info,
    take_folders,
)

LENS = Intrinsics(40.3, 41.7, 31.0, 25.0, 64, 48)


@pytest.fixture
def move() -> Trajectory:
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 0, 3] = [0.0, 0.1, 1 / 3]
    return Trajectory(poses, np.tile([40.3, 41.7, 31.0, 25.0], (3, 1)), np.array([0.0, 0.5, 2.0]), 64, 48, "slide")


def test_a_description_keeps_every_bit_of_the_move(move):
    info = describe("preview", move, seed=2**62, settings={"a": 0.1, "b": None}, coverage=[1 / 3] * 3)
    again = decode_take(info.encoded().encode(), "it")
    assert again == info and again.version == VERSION and again.preview and again.watermark == "engine=preview"
    assert again.camera is not None
    for name in ("world_from_camera", "intrinsics", "source_time"):
        np.testing.assert_array_equal(getattr(again.camera.trajectory, name), getattr(move, name))
    assert (again.camera.trajectory.name, again.num_frames, again.width) == ("slide", 3, 64)


@pytest.mark.parametrize("count", [-1, 100_001, 10**9, 10**30])
def test_a_number_of_frames_that_no_take_has_is_refused(count):
    with pytest.raises(ClipError, match="was damaged or edited"):
        decode_take({"engine": "x", "num_frames": count}, "it")


def test_what_earlier_versions_wrote_is_read(move):
    camera = json.loads(describe("x", move).encoded())["camera"]
    by_command_line = {
        "format": "ex4d-blender-take", "version": 1, "engine": "wan", "watermark": "engine=wan", "preview": False,
        "settings": {"steps": 4}, "seed": 7, "fps": 24.0, "num_frames": 3, "width": 64, "height": 48, "video": True,
        "frames": "frame_0001.png", "coverage": [1.0, 0.5, 0.5], "camera": camera, "metadata": {"lead_in_frames": 4},
    }  # fmt: skip
    info = decode_take(json.dumps(by_command_line).encode(), "it")
    assert (info.engine, info.settings, info.metadata) == ("wan", {"steps": 4}, {"lead_in_frames": 4})
    del camera["axes"]
    by_backend = {
        "engine": "preview", "engine_licence": "Apache-2.0", "settings": {}, "seed": 1, "fps": 15.0, "note": "mine",
        "version": "0.1.0", "clip": {"name": "plate"}, "mesh": {"options": {"mode": "solid"}}, "raster": {},
        "objects": [], "camera": camera, "coverage": [1.0, 1.0, 0.0], "empty_frames": [2], "blobs": {"ab": "shot.mp4"},
        "lead_in_frames": 2,
    }  # fmt: skip
    info = decode_take(json.dumps(by_backend).encode(), "it")
    assert info.metadata["versions"] == {"ex4d": "0.1.0"} and info.version == VERSION
    assert info.mesh == {"options": {"mode": "solid"}} and info.mean_coverage == pytest.approx(2 / 3)
    assert info.camera is not None and len(info.camera.trajectory) == 3


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[1, 2]", "cannot be read"),
        (b'{"format": "other", "engine": "x"}', "not a take's description"),
        (b'{"seed": 3}', "not a take's description"),
        (b'{"engine": "x", "version": 99}', "version 99.* up to 2; update"),
        (b'{"engine": "x", "seed": "many"}', "damaged or edited"),
        (b'{"engine": "x", "camera": {"width": 3}}', "damaged or edited"),
    ],
)
def test_what_is_no_description_is_refused_with_its_name(text, match):
    with pytest.raises(ClipError, match=match) as caught:
        decode_take(text, "shots/take_001/take.json")
    assert "shots/take_001/take.json" in str(caught.value)


def test_settings_that_are_no_json_are_refused():
    for bad in (object(), float("nan")):
        with pytest.raises(InputError, match="JSON"):
            describe("x", settings={"a": bad}).encoded()


def test_a_camera_edited_into_none_is_told(move):
    rows = TakeCamera.of(move).world_from_camera
    for broken in ([[[1.0]]], [rows[0], rows[1][:2], rows[2]]):
        camera = TakeCamera(width=64, height=48, world_from_camera=broken, intrinsics=[], source_time=[])
        with pytest.raises(InputError):
            _ = camera.trajectory


def test_numbers_are_claimed_once_and_never_reused(tmp_path):
    (tmp_path / "take_004.mp4").write_bytes(b"mine")
    assert [claim_take_folder(tmp_path).name for _ in range(2)] == ["take_005", "take_006"]
    (tmp_path / "take_005").rmdir()
    assert claim_take_folder(tmp_path).name == "take_007"


def test_unfinished_takes_are_found_and_tell_what_they_would_have_been(tmp_path):
    finished, partial, empty = (claim_take_folder(tmp_path) for _ in range(3))
    (finished / "take.json").write_text(describe("wan").encoded())
    (finished / "partial.json").write_text("{")
    (partial / "partial.json").write_text(describe("preview", seed=3).encoded())
    assert take_folders(tmp_path) == [finished, partial] and empty.is_dir()
    assert read_unfinished_take_info(finished).engine == "wan"
    assert read_unfinished_take_info(partial).seed == 3
    with pytest.raises(ClipError, match="no take folder"):
        read_take_info(partial)
