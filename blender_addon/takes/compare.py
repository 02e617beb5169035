"""Two takes, or a take and the source, in one frame: a wipe whose place can be keyframed.

Two planes below the shot camera; the upper one is cut at the scene's wipe. Nothing in it needs a shader, so it looks
the same in every shading mode and in every render engine.
"""

from pathlib import Path
from typing import Any

import bpy

from ex4d_ground.files import frame_name

from ..scene import keyframes, materials, planes, retime, shot
from ..work import files
from ..work.errors import AddonError
from . import listing

MARK = "ex4d_compare"
"""Custom property on the two planes: the shot they belong to."""
SOURCE = "Source"
UPPER = 0.98
"""The cut plane stands this much nearer to the camera than the whole one."""


def start(scene: bpy.types.Scene, left: Any, right: Any | None) -> None:
    """Show take ``left`` to the left of the wipe and ``right`` (a take, or None for the source) to its right.

    Raises AddonError if they are of different shots, the shot has no camera, or frames are gone.
    """
    target = shot.still_there(left.shot_id)
    if right is not None and right.shot_id != left.shot_id:
        raise AddonError(f"{left.name} and {right.name} are of different shots; compare takes of one shot.")
    cam = shot.shot_camera(target, scene)
    looks = [_material(target, left), _material(target, right)]
    stop(scene, target)
    listing.show_only(scene, left, visible=False)
    for entry, material, wiped in ((left, looks[0], True), (right, looks[1], False)):
        name = f"{target.name} Compare {entry.name if entry is not None else SOURCE}"
        plane = planes.add(scene, name, target, cam, wiped=wiped, nearer=UPPER if wiped else 1.0)
        plane.data.materials.append(material)
        plane[MARK] = target.ex4d.shot_id
        keyframes.show_only_in(plane, frame_start=left.frame_start, num_frames=left.num_frames)
    props = scene.ex4d
    props.compare_left, props.compare_right = left.name, right.name if right is not None else SOURCE
    props.compare_shot = target.ex4d.shot_id
    scene.frame_set(scene.frame_current)  # drivers and visibility keys take effect now


def stop(scene: bpy.types.Scene, target: bpy.types.Object | None) -> None:
    """Take the comparison away; ``target`` None means whatever shot is compared."""
    shot_id = target.ex4d.shot_id if target is not None else scene.ex4d.compare_shot
    for plane in planes_of(scene, shot_id):
        planes.remove(plane)
    scene.ex4d.compare_left = scene.ex4d.compare_right = scene.ex4d.compare_shot = ""


def planes_of(scene: bpy.types.Scene, shot_id: str) -> list[bpy.types.Object]:
    """The planes that compare takes of a shot; none if it is not compared."""
    return [obj for obj in scene.objects if shot_id and obj.get(MARK) == shot_id]


def _material(target: bpy.types.Object, take: Any | None) -> bpy.types.Material:
    """The take's own material if its plane is still there, else a new one; the footage for None."""
    if take is not None and take.plane is not None and take.plane.data.materials:
        return take.plane.data.materials[0]
    props = target.ex4d
    name = f"{target.name} {take.name if take is not None else SOURCE}"
    image = _source_image(target, name) if take is None else _take_image(take, name)
    start, count = (take.frame_start, take.num_frames) if take is not None else (props.frame_start, props.num_frames)
    made = materials.plate_material(name, image, frame_start=start, num_frames=count)
    if take is None:
        retime.follow_material(made, target)
    return made


def _take_image(take: Any, name: str) -> bpy.types.Image:
    folder = listing.folder_of(take)
    if not (folder / frame_name(0)).exists():
        raise _gone(take.name, folder)
    return materials.load_sequence(folder, name=name, colour=True)


def _source_image(target: bpy.types.Object, name: str) -> bpy.types.Image:
    folder = shot.folder_of(target) / files.COLOUR_FOLDER
    video = shot.unfilmed_clip(target).video
    if not (materials.has_frames(folder) or video.is_file()):
        raise _gone("the source", folder)
    return materials.load_footage(folder, video, name=name)


def _gone(what: str, folder: Path) -> AddonError:
    return AddonError(f"The frames of {what} are not in {folder} any more, so they cannot be compared.")
