"""Takes in the scene: a plane that fills the shot camera's frame exactly and plays the result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import camera, files, keyframes, materials
from .errors import AddonError

TAKE_FILE = "take.json"
PLANE_DEPTH = 0.1
"""Distance of the plane from the camera, as a share of the scene's nearest depth: in front of everything."""


@dataclass(frozen=True)
class TakeFacts:
    """A take on disk, as the scene lists it."""

    folder: Path
    engine: str
    seed: int
    settings: dict[str, object]
    mean_coverage: float
    num_frames: int
    frame_start: int


def add(
    context: bpy.types.Context, shot: bpy.types.Object, cam: bpy.types.Object, facts: TakeFacts
) -> bpy.types.Object:
    """List the take in the scene and show it on a plane below ``cam``. Returns the plane."""
    blend = bpy.data.filepath
    name = f"{shot.name} {facts.folder.name}"
    image = materials.load_sequence(facts.folder, blend_path=blend, name=name, colour=True)
    material = materials.plate_material(name, image, frame_start=facts.frame_start, num_frames=facts.num_frames)
    plane = _plane(context.scene, name, shot, cam)
    plane.data.materials.append(material)
    keyframes.show_only_in(plane, frame_start=facts.frame_start, num_frames=facts.num_frames)
    _list(context.scene.ex4d, shot, plane, facts, files.blender_path(facts.folder, blend))
    context.scene.frame_set(context.scene.frame_current)  # the new visibility keys take effect now
    return plane


def read_metadata(folder: Path) -> dict[str, object]:
    """A take's ``take.json``. Raises AddonError if it is missing or damaged."""
    try:
        found = json.loads((folder / TAKE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AddonError(f"The take in {folder} cannot be read; generate it again.", str(error)) from error
    if not isinstance(found, dict):
        raise AddonError(f"The take in {folder} cannot be read; generate it again.")
    return found


def _list(
    props: bpy.types.PropertyGroup,
    shot: bpy.types.Object,
    plane: bpy.types.Object,
    facts: TakeFacts,
    folder: str,
) -> None:
    entry = props.takes.add()
    entry.name = facts.folder.name
    entry.shot_id = shot.ex4d.shot_id
    entry.folder = folder
    entry.engine = facts.engine
    entry.seed = facts.seed
    entry.settings_json = json.dumps(facts.settings)
    entry.coverage = facts.mean_coverage
    entry.num_frames = facts.num_frames
    entry.frame_start = facts.frame_start
    entry.plane = plane
    props.active_take = len(props.takes) - 1


def _plane(scene: bpy.types.Scene, name: str, shot: bpy.types.Object, cam: bpy.types.Object) -> bpy.types.Object:
    """A unit square below ``cam`` whose scale and place follow the lens by drivers."""
    data = bpy.data.meshes.new(name)
    corners = [(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)]
    data.from_pydata(corners, [], [(0, 1, 2, 3)])
    uv = data.uv_layers.new(name="Frame", do_init=False)
    uv.data.foreach_set("uv", np.array([0, 0, 1, 0, 1, 1, 0, 1], np.float32))
    data.update()
    plane = bpy.data.objects.new(name, data)
    plane.parent = cam
    shot.users_collection[0].objects.link(plane)
    depth = max(shot.ex4d.near_depth * PLANE_DEPTH, cam.data.clip_start * 1.5)
    plane.location = (0.0, 0.0, -depth)
    _follow_lens(scene, plane, cam.data, depth)
    return plane


def _follow_lens(scene: bpy.types.Scene, plane: bpy.types.Object, lens: bpy.types.Camera, depth: float) -> None:
    """Drive the plane so that it fills the frame whatever lens and shift are keyed.

    Blender's frustum: one sensor size spans ``fit`` units of the frame (the width, or the height times the pixel
    aspect), so at distance d the frame is d * sensor / lens * (width, aspect * height) / fit, and shifts count in
    sensor sizes.
    """
    width, height = camera.render_size(scene)
    aspect = scene.render.pixel_aspect_y / scene.render.pixel_aspect_x
    horizontal = lens.sensor_fit == "HORIZONTAL" or (lens.sensor_fit == "AUTO" and width >= aspect * height)
    fit = width if horizontal else aspect * height
    sensor = "sensor_height" if lens.sensor_fit == "VERTICAL" else "sensor_width"
    scales = depth * width / fit, depth * aspect * height / fit
    for axis, factor in enumerate(scales):
        _drive(plane, "scale", axis, lens, sensor, f"{factor!r} * sensor / lens", None)
    for axis, shift in enumerate(("shift_x", "shift_y")):
        _drive(plane, "location", axis, lens, sensor, f"{depth!r} * shift * sensor / lens", shift)


def _drive(
    plane: bpy.types.Object,
    path: str,
    axis: int,
    lens: bpy.types.Camera,
    sensor: str,
    expression: str,
    shift: str | None,
) -> None:
    driver = plane.driver_add(path, axis).driver
    driver.type = "SCRIPTED"
    for name, source in (("sensor", sensor), ("lens", "lens"), ("shift", shift)):
        if source is None:
            continue
        variable = driver.variables.new()
        variable.name = name
        variable.targets[0].id_type = "CAMERA"
        variable.targets[0].id = lens
        variable.targets[0].data_path = source
    driver.expression = expression
