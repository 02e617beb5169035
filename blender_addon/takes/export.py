"""Writing a take in other formats, by Blender's own encoders."""

import shutil
from pathlib import Path
from typing import Any

import bpy

from ..scene import sequence_render
from ..work import compat, files
from ..work.errors import AddonError
from . import listing

KINDS = (
    ("PNG", "PNG Sequence", "The frames as they are"),
    ("EXR", "OpenEXR Sequence", "Half float, linear light"),
    ("MP4", "MP4 (H.264)", "A video for viewing"),
    ("PRORES", "ProRes 422 HQ (QuickTime)", "A video for editing, 10 bits; needs Blender 4.4 or later"),
)


def write(scene: bpy.types.Scene, take: Any, kind: str, folder: Path) -> Path:
    """Write ``take`` below ``folder``, under a name that is free; returns the file or the sequence's folder.

    Raises AddonError, with nothing half-written left.
    """
    source = listing.require_frames(take)
    ending = {"PRORES": ".mov", "MP4": ".mp4"}.get(kind, "")
    target = files.free_path(folder / (f"{take.name}{ending}" if ending else f"{take.name}_{kind}"), ending=ending)
    try:
        with files.writing(target):
            folder.mkdir(parents=True, exist_ok=True)
            if kind == "PNG":
                shutil.copytree(source, target)
            else:
                _render(scene, take, kind, target)
    except BaseException:
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)
        raise
    return target


def _render(scene: bpy.types.Scene, take: Any, kind: str, target: Path) -> None:
    def add(strips: Any) -> Any:
        return listing.add_strip(strips, take, frame_start=1)

    with sequence_render.scene_of(add, count=take.num_frames, target=target) as temporary:
        render = temporary.render
        render.fps, render.fps_base = scene.render.fps, scene.render.fps_base
        render.use_file_extension = kind == "EXR"
        _choose_format(render, kind)
        first = target / "frame_0001.exr" if kind == "EXR" else target
        sequence_render.render(temporary, target / "frame_####" if kind == "EXR" else target, first)


def _choose_format(render: bpy.types.RenderSettings, kind: str) -> None:
    settings = render.image_settings
    if kind == "EXR":
        settings.file_format, settings.color_depth, settings.color_mode = "OPEN_EXR", "16", "RGB"
        return
    compat.write_video(settings)
    settings.color_mode = "RGB"
    video = render.ffmpeg
    if kind == "MP4":
        video.format, video.codec, video.constant_rate_factor = "MPEG4", "H264", "HIGH"
        return
    try:
        video.format, video.codec = "QUICKTIME", "PRORES"
        video.ffmpeg_prores_profile = "422_HQ"
        settings.color_depth = "10"
    except (TypeError, AttributeError):
        raise AddonError("This Blender writes no ProRes; use Blender 4.4 or later, or another format.") from None
