"""Blender under other colour configurations: footage is read as footage, masks as data, and views stay.

Blender reads a configuration when it starts, so each runs in a Blender of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from small_clip import ROOT

RUN = """
import json, os, sys
sys.path[:0] = {places!r}
import bpy, numpy as np
from pathlib import Path
import small_clip
folder = Path(sys.argv[1])
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
bpy.ops.preferences.addon_enable(module="blender_addon")
from blender_addon.scene import colours, materials, sequence_render
source = folder / "source"
source.mkdir()
picture = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
for name in ("frame_0001.png", "frame_0002.png"):
    (source / name).write_bytes(small_clip.png_bytes(picture))
footage = materials.load_sequence(source, name="Footage", colour=True)
mask = materials.load_sequence(source, name="Mask", colour=False)
scene = bpy.context.scene
before = scene.view_settings.view_transform
def add(strips):
    strip = strips.new_image("s", str(source / "frame_0001.png"), 1, 1)
    strip.elements.append("frame_0002.png")
    return strip
sequence_render.pictures(add, count=2, target=folder / "out")
def pixels(path):
    image = bpy.data.images.load(str(path), check_existing=False)
    image.colorspace_settings.is_data = True
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return np.round(values.reshape(24, 32, 4)[::-1, :, :3] * 255).astype(int)
off = int(np.abs(pixels(folder / "out" / "frame_0002.png") - picture).max())
print("found " + json.dumps({{"footage": footage.colorspace_settings.name, "mask": mask.colorspace_settings.name,
    "is_data": mask.colorspace_settings.is_data, "before": before, "after": scene.view_settings.view_transform,
    "off": off}}), flush=True)
os._exit(0)
"""

SPACE = """  - !<ColorSpace>
    name: {name}
    encoding: {encoding}
    {transform}
"""
LINEAR = "!<MatrixTransform> {matrix: [%s]}"
XYZ_FROM_SRGB = LINEAR % (
    "0.4124564, 0.3575761, 0.1804375, 0, 0.2126729, 0.7151522, 0.0721750, 0, 0.0193339, 0.1191920, 0.9503041, 0, "
    "0, 0, 0, 1"
)
XYZ_FROM_ACES = LINEAR % (
    "1.0498110175, 0, -0.0000974845, 0, -0.4959030231, 1.3733130458, 0.0982400361, 0, 0, 0, 0.9912520182, 0, 0, 0, 0, 1"
)
CURVE = "!<ExponentWithLinearTransform> {gamma: 2.4, offset: 0.055}"


def config(*, srgb: str, data: str, byte_role: str, views: tuple[str, ...]) -> str:
    """A configuration of a studio's: its own names throughout; the reference is CIE XYZ."""
    shown = [f"    - !<View> {{name: {view}, colorspace: {data if view == 'Raw' else srgb}}}" for view in views]
    roles = {"aces_interchange": "ACES2065-1", "cie_xyz_d65_interchange": "XYZ", "color_timing": "lin_srgb",
             "compositing_log": "lin_srgb", "data": data, "default": srgb, "matte_paint": srgb,
             "scene_linear": "lin_srgb", "texture_paint": byte_role}  # fmt: skip
    group = f"to_scene_reference: !<GroupTransform> {{children: [{CURVE}, {XYZ_FROM_SRGB}]}}"
    spaces = [
        SPACE.format(name="ACES2065-1", encoding="scene-linear", transform=f"to_scene_reference: {XYZ_FROM_ACES}"),
        SPACE.format(name="XYZ", encoding="scene-linear", transform="isdata: false"),
        SPACE.format(name="lin_srgb", encoding="scene-linear", transform=f"to_scene_reference: {XYZ_FROM_SRGB}"),
        SPACE.format(name=srgb, encoding="sdr-video", transform=group),
        SPACE.format(name=data, encoding="data", transform="isdata: true"),
    ]
    lines = ["ocio_profile_version: 2", "environment: {}", "strictparsing: true", "roles:"]
    lines += [f"  {role}: {space}" for role, space in roles.items()]
    lines += ["file_rules:", "  - !<Rule> {name: Default, colorspace: default}", "displays:", "  monitor:", *shown]
    return "\n".join([*lines, "active_displays: [monitor]", "colorspaces:", *spaces])


CONFIGS = {
    "aces 2": ({"srgb": "sRGB - Texture", "data": "Raw", "byte_role": "sRGB - Texture", "views": ("Show LUT", "Raw")},
               ("sRGB - Texture", "Raw")),
    "aces 1": ({"srgb": "Utility - sRGB - Texture", "data": "Utility - Raw", "byte_role": "lin_srgb",
                "views": ("sRGB", "Raw")}, ("Utility - sRGB - Texture", "Utility - Raw")),
    "house names": ({"srgb": "srgb_tx", "data": "ncd", "byte_role": "srgb_tx", "views": ("Film", "Un-tone-mapped")},
                    ("srgb_tx", "ncd")),
    "a name nobody knows": ({"srgb": "house_display_709", "data": "nothing", "byte_role": "house_display_709",
                             "views": ("Film", "Raw")}, ("house_display_709", "nothing")),
}  # fmt: skip


def run(tmp_path, environment: dict[str, str]) -> dict:
    places = [str(ROOT), str(ROOT / "protocol"), str(ROOT / "tests" / "blender")]
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(places=places), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("found ")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[0].removeprefix("found "))


@pytest.mark.parametrize("name", CONFIGS)
def test_footage_and_masks_are_read_as_such_under_any_names(tmp_path, name):
    how, (footage, data) = CONFIGS[name]
    path = tmp_path / "config.ocio"
    path.write_text(config(**how), encoding="utf-8")
    found = run(tmp_path, {"OCIO": str(path)})
    assert (found["footage"], found["mask"], found["is_data"]) == (footage, data, True)
    assert found["before"] == found["after"] == how["views"][0], "the scene's view stays"
    assert found["off"] <= 1, "footage that is written out keeps its colours"


def test_blenders_own_configuration(tmp_path):
    found = run(tmp_path, {})
    assert (found["footage"], found["mask"], found["is_data"]) == ("sRGB", "Non-Color", True)
    assert found["off"] <= 1
