"""Playing a strip through a scene of its own, so that no setting of the user's is touched."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

from ..work import files
from ..work.errors import AddonError


@contextlib.contextmanager
def scene_of(add: Callable[[Any], Any], *, count: int, target: Path) -> Iterator[bpy.types.Scene]:
    """A scene that plays what ``add(strips)`` adds, from frame 1, in its own size and colours; gone afterwards.

    What Blender says against writing to ``target`` becomes an AddonError.
    """
    temporary = bpy.data.scenes.new("EX-4D Export")
    try:
        editor: Any = temporary.sequence_editor_create()
        strip = add(editor.strips if hasattr(editor, "strips") else editor.sequences)  # renamed in 4.4
        render = temporary.render
        element = strip.elements[0]
        render.resolution_x, render.resolution_y = element.orig_width, element.orig_height
        render.resolution_percentage = 100
        temporary.frame_start, temporary.frame_end = 1, count
        temporary.view_settings.view_transform = "Standard"  # footage keeps its own colours
        yield temporary
    except RuntimeError as error:
        raise AddonError(f"Blender could not write {target.name}: {error}".strip().rstrip(".") + ".") from error
    finally:
        bpy.data.scenes.remove(temporary)


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
