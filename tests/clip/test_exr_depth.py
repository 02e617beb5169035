"""Depth from EXR files: the pass that means depth and no other, in the window that the picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray

from ex4d.clip import read_depth
from ex4d_ground.arrays import Float32
from ex4d_ground.errors import DepthError

SIZE = (12, 16)


def exr(path: Path, channels: Mapping[str, NDArray], **header: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    with OpenEXR.File(header, {name: np.ascontiguousarray(v) for name, v in channels.items()}) as file:
        file.write(str(path))


def parts(path: Path, given: Sequence[tuple[str, Mapping[str, NDArray]]], **header: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    made = [
        OpenEXR.Part({"name": name, "type": OpenEXR.scanlineimage, **header}, dict(channels), name)
        for name, channels in given
    ]
    with OpenEXR.File(made) as file:
        file.write(str(path))


def plane(value: float) -> Float32:
    return np.full(SIZE, value, np.float32)


DEPTH = np.linspace(2, 9, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)


NAMES = """
    Z z Depth depth.Z Depth.V depth.R zdepth ZDepth Z_Depth z-depth DEPTH.Z ViewLayer.Depth.Z ViewLayer.Depth.V
    RenderLayer.Depth.Z View_Layer.001.Depth.Z VRayZDepth VRayZDepth.R CGeometry_ZDepth.R FinalImageWorldDepth.R
    sceneDepth.R ZBuffer.R rgba.Z rsZ.Z ai_depth.Z beauty.depth.Z zfiltered Denoising_Depth.Z Depth32.V
