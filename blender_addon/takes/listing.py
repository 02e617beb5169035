"""Takes in the scene: a plane that fills the shot camera's frame exactly and plays the result."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import bpy

from ex4d_ground.errors import ClipError
from ex4d_ground.files import frame_name
from ex4d_ground.takes import TAKE_FILE, TakeInfo, read_unfinished_take_info, sound_of_take, take_folders

from ..scene import keyframes, materials, planes
from ..work import compat, files
from ..work.errors import AddonError

FRAME_FILE = re.compile(r"frame_(\d{4,})\.png")
SAME_RATE = 1e-4
"""Share by which two rates may differ and sound still fit: a frame in seven minutes of film."""
TAKE_MARK = "ex4d_take"
"""Custom property on images that we put behind a camera."""


def add(scene: bpy.types.Scene, shot: bpy.types.Object, cam: bpy.types.Object, folder: Path) -> bpy.types.Object:
    """List the take of ``folder`` and show it on a plane below ``cam``, in place of earlier ones. Returns the plane.

    A take that is listed already, while its frames arrive, is brought up to date. Raises AddonError if what it says of
    itself is damaged.
    """
    info, entry = read_info(folder), find(scene, folder)
    if entry is not None and entry.plane is not None:
        _fill_in(entry, shot, info)
        show_only(scene, entry)
        return entry.plane
    if entry is not None:
        remove(scene, entry)
    blend, props = bpy.data.filepath, scene.ex4d
    entry = props.takes.add()
    entry.name, entry.shot_id, entry.folder = folder.name, shot.ex4d.shot_id, files.blender_path(folder, blend)
    _fill_in(entry, shot, info)
    name = f"{shot.name} {folder.name}"
    image = materials.load_sequence(folder, name=name, colour=True)
    material = materials.plate_material(name, image, frame_start=entry.frame_start, num_frames=entry.num_frames)
    entry.plane = planes.add(scene, name, shot, cam)
    entry.plane.data.materials.append(material)
    props.active_take = len(props.takes) - 1
    show_only(scene, entry)
    return entry.plane


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
            # A power cut may leave a file that is empty.
            matches = [FRAME_FILE.fullmatch(entry.name) for entry in entries if entry.stat().st_size]
    except OSError:
        return ()
    return tuple(sorted(int(match[1]) - 1 for match in matches if match))


def picture_of(take: Any) -> Path:
    """The frame that stands for the take: the middle one, or the first that is there."""
    folder = folder_of(take)
    frames = frames_in(folder) if take.partial else ()
    return folder / frame_name(frames[0] if frames else take.num_frames // 2)


def require_frames(take: Any) -> Path:
    """The take's folder. Raises AddonError if frames that it should hold are gone."""
    folder = folder_of(take)
    there = len(frames_in(folder))
    if there < (take.arrived if take.partial else take.num_frames):
        raise lost_frames(take, folder)
    return folder


def require_whole(take: Any) -> Path:
    """The folder of a take that is not partial. Raises AddonError, also if frames that it should hold are gone."""
    folder = require_frames(take)
    if take.partial:
        raise AddonError(f"{take.name} is not whole: {take.arrived} of {take.num_frames} frames; make it again.")
    return folder


def lost_frames(take: Any, folder: Path) -> AddonError:
    """For a take whose frames somebody deleted or moved."""
    return AddonError(f"The frames of {take.name} are not in {folder} any more; generate it again.")


def show_only(scene: bpy.types.Scene, chosen: Any, *, visible: bool = True) -> None:
    """Show the chosen take's plane in its frames, and none of the shot's others; ``visible`` False hides it too."""
    for take in scene.ex4d.takes:
        plane = take.plane
        if plane is None or take.shot_id != chosen.shot_id:
            continue
        keyframes.clear(plane, ("hide_viewport", "hide_render"))
        shown = visible and take == chosen
        frames = () if not shown else frames_in(folder_of(take)) if take.partial else tuple(range(take.num_frames))
        for first, last in runs(frames):
            keyframes.show_only_in(plane, frame_start=take.frame_start + first, num_frames=last - first + 1)
        # Keys take effect with the next frame only.
        plane.hide_viewport = plane.hide_render = scene.frame_current - take.frame_start not in frames


