"""Render colour and exact z-depth of a Blender scene with Cycles on the CPU.

Colour is denoised and antialiased; depth comes from a second render with one sample through the centre of each
pixel, so that it belongs to the pixel centre and never mixes two surfaces. Depth is the distance along the camera's
axis (z-depth), not along the ray.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy
import cv2
import numpy as np
import OpenEXR

PROBE = "probe"
SKY_DEPTH = 1.0e6
"""Depth that Cycles writes where a ray hits nothing is 1e10; anything above this counts as nothing."""


@dataclass(frozen=True)
class Quality:
    """Cycles settings."""

    samples: int = 8
    denoise: bool = True
    threads: int = 2
    bounces: int = 3
    exposure: float = 0.0
    look: str = "AgX - High Contrast"
    seed: int = 0


def setup(width: int, height: int, quality: Quality) -> None:
    """Settings shared by every render of the scene."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.render.threads_mode, scene.render.threads = "FIXED", quality.threads
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.render.pixel_aspect_x = scene.render.pixel_aspect_y = 1.0
    scene.render.use_persistent_data = True
    scene.render.use_motion_blur = False
    scene.render.dither_intensity = 0.0
    scene.cycles.seed, scene.cycles.use_animated_seed = quality.seed, False
    scene.cycles.max_bounces = quality.bounces
    scene.cycles.diffuse_bounces = min(2, quality.bounces)
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = quality.look
    scene.view_settings.exposure = quality.exposure


def intrinsics(camera: bpy.types.Object, width: int, height: int) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels, continuous coordinates with the origin at the image's top-left corner."""
    data = camera.data
    largest = max(width, height)
    fit = data.sensor_fit if data.sensor_fit != "AUTO" else ("HORIZONTAL" if width >= height else "VERTICAL")
    sensor = data.sensor_height if fit == "VERTICAL" else data.sensor_width
    f = data.lens / sensor * (height if fit == "VERTICAL" else width)
    return f, f, width / 2 - data.shift_x * largest, height / 2 + data.shift_y * largest


def world_from_camera(camera: bpy.types.Object) -> np.ndarray:
    """[4, 4] pose in Blender's world with OpenCV's camera axes (x right, y down, z forward)."""
    bpy.context.view_layer.update()
    return np.array(camera.matrix_world, np.float64) @ np.diag([1.0, -1.0, -1.0, 1.0])


def render_colour(camera: bpy.types.Object, quality: Quality) -> np.ndarray:
    """[H, W, 3] uint8 RGB as displayed."""
    scene = bpy.context.scene
    scene.camera = camera
    scene.cycles.samples = quality.samples
    scene.cycles.use_adaptive_sampling = True
    scene.cycles.adaptive_threshold = 0.02
    scene.cycles.use_denoising = quality.denoise
    scene.cycles.denoiser, scene.cycles.denoising_prefilter = "OPENIMAGEDENOISE", "FAST"
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BLACKMAN_HARRIS", 1.5
    image = _writes("IMAGE", "PNG")
    image.color_mode, image.color_depth = "RGB", "8"
    with _written("colour.png") as path:
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def render_depth(camera: bpy.types.Object) -> np.ndarray:
    """[H, W] float32 z-depth at the pixel centres; infinity where there is nothing."""
    return _render_passes(camera)[0]


def render_depth_and_sight(camera: bpy.types.Object, source: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """z-depth as :func:`render_depth`, and [H, W] bool: whether a straight line joins each point and ``source``.

    Everything is painted white on both sides and lit by one point lamp in the source camera's place, so a pixel is
    lit exactly where that camera's sight is not blocked (its frame and direction are not looked at here).
    """
    with _only_probe_light(source):
        return _render_passes(camera)


def _render_passes(camera: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    scene = bpy.context.scene
    scene.camera = camera
    scene.view_layers[0].use_pass_z = True
    scene.cycles.samples = 1
    scene.cycles.use_adaptive_sampling = scene.cycles.use_denoising = False
    # One sample jittered by at most half of the filter's width: practically the pixel's centre.
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", 0.01
    image = _writes("MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER")
    image.color_depth, image.exr_codec = "32", "NONE"
    with _written("depth.exr") as path, OpenEXR.File(str(path), separate_channels=True) as exr:
        parts = [channel for part in exr.parts for channel in part.channels.items()]  # from 5.0 a part for each pass
        channels = {name.split(".", 1)[-1]: np.array(c.pixels, np.float32) for name, c in parts}
    depth = channels["Depth.Z"]
    # The first hit's direct light alone: what bounces off other things would light the shadows too. Until 4.5 the pass
    # has a short name; where it was not asked for, nothing is lit.
    light = next((channels[name] for name in ("DiffDir.R", "Diffuse Direct.R") if name in channels), None)
    lit = np.zeros(depth.shape, bool) if light is None else light > 0
    return np.where(depth > SKY_DEPTH, np.float32(math.inf), depth), lit


@contextmanager
def _only_probe_light(source: bpy.types.Object) -> Iterator[None]:
    scene, layer = bpy.context.scene, bpy.context.view_layer
    layer.update()  # matrix_world is stale until then
    probe = bpy.data.objects.get(PROBE) or _make_probe()
    probe.matrix_world = source.matrix_world
    probe.hide_render = False
    lights = [o for o in scene.objects if o.type == "LIGHT" and o is not probe and not o.hide_render]
    world, bounces = scene.world, scene.cycles.max_bounces
    for light in lights:
        light.hide_render = True
    scene.world, scene.cycles.max_bounces, layer.material_override = None, 1, bpy.data.materials[PROBE]
    layer.use_pass_diffuse_direct = True
    scene.cycles.light_sampling_threshold = 0.0  # never drop a faint light by chance
    try:
        yield
    finally:
        for light in lights:
            light.hide_render = False
        probe.hide_render = True
        scene.world, scene.cycles.max_bounces, layer.material_override = world, bounces, None
        layer.use_pass_diffuse_direct = False


def _make_probe() -> bpy.types.Object:
    """The lamp, and the material that it lights from both sides."""
    data = bpy.data.lights.new(PROBE, "POINT")
    data.energy, data.shadow_soft_size = 1.0e6, 0.0
    probe = bpy.data.objects.new(PROBE, data)
    bpy.context.scene.collection.objects.link(probe)
    material = bpy.data.materials.new(PROBE)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    near, far = tree.nodes.new("ShaderNodeBsdfDiffuse"), tree.nodes.new("ShaderNodeBsdfTranslucent")
    both, output = tree.nodes.new("ShaderNodeMixShader"), tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(near.outputs[0], both.inputs[1])
    tree.links.new(far.outputs[0], both.inputs[2])
    tree.links.new(both.outputs[0], output.inputs["Surface"])
    return probe


def _writes(medium: str, file_format: str) -> bpy.types.ImageFormatSettings:
    """Choose what a render writes; from 5.0 the kind of medium comes before its format."""
    image = bpy.context.scene.render.image_settings
    if hasattr(image, "media_type"):
        image.media_type = medium
    image.file_format = file_format
    return image


@contextmanager
def _written(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ex4d-render-") as folder:
        path = Path(folder) / name
        bpy.context.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        yield path
