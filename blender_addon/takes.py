"""Takes in the scene: a plane that fills the shot camera's frame exactly and plays the result."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import files, keyframes, materials, planes
from .errors import AddonError

FRAME_FILE = re.compile(r"frame_(\d{4,})\.png")
TAKE_MARK = "ex4d_take"
"""Custom property on images that we put behind a camera."""


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
    arrived: tuple[int, ...] | None = None
    """Frames that are there, 0-based, if the take is not whole; None: all of them."""


def add(scene: bpy.types.Scene, shot: bpy.types.Object, cam: bpy.types.Object, facts: TakeFacts) -> bpy.types.Object:
    """List the take in the scene and show it on a plane below ``cam``, in place of earlier ones. Returns the plane.

    A take of that folder that is listed already, while its frames arrive, is brought up to date.
    """
    listed = find(scene, facts.folder)
    if listed is not None and listed.plane is not None:
        _fill_in(listed, facts)
        show_only(scene, listed)
        return listed.plane
    if listed is not None:
        remove(scene, listed)
    blend = bpy.data.filepath
    name = f"{shot.name} {facts.folder.name}"
    image = materials.load_sequence(facts.folder, blend_path=blend, name=name, colour=True)
    material = materials.plate_material(name, image, frame_start=facts.frame_start, num_frames=facts.num_frames)
    plane = planes.add(scene, name, shot, cam)
    plane.data.materials.append(material)
    _list(scene.ex4d, shot, plane, facts, files.blender_path(facts.folder, blend))
    show_only(scene, scene.ex4d.takes[-1])
    return plane


def folder_of(take: Any) -> Path:
    """The take's folder on disk."""
    return Path(bpy.path.abspath(take.folder))


def find(scene: bpy.types.Scene, folder: Path) -> Any | None:
    """The scene's take that lies in ``folder``; None if it lists none."""
    wanted = os.path.normpath(folder)
    return next((take for take in scene.ex4d.takes if os.path.normpath(folder_of(take)) == wanted), None)


def frames_in(folder: Path) -> tuple[int, ...]:
    """The frames of a take that are on disk, 0-based, in order; none if there is no folder."""
    try:
        with os.scandir(folder) as entries:
            found = [FRAME_FILE.fullmatch(entry.name) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted(int(match[1]) - 1 for match in found if match))


