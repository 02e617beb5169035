"""A lens from a real .blend, and that its origin is said on the command line, in the depth file and in the take."""

import json
import subprocess
import sys

import numpy as np
import pytest

from ex4d.cli.app import main
from ex4d.clip import write_video
from ex4d.depth import from_blender_camera, load_depth
from ex4d.depth.lens_file import lens_from_file
from ex4d_ground.errors import ClipError, MissingExtraError, SettingError

from .test_lens import write_jpeg

pytestmark = pytest.mark.blender

MAKE = """
import os, sys
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.resolution_x, scene.render.resolution_y = 1920, 800
for name, kind in (("wide", "PERSP"), ("map", "ORTHO")):
    data = bpy.data.cameras.new(name)
    data.type, data.lens, data.sensor_width, data.shift_x = kind, 28.0, 32.0, 0.1
    scene.camera = bpy.data.objects.new(name, data)
    scene.collection.objects.link(scene.camera)
    bpy.ops.wm.save_as_mainfile(filepath=os.path.join(sys.argv[1], name + ".blend"))
scene.camera = None
bpy.ops.wm.save_as_mainfile(filepath=os.path.join(sys.argv[1], "none.blend"))
os._exit(0)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("bpy")
    folder = tmp_path_factory.mktemp("lens")
    subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True, stdout=subprocess.DEVNULL)
    frames = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), dtype=np.uint8)
    write_video(folder / "clip.mp4", frames, fps=15)
    np.savez(folder / "d.npz", depth=np.linspace(3, 6, 3 * 48 * 64).reshape(3, 48, 64).astype(np.float32))
    return folder


SAID = "given: Blender camera 'wide' of wide.blend, 28 mm"


def test_a_blend_files_active_camera_is_the_lens(folder):
    lens = lens_from_file(folder / "wide.blend", 64, 48)
    assert lens.source == SAID
    wanted = from_blender_camera(64, 48, lens_mm=28, sensor_width_mm=32, shift_x=0.1)
    assert (lens.fx, lens.fy, lens.cx, lens.cy) == pytest.approx((wanted.fx, wanted.fy, wanted.cx, wanted.cy), rel=1e-6)
    assert lens.fx == pytest.approx(28 / 32 * 64)
    assert lens.cx == pytest.approx(32 - 0.1 * 64)


def test_the_command_the_depth_file_and_the_take_say_where_the_lens_came_from(folder, tmp_path, capsys):
    source = ["--lens-from", str(folder / "wide.blend")]
    words = ["--from-file", str(folder / "d.npz"), *source]
    assert main(["depth", str(folder / "clip.mp4"), "-o", str(tmp_path / "e.npz"), *words]) == 0
    assert SAID in capsys.readouterr().err
    assert load_depth(tmp_path / "e.npz").intrinsics.source == SAID
    shot = ["--input-video", str(folder / "clip.mp4"), "--cam", "orbit_left", "--output-dir", str(tmp_path / "out")]
    assert main(["preview", *shot, "--depth", str(folder / "d.npz"), *source]) == 0
    assert SAID in capsys.readouterr().err
    (take,) = (tmp_path / "out").glob("take_*/take.json")
    assert json.loads(take.read_text())["metadata"]["clip"]["focal_source"] == SAID


def test_a_scene_without_a_usable_camera_is_one_sentence(folder):
    with pytest.raises(SettingError, match=r"none\.blend has no active camera"):
        lens_from_file(folder / "none.blend", 64, 48)
    with pytest.raises(SettingError, match=r"'map' of .* is of type ORTHO"):
        lens_from_file(folder / "map.blend", 64, 48)


def test_a_damaged_blend_is_one_sentence(tmp_path):
    pytest.importorskip("bpy")
    (tmp_path / "bad.blend").write_bytes(b"nonsense")
    with pytest.raises(SettingError, match=r"Blender cannot open .*bad\.blend"):
        lens_from_file(tmp_path / "bad.blend", 64, 48)


def test_another_images_metadata_can_be_the_lens(tmp_path):
    photo = write_jpeg(tmp_path / "a.jpg", {0xA405: 35}, size=(640, 480))
    assert lens_from_file(photo, 64, 48).source == "metadata: 35 mm (35 mm equivalent, EXIF)"
    with pytest.raises(SettingError, match="says nothing about its lens"):
        lens_from_file(write_jpeg(tmp_path / "b.jpg", {}), 64, 48)
    with pytest.raises(ClipError, match="no file or folder"):
        lens_from_file(tmp_path / "c.jpg", 64, 48)


def test_without_blender_the_extra_is_named(monkeypatch, tmp_path):
    from ex4d.depth import lens_file

    (tmp_path / "a.blend").write_bytes(b"")
    monkeypatch.setattr(lens_file, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("EX4D_BLENDER", raising=False)
    with pytest.raises(MissingExtraError, match="which is not installed") as caught:
        lens_from_file(tmp_path / "a.blend", 64, 48)
    assert "pip install '.[blender]'" in caught.value.text("cli")


@pytest.mark.parametrize("words", [["--fov", "40"], ["--focal", "70"], ["--parity"]])
def test_two_lenses_are_refused(folder, tmp_path, capsys, words):
    shot = ["--input-video", str(folder / "clip.mp4"), "--cam", "30", "--output-dir", str(tmp_path / "out")]
    source = ["--depth", str(folder / "d.npz"), "--lens-from", str(folder / "wide.blend")]
    assert main(["recon", *shot, *source, *words]) == 2
    assert "lens_from" in capsys.readouterr().err
