"""Footage that is in the .blend already: strips of the sequencer, movie clips, image sequences.

The backend reads video files and PNG sequences. What is one of these is taken as it is; anything else (a strip cut at
its start, played backwards, pictures of another format) is first written as PNG by Blender itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ex4d_ground.files import frame_name
from ex4d_ground.takes import TAKE_FILE

from ..scene import sequence_render
from ..work import files
from ..work.errors import AddonError
from . import media

KINDS = (
    ("STRIP", "Strip", "A movie or image strip of the sequencer"),
    ("CLIP", "Movie Clip", "Footage of the clip editor"),
    ("IMAGE", "Image", "A movie or an image sequence"),
)


@dataclass(frozen=True)
class Footage:
    """One piece of footage in the .blend."""

    kind: str
    """One of :data:`KINDS`."""
    name: str
    owner: str
    """The scene a strip is in, else ""."""


@dataclass(frozen=True)
class Chosen:
    """Footage as the import takes it."""

    path: str
    """As Blender stores paths; a video, or the first picture of a sequence."""
    num_frames: int
    """0 means all that there are."""
    note: str = ""


def everything() -> list[Footage]:
    """Everything in the .blend that moves, strips first."""
    strips = [Footage("STRIP", strip.name, scene.name) for scene in bpy.data.scenes for strip in _strips(scene)]
    clips = [Footage("CLIP", clip.name, "") for clip in bpy.data.movieclips]
    images = [
        Footage("IMAGE", image.name, "")
        for image in bpy.data.images
        if image.source in ("SEQUENCE", "MOVIE") and not _is_ours(image)
    ]
    return strips + clips + images


def choose(entry: Footage) -> Chosen:
    """The footage as files. Raises AddonError if it is gone or no footage."""
    if entry.kind == "STRIP":
        scene = bpy.data.scenes.get(entry.owner)
        strip = next((s for s in _strips(scene) if s.name == entry.name), None) if scene is not None else None
        if strip is None:
            raise AddonError(f"There is no strip '{entry.name}' in the sequencer any more; choose another.")
        return _of_movie_strip(strip) if strip.type == "MOVIE" else _of_image_strip(strip)
    data = bpy.data.movieclips.get(entry.name) if entry.kind == "CLIP" else bpy.data.images.get(entry.name)
    if data is None:
        raise AddonError(f"There is no footage '{entry.name}' in this file any more; choose another.")
    path = Path(bpy.path.abspath(data.filepath))
    if not path.is_file():
        raise AddonError(f"The file of '{entry.name}', {path}, is not there; choose the footage's file yourself.")
    if data.source == "MOVIE":
        return Chosen(data.filepath, 0)
    return _of_pictures(entry.name, media.numbered_from(path))


def _strips(scene: bpy.types.Scene) -> Iterator[Any]:
    editor: Any = scene.sequence_editor
    if editor is None:
        return
    every = editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all  # renamed in 4.4
    yield from (strip for strip in every if strip.type in ("MOVIE", "IMAGE"))


def _is_ours(image: bpy.types.Image) -> bool:
    folder = Path(bpy.path.abspath(image.filepath)).parent
    return (folder / TAKE_FILE).exists() or (folder.parent / files.CACHE_FILE).exists()


def _of_movie_strip(strip: Any) -> Chosen:
    path = Path(bpy.path.abspath(strip.filepath))
    if not path.is_file():
        raise AddonError(f"The file of strip '{strip.name}', {path}, is not there; choose the footage's file yourself.")
    skipped = int(strip.frame_offset_start) + int(strip.animation_offset_start)
    length = int(strip.frame_final_duration)
    plain = not strip.use_reverse_frames and not strip.use_flip_x and not strip.use_flip_y
    if not skipped and plain and not len(getattr(strip, "retiming_keys", ())):
        return Chosen(strip.filepath, 0 if length >= strip.frame_duration else length)

    def add(strips: Any) -> Any:
        made = strips.new_movie(strip.name, str(path), 1, 1 - skipped)
        made.use_reverse_frames = strip.use_reverse_frames
        made.use_flip_x, made.use_flip_y = strip.use_flip_x, strip.use_flip_y
        return made

    return _converted(strip.name, add, length)


def _of_image_strip(strip: Any) -> Chosen:
    folder = Path(bpy.path.abspath(strip.directory))
    names = [element.filename for element in strip.elements]
    skipped = int(strip.frame_offset_start) + int(strip.animation_offset_start)
    paths = tuple(folder / name for name in names[skipped:][: int(strip.frame_final_duration)])
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise AddonError(f"{missing[0]} of strip '{strip.name}' is not there; relink the strip.")
    return _of_pictures(strip.name, paths)


def _of_pictures(name: str, paths: tuple[Path, ...]) -> Chosen:
    if len(paths) < 2:
        raise AddonError(f"'{name}' is a single picture; choose footage of at least two frames.")
    numbered = paths[0].suffix.lower() == ".png" and media.numbered_from(paths[0])[: len(paths)] == paths
    if numbered:
        following = len(media.numbered_from(paths[0]))
        path = files.blender_path(paths[0], bpy.data.filepath)
        return Chosen(path, len(paths) if following > len(paths) else 0)

    def add(strips: Any) -> Any:
        made = strips.new_image(name, str(paths[0]), 1, 1)
        for path in paths[1:]:
            made.elements.append(path.name)
        return made

    return _converted(name, add, len(paths))


def _converted(name: str, add: Callable[[Any], Any], count: int) -> Chosen:
    """Written as PNG beside the .blend, once: the same footage again is written over."""
    target = files.shot_folder(bpy.data.filepath, "footage") / files.safe_name(name)
    sequence_render.pictures(add, count=count, target=target)
    path = files.blender_path(target / frame_name(0), bpy.data.filepath)
    return Chosen(path, 0, f"; {count} frames of it are written to {target}")
