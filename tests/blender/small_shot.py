"""The small clip as a shot in Blender's scene, without a backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from small_clip import SmallClip, png_bytes

from ex4d_ground.files import frame_name


def write_shot_files(clip: SmallClip, folder: Path) -> None:
    """What an import leaves on disk: mesh.pc2, colour/ and visible/."""
    from blender_addon.work import files, pc2

    frames, height, width = clip.size
    with pc2.Pc2Writer(folder / files.CACHE_FILE, points=height * width, samples=frames) as writer:
        for t in range(frames):
            writer.write(t, clip.vertices(t))
            name = frame_name(t)
            files.write_whole(folder / files.COLOUR_FOLDER / name, png_bytes(clip.frames[t]))
            mask = clip.visible[t].astype(np.uint8) * 255
            files.write_whole(folder / files.VISIBLE_FOLDER / name, png_bytes(mask))
        writer.close()


def build_shot(bpy: Any, clip: SmallClip, *, frame_start: int = 1) -> Any:
    """The shot, its files beside the saved .blend; the add-on must be enabled."""
    from blender_addon.scene import shot as shots
    from blender_addon.scene.clip import ClipFacts
    from blender_addon.work import files

    frames, height, width = clip.size
    folder = files.shot_folder(bpy.data.filepath, "clip")
    write_shot_files(clip, folder)
    facts = ClipFacts(
        name="clip",
        num_frames=frames,
        width=width,
        height=height,
        fps=24.0,
        intrinsics=(clip.focal_px, clip.focal_px, width / 2, height / 2),
        intrinsics_source="given",
        near_depth=3.5,
        clip_json="{}",
        video_path="",
        depth_path="",
    )
    made = shots.build(bpy.context, facts, clip.faces, folder, shot_id="0" * 32, frame_start=frame_start)
    shots.fit_scene(bpy.context.scene, made)
    return made