def picture_of(take: Any) -> Path:
    """The frame that stands for the take: the middle one, or the first that is there."""
    folder = folder_of(take)
    frames = frames_in(folder) if take.partial else ()
    return folder / files.frame_name(frames[0] if frames else take.num_frames // 2)


def require_frames(take: Any) -> Path:
    """The take's folder. Raises AddonError if frames that it should hold are gone."""
    folder = folder_of(take)
    there = len(frames_in(folder))
    if there < (take.arrived if take.partial else take.num_frames):
        raise AddonError(f"The frames of {take.name} are not in {folder} any more; generate it again.")
    return folder


def show_only(scene: bpy.types.Scene, chosen: Any, *, visible: bool = True) -> None:
    """Show the chosen take's plane in its frames, and none of the shot's others; ``visible`` False hides it too."""
    for take in scene.ex4d.takes:
        plane = take.plane
        if plane is None or take.shot_id != chosen.shot_id:
            continue
        keyframes.clear(plane, ("hide_viewport", "hide_render"))
        plane.hide_viewport = plane.hide_render = True
        if visible and take == chosen:
            show_arrived(take)
            index = scene.frame_current - take.frame_start
            there = frames_in(folder_of(take)) if take.partial else range(take.num_frames)
            plane.hide_viewport = plane.hide_render = index not in there  # keys take effect with the next frame only


def show_arrived(take: Any) -> None:
    """Key the take's plane to be seen in the frames it has."""
    plane, start = take.plane, take.frame_start
    if not take.partial:
        keyframes.show_only_in(plane, frame_start=start, num_frames=take.num_frames)
        return
    keyframes.clear(plane, ("hide_viewport", "hide_render"))
    frames = frames_in(folder_of(take))
    for first, last in runs(frames):
        keyframes.show_only_in(plane, frame_start=start + first, num_frames=last - first + 1)
    if not frames:
        plane.hide_viewport = plane.hide_render = True


def runs(frames: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last of every unbroken run of ascending numbers."""
    found: list[tuple[int, int]] = []
    for frame in frames:
        if found and frame == found[-1][1] + 1:
            found[-1] = found[-1][0], frame
        else:
            found.append((frame, frame))
    return found


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


def to_sequencer(scene: bpy.types.Scene, take: Any) -> Any:
    """An image strip of the take, in the first channel above all others. Raises AddonError if its files are gone."""
    require_frames(take)
    editor: Any = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences  # renamed in 4.4
    return add_strip(strips, take, frame_start=take.frame_start)


def add_strip(strips: Any, take: Any, *, frame_start: int) -> Any:
    """The take as a new strip among ``strips``. Raises AddonError if its files are gone."""
    folder = require_frames(take)
    frames = frames_in(folder)
    channel = max((strip.channel for strip in strips), default=0) + 1
    first = files.blender_path(folder / files.frame_name(frames[0]), bpy.data.filepath)
    strip = strips.new_image(take.name, first, channel, frame_start)
    for index in range(1, take.num_frames):
        before = max((frame for frame in frames if frame <= index), default=frames[0])  # a gap repeats what it follows
        strip.elements.append(files.frame_name(before))
    return strip


def remove(scene: bpy.types.Scene, take: Any) -> None:
    """Take the take and its plane out of the scene; files stay."""
    props = scene.ex4d
    if take.plane is not None:
        planes.remove(take.plane)
    index = next(i for i, other in enumerate(props.takes) if other == take)
    props.takes.remove(index)
    props.active_take = min(props.active_take, len(props.takes) - 1)


def _image_of(take: Any) -> bpy.types.Image:
    folder = require_frames(take)
    return materials.load_sequence(folder, blend_path=bpy.data.filepath, name=take.name, colour=True)


def folders_below(folder: Path) -> list[Path]:
    """Folders of takes below a shot's folder, by name: the finished ones, and those that ended early with frames."""
    finished = {path.parent for path in folder.glob(f"take_*/{files.TAKE_FILE}")}
    partial = {path.parent for path in folder.glob(f"take_*/{files.PARTIAL_FILE}") if frames_in(path.parent)}
    return sorted(finished | partial)


def facts_of(folder: Path, shot: bpy.types.Object) -> TakeFacts:
    """What a take found on disk says of itself. Raises AddonError if that is damaged."""
    found = read_metadata(folder)
    coverage = found.get("coverage")
    frames = frames_in(folder)
    whole = (folder / files.TAKE_FILE).exists()
    total = len(frames) if whole else max(int(str(found.get("num_frames", 0))), frames[-1] + 1 if frames else 0)
    return TakeFacts(
        folder=folder,
        engine=str(found.get("engine", "")),
        seed=int(str(found.get("seed", 0))),
        settings=settings if isinstance(settings := found.get("settings"), dict) else {},
        mean_coverage=float(np.mean(coverage)) if isinstance(coverage, list) and coverage else 0.0,
        num_frames=total,
        frame_start=shot.ex4d.frame_start,
        arrived=None if whole else frames,
    )


def read_metadata(folder: Path) -> dict[str, object]:
    """A take's ``take.json``, or what stands for it while it is not whole. Raises AddonError if it is damaged."""
    path = folder / files.TAKE_FILE
    if not path.exists():
        path = folder / files.PARTIAL_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
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
    entry.plane = plane
    _fill_in(entry, facts)
    props.active_take = len(props.takes) - 1


def _fill_in(entry: Any, facts: TakeFacts) -> None:
    entry.engine = facts.engine
    entry.seed = facts.seed
    entry.settings_json = json.dumps(facts.settings)
    entry.coverage = facts.mean_coverage
    entry.num_frames = facts.num_frames
    entry.frame_start = facts.frame_start
    entry.partial = facts.arrived is not None
    entry.arrived = facts.num_frames if facts.arrived is None else len(facts.arrived)
