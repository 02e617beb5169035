"""Takes in the scene: a plane that fills the shot camera's frame exactly and plays the result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import camera, files, keyframes, materials
from .errors import AddonError

TAKE_MARK = "ex4d_take"
"""Custom property on images that we put behind a camera."""

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


def add(scene: bpy.types.Scene, shot: bpy.types.Object, cam: bpy.types.Object, facts: TakeFacts) -> bpy.types.Object:
    """List the take in the scene and show it on a plane below ``cam``, in place of earlier ones. Returns the plane."""
    blend = bpy.data.filepath
    name = f"{shot.name} {facts.folder.name}"
    image = materials.load_sequence(facts.folder, blend_path=blend, name=name, colour=True)
    material = materials.plate_material(name, image, frame_start=facts.frame_start, num_frames=facts.num_frames)
    plane = _plane(scene, name, shot, cam)
    plane.data.materials.append(material)
    _list(scene.ex4d, shot, plane, facts, files.blender_path(facts.folder, blend))
    show_only(scene, scene.ex4d.takes[-1])
    return plane


def folder_of(take: Any) -> Path:
    """The take's folder on disk."""
    return Path(bpy.path.abspath(take.folder))


def show_only(scene: bpy.types.Scene, chosen: Any, *, visible: bool = True) -> None:
    """Show the chosen take's plane in its frames, and none of the shot's others; ``visible`` False hides it too."""
    for take in scene.ex4d.takes:
        plane = take.plane
        if plane is None or take.shot_id != chosen.shot_id:
            continue
        keyframes.clear(plane, ("hide_viewport", "hide_render"))
        plane.hide_viewport = plane.hide_render = True
        if visible and take == chosen:
            keyframes.show_only_in(plane, frame_start=take.frame_start, num_frames=take.num_frames)
    scene.frame_set(scene.frame_current)  # the new visibility keys take effect now


def to_background(take: Any, cam: bpy.types.Object) -> None:
    """Play the take behind everything in the camera's view; replaces our earlier background."""
    lens = cam.data
    image = _image_of(take)
    for background in [b for b in lens.background_images if b.image is not None and b.image.get(TAKE_MARK)]:
        lens.background_images.remove(background)
    image[TAKE_MARK] = True
    entry = lens.background_images.new()
    entry.image, entry.alpha, entry.display_depth, entry.frame_method = image, 1.0, "BACK", "STRETCH"
    materials.use_frames(entry.image_user, frame_start=take.frame_start, num_frames=take.num_frames)
    lens.show_background_images = True


def to_sequencer(scene: bpy.types.Scene, take: Any, *, frame_start: int | None = None) -> Any:
    """An image strip of the take, in the first channel above all others. Raises AddonError if its files are gone."""
    folder = folder_of(take)
    if not (folder / files.frame_name(0)).exists():
        raise AddonError(f"The frames of {take.name} are not in {folder} any more; generate it again.")
    editor: Any = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences  # renamed in 4.4
    channel = max((strip.channel for strip in strips), default=0) + 1
    first = files.blender_path(folder / files.frame_name(0), bpy.data.filepath)
    start = take.frame_start if frame_start is None else frame_start
    strip = strips.new_image(take.name, first, channel, start)
    for index in range(1, take.num_frames):
        strip.elements.append(files.frame_name(index))
    return strip


def remove(scene: bpy.types.Scene, take: Any) -> None:
    """Take the take and its plane out of the scene; files stay."""
    props = scene.ex4d
    if take.plane is not None:
        bpy.data.objects.remove(take.plane)
    index = next(i for i, other in enumerate(props.takes) if other == take)
    props.takes.remove(index)
    props.active_take = min(props.active_take, len(props.takes) - 1)


def _image_of(take: Any) -> bpy.types.Image:
    folder = folder_of(take)
    if not (folder / files.frame_name(0)).exists():
        raise AddonError(f"The frames of {take.name} are not in {folder} any more; generate it again.")
    return materials.load_sequence(folder, blend_path=bpy.data.filepath, name=take.name, colour=True)


def finished_folders(folder: Path) -> list[Path]:
    """Folders of complete takes below a shot's folder, by name."""
    return sorted(path.parent for path in folder.glob(f"take_*/{files.TAKE_FILE}"))


def facts_of(folder: Path, shot: bpy.types.Object) -> TakeFacts:
    """What ``take.json`` says of a take found on disk. Raises AddonError if it is damaged."""
    found = read_metadata(folder)
    coverage = found.get("coverage")
    return TakeFacts(
        folder=folder,
        engine=str(found.get("engine", "")),
        seed=int(str(found.get("seed", 0))),
        settings=settings if isinstance(settings := found.get("settings"), dict) else {},
        mean_coverage=float(np.mean(coverage)) if isinstance(coverage, list) and coverage else 0.0,
        num_frames=len(list(folder.glob("frame_*.png"))),
        frame_start=shot.ex4d.frame_start,
    )


def read_metadata(folder: Path) -> dict[str, object]:
    """A take's ``take.json``. Raises AddonError if it is missing or damaged."""
    try:
        found = json.loads((folder / files.TAKE_FILE).read_text(encoding="utf-8"))
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
