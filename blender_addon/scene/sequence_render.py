"""Playing a strip through a scene of its own, so that no setting of the user's is touched."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

from ex4d_ground.files import frame_name

from ..work import compat, files
from ..work.errors import AddonError
from . import colours


@contextlib.contextmanager
def scene_of(add: Callable[[Any], Any], *, count: int, target: Path) -> Iterator[bpy.types.Scene]:
    """A scene that plays what ``add(strips)`` adds, from frame 1, in its own size and colours; gone afterwards.

    What Blender says against writing to ``target`` becomes an AddonError.
    """
    temporary = bpy.data.scenes.new("EX-4D Export")
    try:
        editor = temporary.sequence_editor_create()
        strip = add(compat.strips_of(editor))
        render = temporary.render
        element = strip.elements[0]
        render.resolution_x, render.resolution_y = element.orig_width, element.orig_height
        render.resolution_percentage = 100
        temporary.frame_start, temporary.frame_end = 1, count
        colours.pass_through(temporary, strip)
        yield temporary
    except RuntimeError as error:
        raise AddonError(f"Blender could not write {target.name}: {error}".strip().rstrip(".") + ".") from error
    finally:
        bpy.data.scenes.remove(temporary)


def shown(scene: bpy.types.Scene, strip: Any, target: Path) -> int:
    """Write what the sequencer of ``scene`` shows of a strip, one picture for each of its scene frames, to ``target``.

    Its trims, rate, retiming, speed effects and the meta strips around it count; nothing else of the edit does.
    Pictures of a movie or image strip have the footage's own size and colours. Returns how many there are. Raises
    AddonError.
    """
    copied = scene.copy()
    try:
        copied.name = "EX-4D Export"
        alone = next(each for each in compat.all_strips_of(copied.sequence_editor) if each.name == strip.name)
        first, end = _isolate(copied.sequence_editor, alone)
        _plain_output(copied, alone)
        with files.writing(target):
            target.mkdir(parents=True)
        copied.frame_start, copied.frame_end, copied.frame_step = first, end - 1, 1
        copied.render.filepath = str(target / "shown_####")
        bpy.ops.render.render(animation=True, scene=copied.name)
        written = {int(path.stem.removeprefix("shown_")): path for path in target.glob("shown_*.png")}
        if sorted(written) != list(range(first, end)):
            raise AddonError(
                f"Blender wrote {len(written)} of {end - first} frames to {target}; choose another folder."
            )
        for index, frame in enumerate(range(first, end)):
            written[frame].rename(target / frame_name(index))
        return end - first
    except RuntimeError as error:
        raise AddonError(f"Blender could not write {target.name}: {error}".strip().rstrip(".") + ".") from error
    finally:
        bpy.data.scenes.remove(copied)


def _isolate(editor: Any, strip: Any) -> tuple[int, int]:
    """Mute everything but the strip, what it is in, what is in it, and what changes its speed; its scene frames."""
    every = list(compat.all_strips_of(editor))
    around = {name for each in every for name in [each.name] if each.type == "META" and _holds(each, strip)}
    within = {each.name for each in every if strip.type == "META" and _holds(strip, each)}
    kept = {strip.name} | _faster(every, strip)
    for each in every:
        if each.name in within:
            continue
        each.mute = each.name not in kept | around
    for channels in (editor.channels, *(each.channels for each in every if each.type == "META")):
        for channel in channels:
            channel.mute = False
    spans = [compat.span_of(each) for each in every if each.name in {strip.name} | around]
    first, end = max(span[0] for span in spans), min(span[1] for span in spans)
    if end - first < 2:
        raise AddonError(f"Strip '{strip.name}' shows {max(end - first, 0)} frames; choose footage of at least two.")
    return first, end


def _holds(meta: Any, strip: Any) -> bool:
    return any(
        each.name == strip.name or (each.type == "META" and _holds(each, strip)) for each in compat.strips_of(meta)
    )


def _faster(every: list[Any], strip: Any) -> set[str]:
    """The speed effects on a strip, and those on them."""
    found = {e.name for e in every if e.type == "SPEED" and not e.mute and e.input_1 and e.input_1.name == strip.name}
    return found.union(*(_faster(every, each) for each in every if each.name in found))


def _plain_output(scene: bpy.types.Scene, strip: Any) -> None:
    """8-bit PNG without anything burned in; footage in its own size, place and colours."""
    render, settings = scene.render, scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    if hasattr(settings, "color_management"):
        settings.color_management = "FOLLOW_SCENE"
    render.use_sequencer, render.use_file_extension, render.use_overwrite = True, True, True
    render.use_stamp = render.use_border = render.use_multiview = render.use_placeholder = False
    render.dither_intensity, render.frame_map_old, render.frame_map_new = 0.0, 100, 100
    if strip.type not in ("MOVIE", "IMAGE"):
        return
    element, place, crop = strip.elements[0], strip.transform, strip.crop
    render.resolution_x, render.resolution_y = element.orig_width, element.orig_height
    render.resolution_percentage, render.pixel_aspect_x, render.pixel_aspect_y = 100, 1.0, 1.0
    place.scale_x = place.scale_y = 1.0
    place.offset_x = place.offset_y = place.rotation = 0
    crop.min_x = crop.max_x = crop.min_y = crop.max_y = 0
    strip.blend_alpha = strip.color_saturation = strip.color_multiply = 1.0
    strip.blend_type, strip.use_float = "REPLACE", False
    for modifier in strip.modifiers:
        modifier.mute = True
    if scene.animation_data is not None and not _faster(list(compat.all_strips_of(scene.sequence_editor)), strip):
        scene.animation_data_clear()  # fades and moves of the edit
    colours.pass_through(scene, strip)


def render(scene: bpy.types.Scene, target: Path, first: Path) -> None:
    """Write all frames to ``target`` (a file, or a pattern with ####). Raises AddonError if ``first`` is not there."""
    scene.render.filepath = str(target)
    bpy.ops.render.render(animation=True, scene=scene.name)
    if not first.exists():
        raise AddonError(f"Blender wrote nothing to {first}; choose another folder or format.")


def pictures(add: Callable[[Any], Any], *, count: int, target: Path) -> None:
    """Write a strip's frames to the folder ``target`` as frame_0001.png and so on. Raises AddonError."""
    with files.writing(target):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
    with scene_of(add, count=count, target=target) as scene:
        settings = scene.render.image_settings
        settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
        scene.render.use_file_extension = True
        render(scene, target / "frame_####", target / "frame_0001.png")