"""
"""What renderers call depth."""


def layer(name: str, letters: str, value: float = 0.5) -> dict[str, Float32]:
    """Channels of a pass, each of another value."""
    return {f"{name}.{c}" if name else c: plane(value + i / 10) for i, c in enumerate(letters)}


BLENDER = {
    **layer("ViewLayer.Combined", "RGBA"),
    **layer("ViewLayer.Normal", "XYZ"),
    **layer("ViewLayer.Position", "XYZ"),
    **layer("ViewLayer.Vector", "XYZW"),
    **layer("ViewLayer.UV", "UVA"),
    **layer("ViewLayer.CryptoObject00", "RGBA"),
    "ViewLayer.Mist.Z": plane(0.3),
}


def read_one(tmp_path: Path, channels: Mapping[str, NDArray], channel: str | None = None, **header: Any) -> Float32:
    exr(tmp_path / "seq" / "f_1.exr", channels, **header)
    return read_depth(tmp_path / "seq", channel=channel)[0]


@pytest.mark.comes_in("Depth", "EXR with one pass that means depth (Z, Depth.Z, VRayZDepth.R, ...)", "that pass")
@pytest.mark.parametrize("name", NAMES.split())
@pytest.mark.parametrize("beside", [{}, BLENDER, layer("", "RGBA"), layer("N", "XYZ") | layer("P", "xyz")])
def test_the_pass_that_means_depth_is_found_beside_any_other(tmp_path: Path, name: str, beside) -> None:
    assert np.array_equal(read_one(tmp_path, {**beside, name: DEPTH}), DEPTH)


@pytest.mark.comes_in(
    "Depth", "EXR without a depth pass (normals, positions, UV, mist, ...)", "refused, channels listed"
)
@pytest.mark.parametrize(
    "channels",
    [
        BLENDER,
        layer("N", "Z"),
        layer("Normal", "XYZ"),
        layer("", "XYZ"),
        layer("P", "XYZ"),
        layer("P", "Z"),
        layer("Vector", "Z"),
        layer("UV", "xyz"),
        layer("worldPosition", "Z") | layer("", "RGBA"),
        layer("Depth", "XYZ"),
        layer("", "RGB"),
        layer("Mist", "Z"),
        layer("Normal", "R"),
        layer("depth_mask", "R"),
        layer("", "UV"),
        layer("", "A"),
        {"ZBack": DEPTH},
        {"motion.Z": DEPTH},
        {"Pz": DEPTH},
    ],
)
def test_what_does_not_mean_depth_is_never_taken(tmp_path: Path, channels) -> None:
    with pytest.raises(DepthError, match="has no depth channel, only: ") as caught:
        read_one(tmp_path, channels)
    assert sorted(channels)[0] in str(caught.value)
    assert "name the channel to use with --depth_channel" in caught.value.text("cli")
    assert "depth's Channel" in caught.value.text("panel")
    chosen = sorted(channels)[-1]
    assert np.array_equal(read_depth(tmp_path / "seq", channel=chosen)[0], channels[chosen])


def test_a_plain_pass_is_preferred_to_a_filtered_one(tmp_path: Path) -> None:
    names = ("Z", "zfiltered", "ViewLayer.Denoising Depth.Z")
    assert np.array_equal(read_one(tmp_path, {n: DEPTH + i for i, n in enumerate(names)}), DEPTH)


@pytest.mark.comes_in("Depth", "EXR with several parts (beauty, depth, normals)", "the part that means depth")
def test_parts_keep_their_names(tmp_path: Path) -> None:
    for n, depth in (
        (1, ("depth", {"Z": DEPTH})),
        (2, ("Depth", {"R": DEPTH})),
        (3, ("ViewLayer.Depth", {"ViewLayer.Depth.Z": DEPTH})),
        (4, ("depth", {"Y": DEPTH})),
    ):
        beside = [("rgba", layer("", "RGBA")), depth, ("N", layer("", "XYZ")), ("P", {"Z": plane(1)})]
        parts(tmp_path / f"{n}" / "f_1.exr", beside)
        assert np.array_equal(read_depth(tmp_path / f"{n}")[0], DEPTH)
    assert np.array_equal(read_depth(tmp_path / "1", channel="N.Z")[0], plane(0.7))
    assert np.array_equal(read_depth(tmp_path / "1", channel="depth")[0], DEPTH)
    with pytest.raises(DepthError, match=r"several channels 'Z' \(N\.Z, P\.Z, depth\.Z\)"):
        read_depth(tmp_path / "1", channel="Z")
    parts(tmp_path / "normals" / "f_1.exr", [("rgba", layer("", "RGBA")), ("N", layer("", "XYZ"))])
    with pytest.raises(DepthError, match=r"no depth channel, only: N\.X, N\.Y, N\.Z, rgba\.A"):
        read_depth(tmp_path / "normals")


@pytest.mark.comes_in("Depth", "EXR with two eyes or two depth passes", "asked for: refused, the choices named")
def test_stereo_and_two_layers_are_asked_for(tmp_path: Path) -> None:
    eyes = {"Z": DEPTH, "right.Z": DEPTH + 1}
    with pytest.raises(DepthError, match=r"\(Z, right\.Z\), one for each of the views left and right"):
        read_one(tmp_path, eyes, multiView=["left", "right"])
    assert np.array_equal(read_depth(tmp_path / "seq", channel="right.Z")[0], DEPTH + 1)
    blender = {"ViewLayer.Depth.left.Z": DEPTH, "ViewLayer.Depth.right.Z": DEPTH + 1}
    with pytest.raises(DepthError, match=r"\(ViewLayer\.Depth\.left\.Z, ViewLayer\.Depth\.right\.Z\)"):
        read_one(tmp_path, blender)
    with pytest.raises(DepthError, match=r"several depth channels \(Back\.Depth\.Z, Front\.Depth\.Z\)"):
        read_one(tmp_path, {"Front.Depth.Z": DEPTH, "Back.Depth.Z": DEPTH})


def test_the_choice_of_the_first_frame_holds_for_the_others(tmp_path: Path) -> None:
    exr(tmp_path / "seq" / "f_1.exr", dict.fromkeys("RGB", DEPTH))
    exr(tmp_path / "seq" / "f_2.exr", {"R": DEPTH + 1, "G": DEPTH, "B": DEPTH})
    assert np.array_equal(read_depth(tmp_path / "seq"), [DEPTH, DEPTH + 1])
    exr(tmp_path / "seq" / "f_3.exr", {"Z": DEPTH})
    with pytest.raises(DepthError, match=r"f_3\.exr has no channel 'R'; it has: Z"):
        read_depth(tmp_path / "seq")


@pytest.mark.comes_in(
    "Depth", "EXR whose data window is cropped, overscan or moving", "the display window; NaN where nothing was stored"
)
def test_the_display_window_is_the_picture(tmp_path: Path) -> None:
    h, w = SIZE
    shown = {"displayWindow": ((0, 0), (w - 1, h - 1))}
    overscan = np.pad(DEPTH, 3, constant_values=99)
    exr(tmp_path / "seq" / "f_1.exr", {"Z": overscan}, dataWindow=((-3, -3), (w + 2, h + 2)), **shown)
    exr(tmp_path / "seq" / "f_2.exr", {"Z": DEPTH[2:7, 4:11]}, dataWindow=((4, 2), (10, 6)), **shown)
    exr(tmp_path / "seq" / "f_3.exr", {"Z": DEPTH}, dataWindow=((5, -4), (w + 4, h - 5)), **shown)
    exr(tmp_path / "seq" / "f_4.exr", {"Z": DEPTH}, dataWindow=((100, 0), (w + 99, h - 1)), **shown)
    expected = np.full((4, h, w), np.nan, np.float32)
    expected[0] = DEPTH
    expected[1, 2:7, 4:11] = DEPTH[2:7, 4:11]
    expected[2, : h - 4, 5:] = DEPTH[4:, : w - 5]
    assert np.array_equal(read_depth(tmp_path / "seq"), expected, equal_nan=True)
    moved = {"displayWindow": ((7, 5), (w + 6, h + 4)), "dataWindow": ((7, 5), (w + 6, h + 4))}
    exr(tmp_path / "offset" / "f_1.exr", {"Z": DEPTH}, **moved)
    assert np.array_equal(read_depth(tmp_path / "offset")[0], DEPTH)


def test_a_damaged_or_empty_file_is_one_sentence(tmp_path: Path) -> None:
    exr(tmp_path / "seq" / "f_1.exr", {"Z": DEPTH})
    whole = (tmp_path / "seq" / "f_1.exr").read_bytes()
    for content in (b"", whole[:40], whole[: len(whole) // 2], b"\x76\x2f\x31\x01" + b"\xff" * 300):
        (tmp_path / "seq" / "f_1.exr").write_bytes(content)
        with pytest.raises(DepthError, match=r"f_1\.exr is not an EXR file that can be read .*; render or export it"):
            read_depth(tmp_path / "seq")


@pytest.mark.blender
@pytest.mark.comes_in("Depth", "Blender's multilayer EXR with Depth beside Normal, Mist, Vector", "its Depth pass")
def test_blenders_own_multilayer_file_just_works(tmp_path: Path) -> None:
    bpy = pytest.importorskip("bpy")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location = (0, 0, 5)
    bpy.ops.mesh.primitive_plane_add(size=2)
    scene.collection.objects.link(camera)
    scene.camera, scene.world = camera, bpy.data.worlds.new("World")
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 24, 16, 100
    view = scene.view_layers[0]
    view.use_pass_z = view.use_pass_normal = view.use_pass_mist = view.use_pass_vector = view.use_pass_position = True
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):  # from 5.0 the kind of medium is chosen before its format
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.image_settings.color_depth = "32"
    for frame in (1, 2):
        scene.frame_set(frame)
        scene.render.filepath = str(tmp_path / "seq" / f"f_{frame:04d}.exr")
        bpy.ops.render.render(write_still=True)
    depth = read_depth(tmp_path / "seq")
    assert depth.shape == (2, 16, 24)
    assert np.allclose(depth[:, 8, 12], 5, atol=1e-4)
    assert (depth[:, 0, 0] >= 1e9).all()  # the sky
