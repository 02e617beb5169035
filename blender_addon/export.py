"""Writing a take in other formats, by Blender's own encoders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import bpy

from . import files, takes
from .errors import AddonError

KINDS = (
    ("PNG", "PNG Sequence", "The frames as they are"),
    ("EXR", "OpenEXR Sequence", "Half float, linear light"),
    ("MP4", "MP4 (H.264)", "A video for viewing"),
    ("PRORES", "ProRes (QuickTime)", "A video for editing; needs Blender 4.4 or later"),
)


def write(scene: bpy.types.Scene, take: Any, kind: str, folder: Path) -> Path:
    """Write ``take`` below ``folder``; returns the file or the sequence's folder. Raises AddonError."""
    source = takes.folder_of(take)
    if not (source / files.frame_name(0)).exists():
        raise AddonError(f"The frames of {take.name} are not in {source} any more; generate it again.")
    is_video = kind in ("MP4", "PRORES")
    target = folder / (f"{take.name}{'.mov' if kind == 'PRORES' else '.mp4'}" if is_video else f"{take.name}_{kind}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "PNG":
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            _render(scene, take, kind, target)
    except OSError as error:
        raise AddonError(f"Cannot write {target}: {error.strerror or error}; choose another folder.") from error
    return target


def _render(scene: bpy.types.Scene, take: Any, kind: str, target: Path) -> None:
    """Play the take through the sequencer of a scene of its own, so that no setting of the user's is touched."""
    temporary = bpy.data.scenes.new("EX-4D Export")
    try:
        render = temporary.render
        strip = takes.to_sequencer(temporary, take, frame_start=1)
        size = strip.elements[0].orig_width, strip.elements[0].orig_height
        render.resolution_x, render.resolution_y = size
        render.resolution_percentage = 100
        render.fps, render.fps_base = scene.render.fps, scene.render.fps_base
        temporary.frame_start, temporary.frame_end = 1, take.num_frames
        temporary.view_settings.view_transform = "Standard"  # footage keeps its own colours
        render.use_file_extension = kind == "EXR"
        _choose_format(render, kind)
        render.filepath = str(target / "frame_####" if kind == "EXR" else target)
        bpy.ops.render.render(animation=True, scene=temporary.name)
    except RuntimeError as error:
        raise AddonError(f"Blender could not write {target.name}: {error}".strip().rstrip(".") + ".") from error
    finally:
        bpy.data.scenes.remove(temporary)
    made = target / "frame_0001.exr" if kind == "EXR" else target
    if not made.exists():
        raise AddonError(f"Blender wrote nothing to {target}; choose another folder or format.")


def _choose_format(render: bpy.types.RenderSettings, kind: str) -> None:
    settings = render.image_settings
    if kind == "EXR":
        settings.file_format, settings.color_depth, settings.color_mode = "OPEN_EXR", "16", "RGB"
        return
    if hasattr(settings, "media_type"):  # from 5.0
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    settings.color_mode = "RGB"
    video = render.ffmpeg
    if kind == "MP4":
        video.format, video.codec, video.constant_rate_factor = "MPEG4", "H264", "HIGH"
        return
    try:
        video.format, video.codec = "QUICKTIME", "PRORES"
    except TypeError:
        raise AddonError("This Blender writes no ProRes; use Blender 4.4 or later, or another format.") from None
