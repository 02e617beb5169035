"""Footage that is in the .blend already: strips of the sequencer, movie clips, image sequences.

The backend reads video files and PNG sequences. What is one of these is taken as it is; anything else (a strip cut at
its start, played backwards, pictures of another format) is first written as PNG by Blender itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ex4d_ground.files import COLOUR_SUFFIXES, frame_name
from ex4d_ground.takes import TAKE_FILE

from ..scene import materials, sequence_render
from ..work import compat, files, unsaved
from ..work.errors import AddonError
from . import media

KINDS = (
    ("STRIP", "Strip", "A movie or image strip of the sequencer"),
    ("CLIP", "Movie Clip", "Footage of the clip editor"),
    ("IMAGE", "Image", "A movie or an image sequence"),
)

STRIPS = ("MOVIE", "IMAGE", "META", "SCENE")
"""Types of strips that show footage."""


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
        return _of_strip(scene, strip)
    data = bpy.data.movieclips.get(entry.name) if entry.kind == "CLIP" else bpy.data.images.get(entry.name)
    if data is None:
        raise AddonError(f"There is no footage '{entry.name}' in this file any more; choose another.")
    path = Path(bpy.path.abspath(data.filepath))
    if not path.is_file():
        raise AddonError(f"The file of '{entry.name}', {path}, is not there; choose the footage's file yourself.")
    if data.source == "MOVIE":
        return Chosen(data.filepath, 0)
    return _of_pictures(entry.name, media.numbered_from(path))


def of_path(path: Path) -> Chosen:
    """A video, the first picture of a sequence, or a folder of pictures, as the import takes it.

    Pictures that no backend reads are written as PNG first. Raises AddonError if nothing usable is there.
    """
    media.require_there(path, "video")
    pictures = media.pictures_in(path) if path.is_dir() else media.numbered_from(path)
    if path.is_dir() and (not pictures or pictures[0].suffix.lower() in COLOUR_SUFFIXES):
        return Chosen(str(path), 0)  # read as it is, or refused with a sentence
    if pictures[0].suffix.lower() in media.OTHER_PICTURES:
        return _of_pictures(path.stem.rstrip("0123456789_-. ") or path.parent.name, pictures)
    return Chosen(str(path), 0)


def _strips(scene: bpy.types.Scene) -> Iterator[Any]:
    editor: Any = scene.sequence_editor
    if editor is None:
        return
    yield from (strip for strip in compat.all_strips_of(editor) if strip.type in STRIPS)


def _is_ours(image: bpy.types.Image) -> bool:
    if materials.OURS in image:
        return True
    folder = Path(bpy.path.abspath(image.filepath)).parent
    return (folder / TAKE_FILE).exists() or (folder.parent / files.CACHE_FILE).exists()


def _of_strip(scene: bpy.types.Scene, strip: Any) -> Chosen:
    """The footage's own files where the strip shows one of their frames on each of its own; else what it shows."""
    files_there = _require_files(strip)
    if files_there and _is_plain(scene, strip):
        cut = compat.cut_of(strip)
        if strip.type == "IMAGE":
            return _of_image_strip(strip, cut)
        if not cut.skipped:
            return Chosen(strip.filepath, 0 if cut.length >= cut.content else cut.length)
    target = _free_target(strip.name)
    return _written(target, sequence_render.shown(scene, strip, target))


def _require_files(strip: Any) -> bool:
    """Whether the strip plays files of its own. Raises AddonError if they are gone."""
    if strip.type == "MOVIE":
        path = Path(bpy.path.abspath(strip.filepath))
        if not path.is_file():
            raise AddonError(
                f"The file of strip '{strip.name}', {path}, is not there; choose the footage's file yourself."
            )
    return strip.type in ("MOVIE", "IMAGE")


def _is_plain(scene: bpy.types.Scene, strip: Any) -> bool:
    """Whether the strip shows the footage frame by frame: not turned round, retimed, speeded up or cut by a meta."""
    turned = strip.use_reverse_frames or strip.use_flip_x or strip.use_flip_y
    every = compat.all_strips_of(scene.sequence_editor)
    changed = any(
        (each.type == "SPEED" and not each.mute and each.input_1 == strip)
        or (each.type == "META" and any(inner == strip for inner in compat.strips_of(each)))
        for each in every
    )
    strobes = getattr(strip, "strobe", 1.0) > 1.0
    retimed = len(getattr(strip, "retiming_keys", ())) > 0
    return not (turned or changed or strobes or retimed) and _is_of_rate(strip, scene)


def _is_of_rate(strip: Any, scene: bpy.types.Scene) -> bool:
    """Whether a movie strip shows the next frame of its footage on every scene frame, to less than half a frame."""
    if strip.type != "MOVIE" or not strip.fps:
        return True
    rate = scene.render.fps / scene.render.fps_base
    return abs(strip.fps / rate - 1) * compat.cut_of(strip).length < 0.5


def _of_image_strip(strip: Any, cut: compat.Cut) -> Chosen:
    folder = Path(bpy.path.abspath(strip.directory))
    names = [element.filename for element in strip.elements]
    paths = tuple(folder / name for name in names[cut.skipped :][: cut.length])
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise AddonError(f"{missing[0]} of strip '{strip.name}' is not there; relink the strip.")
    return _of_pictures(strip.name, paths)


def _of_pictures(name: str, paths: tuple[Path, ...]) -> Chosen:
    if len(paths) < 2:
        raise AddonError(f"'{name}' is a single picture; choose footage of at least two frames.")
    numbered = paths[0].suffix.lower() in COLOUR_SUFFIXES and media.numbered_from(paths[0])[: len(paths)] == paths
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
    """Written as PNG beside the .blend."""
    target = _free_target(name)
    sequence_render.pictures(add, count=count, target=target)
    return _written(target, count)


def _free_target(name: str) -> Path:
    """A new folder: earlier ones may be what a shot was made of."""
    return files.free_path(unsaved.shot_folder(bpy.data.filepath, "footage") / files.safe_name(name))


def _written(target: Path, count: int) -> Chosen:
    path = files.blender_path(target / frame_name(0), bpy.data.filepath)
    return Chosen(path, 0, f"; {count} frames of it are written to {target}")