def runs(frames: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last of every unbroken run of ascending numbers."""
    unbroken: list[tuple[int, int]] = []
    for frame in frames:
        if unbroken and frame == unbroken[-1][1] + 1:
            unbroken[-1] = unbroken[-1][0], frame
        else:
            unbroken.append((frame, frame))
    return unbroken


def to_background(take: Any, cam: bpy.types.Object) -> None:
    """Play the take behind everything in the camera's view; replaces our earlier background."""
    lens = cam.data
    folder = require_frames(take)
    image = materials.load_sequence(folder, name=take.name, colour=True)
    for background in [b for b in lens.background_images if b.image is not None and b.image.get(TAKE_MARK)]:
        lens.background_images.remove(background)
    image[TAKE_MARK] = True
    entry = lens.background_images.new()
    entry.image, entry.alpha, entry.display_depth, entry.frame_method = image, 1.0, "BACK", "STRETCH"
    materials.use_frames(entry.image_user, frame_start=take.frame_start, num_frames=take.num_frames)
    lens.show_background_images = True


def to_sequencer(scene: bpy.types.Scene, take: Any) -> Any:
    """An image strip of the take, in the first channel above all others. Raises AddonError if its files are gone."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    return add_strip(compat.strips_of(editor), take, frame_start=take.frame_start)


def add_sound(scene: bpy.types.Scene, take: Any, video: Path) -> Any:
    """What is heard with the take, as a sound strip above all others; None if the take has no sound.

    Raises AddonError, with the reason, where it has and cannot be heard.
    """
    info = read_info(folder_of(take))
    start = sound_of_take(info)
    if start is None:
        return None
    rate = scene.render.fps / scene.render.fps_base
    if abs(rate / info.fps - 1) > SAME_RATE:
        raise AddonError(f"the scene plays {rate:.5g} frames a second, the clip {info.fps:.5g}")
    if not video.is_file():
        raise AddonError(f"its video {video} is not there")
    strips = compat.strips_of(scene.sequence_editor)
    channel = max((strip.channel for strip in strips), default=0) + 1
    path = files.blender_path(video, bpy.data.filepath)
    try:
        strip = strips.new_sound(f"{take.name} Sound", path, channel, take.frame_start - round(start * rate))
    except RuntimeError as error:  # a Blender that was built without sound, or a file that it cannot play
        raise AddonError("this Blender cannot play it", str(error)) from error
    first, end = compat.span_of(strip)
    compat.cut_to(strip, max(first, take.frame_start), min(end, take.frame_start + take.num_frames))
    return strip


def add_strip(strips: Any, take: Any, *, frame_start: int) -> Any:
    """The take as a new strip among ``strips``. Raises AddonError if its files are gone."""
    folder = require_frames(take)
    frames = frames_in(folder)
    channel = max((strip.channel for strip in strips), default=0) + 1
    first = files.blender_path(folder / frame_name(frames[0]), bpy.data.filepath)
    strip = strips.new_image(take.name, first, channel, frame_start)
    for index in range(1, take.num_frames):
        before = max((frame for frame in frames if frame <= index), default=frames[0])  # a gap repeats what it follows
        strip.elements.append(frame_name(before))
    return strip


def remove(scene: bpy.types.Scene, take: Any) -> None:
    """Take the take and its plane out of the scene; files stay."""
    props = scene.ex4d
    if take.plane is not None:
        planes.remove(take.plane)
    index = next(i for i, other in enumerate(props.takes) if other == take)
    props.takes.remove(index)
    props.active_take = min(props.active_take, len(props.takes) - 1)


def folders_below(folder: Path) -> list[Path]:
    """Folders of takes below a shot's folder, by name: the finished ones, and those that ended early with frames."""
    return [path for path in take_folders(folder) if (path / TAKE_FILE).exists() or frames_in(path)]


def read_info(folder: Path) -> TakeInfo:
    """What a take says of itself, whole or not yet. Raises AddonError if that is damaged."""
    try:
        return read_unfinished_take_info(folder)
    except ClipError as error:
        raise AddonError(f"The take in {folder} cannot be read; generate it again.", str(error)) from error


def _whole(number: int) -> int:
    return min(max(number, 0), 2**31 - 1)


def _fill_in(entry: Any, shot: bpy.types.Object, info: TakeInfo) -> None:
    """Have the scene's entry say what the take does, and how much of it is on disk."""
    folder = folder_of(entry)
    frames, whole = frames_in(folder), (folder / TAKE_FILE).exists()
    # Blender's numbers end at 2^31; the exact seed is read from the take when it is restored.
    entry.engine, entry.seed, entry.settings_json = info.engine, _whole(info.seed), json.dumps(info.settings)
    entry.filled = str(info.used.get("fill", ""))
    seen = info.mean_coverage
    entry.coverage, entry.frame_start = seen if math.isfinite(seen) else 0.0, shot.ex4d.frame_start
    last = frames[-1] + 1 if frames else 0
    entry.num_frames = len(frames) if whole else _whole(max(info.num_frames, last))
    entry.partial, entry.arrived, entry.stereo = not whole, len(frames), info.eyes is not None
