"""Where the focal length comes from, and that it is said."""

import av
import numpy as np
import pytest
from PIL import Image

from ex4d.depth import from_blender_camera, from_lens, read_lens, resolve_lens
from ex4d.depth.lens import lens_warning
from ex4d.lens import Lens
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError, ShapeError


def write_mov(path, tags):
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(tags)
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_jpeg(path, tags, size=(64, 48)):
    image = Image.new("RGB", size)
    exif = image.getexif()
    exif.get_ifd(0x8769).update(tags)
    image.save(path, exif=exif)
    return path


def test_a_phones_video_says_its_lens(tmp_path):
    path = write_mov(tmp_path / "a.mov", {"com.apple.quicktime.camera.focal_length.35mm_equivalent": "26"})
    lens = read_lens(path, 64, 48)
    # 26 mm on a 43.27 mm diagonal, 80 px long here
    assert lens.fx == pytest.approx(26 * 80 / 43.2666, rel=1e-4)
    assert lens.source == "metadata: 26 mm (35 mm equivalent, QuickTime)"


def test_an_images_exif_says_its_equivalent_lens(tmp_path):
    lens = read_lens(write_jpeg(tmp_path / "a.jpg", {0xA405: 50}), 64, 48)
    assert lens.fx == pytest.approx(50 * 80 / 43.2666, rel=1e-4)
    assert "EXIF" in lens.source


def test_an_images_focal_plane_gives_the_sensor(tmp_path):
    # 64 pixels at 2 pixels a millimetre are a 32 mm sensor; the frames are half as large
    lens = read_lens(write_jpeg(tmp_path / "a.jpg", {0x920A: 24.0, 0xA20E: 2.0, 0xA210: 4}), 32, 24)
    assert lens.fx == pytest.approx(24 * 32 / 32)
    assert lens.source == "metadata: 24 mm lens on a 32 mm sensor (EXIF)"


def test_a_folder_of_images_is_asked_by_its_first(tmp_path):
    write_jpeg(tmp_path / "frame_1.jpg", {0xA405: 35})
    assert "35 mm" in read_lens(tmp_path, 64, 48).source


def test_no_metadata_is_no_lens(tmp_path):
    assert read_lens(write_mov(tmp_path / "a.mov", {}), 64, 48) is None
    assert read_lens(write_jpeg(tmp_path / "a.jpg", {}), 64, 48) is None


@pytest.mark.parametrize("value", ["0", "-3", "nan", "wide", ""])
def test_nonsense_in_metadata_is_ignored(tmp_path, value):
    path = write_mov(tmp_path / "a.mov", {"com.apple.quicktime.camera.focal_length.35mm_equivalent": value})
    assert read_lens(path, 64, 48) is None


def test_the_order_of_trust_is_given_metadata_estimator_default(tmp_path):
    video = write_mov(tmp_path / "a.mov", {"com.apple.quicktime.camera.focal_length.35mm_equivalent": "26"})
    given = Intrinsics.from_focal(64, 48, 70)
    estimated = Intrinsics.from_focal(64, 48, 55, "estimated by depth-pro")
    assert resolve_lens(64, 48, given=Lens(given), video=video, estimated=estimated) == given
    assert resolve_lens(64, 48, video=video, estimated=estimated).source.startswith("metadata")
    assert resolve_lens(64, 48, estimated=estimated) == estimated
    default = resolve_lens(64, 48)
    assert default.source == "assumed: 54.22 deg"
    assert resolve_lens(640, 480).fov_deg == pytest.approx(default.fov_deg)
    assert "54.2 degrees is assumed" in lens_warning(default)
    assert lens_warning(given) == ""


def test_lens_and_sensor_give_pixels():
    assert from_lens(1920, 1080, 35, 36).fx == pytest.approx(35 * 1920 / 36)
    with pytest.raises(SettingError, match="positive millimetres, got 35 and 0"):
        from_lens(1920, 1080, 35, 0)


@pytest.mark.blender
def test_blenders_camera_values_give_blenders_projection():
    bpy = pytest.importorskip("bpy")
    rng = np.random.default_rng(0)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    bpy.context.scene.collection.objects.link(camera)
    for trial in range(45):
        data = camera.data
        data.lens, data.sensor_width, data.sensor_height = rng.uniform(10, 90), *rng.uniform(10, 40, 2)
        data.sensor_fit = ["AUTO", "HORIZONTAL", "VERTICAL"][trial % 3]
        data.shift_x, data.shift_y = rng.uniform(-0.3, 0.3, 2)
        width, height = (int(v) for v in rng.integers(100, 1000, 2))
        aspect_x, aspect_y = (1.0, 1.0) if trial % 2 else rng.uniform(1, 2, 2)
        bpy.context.view_layer.update()
        p = camera.calc_matrix_camera(
            bpy.context.evaluated_depsgraph_get(), x=width, y=height, scale_x=aspect_x, scale_y=aspect_y
        )
        lens = from_blender_camera(
            width, height, lens_mm=data.lens, sensor_width_mm=data.sensor_width, sensor_height_mm=data.sensor_height,
            sensor_fit=data.sensor_fit, shift_x=data.shift_x, shift_y=data.shift_y, pixel_aspect=aspect_x / aspect_y,
        )  # fmt: skip
        wanted = (p[0][0] * width / 2, p[1][1] * height / 2, width / 2 * (1 - p[0][2]), height / 2 * (1 + p[1][2]))
        np.testing.assert_allclose((lens.fx, lens.fy, lens.cx, lens.cy), wanted, rtol=1e-4, atol=1e-2)


def test_one_lens_is_given_in_one_way():
    assert Lens().at(64, 48) is None
    assert Lens((50, 51, 30, 20)).at(64, 48) == Intrinsics(50, 51, 30, 20, 64, 48)
    assert Lens(focal_px=70).at(64, 48) == Intrinsics.from_focal(64, 48, 70)
    assert Lens(fov_deg=40, source="given: 40 deg").at(64, 48).source == "given: 40 deg"
    with pytest.raises(SettingError, match="exclude each other; give one of them"):
        Lens(fov_deg=40, focal_px=70)
    with pytest.raises(ShapeError, match="for 64x48 pixels but the video is 32x24"):
        Lens(Intrinsics.from_focal(64, 48, 70)).at(32, 24)
