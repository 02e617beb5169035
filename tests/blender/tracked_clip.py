"""Blender's own tracker without a window: a movie clip with tracks of known points, solved in a Movie Clip editor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from filmed_room import Room, points_on_surfaces, project
from small_clip import png_bytes


def solved_clip(bpy: Any, room: Room, folder: Path, *, points: int = 60) -> Any:
    """The room's clip with tracks where its points were seen, solved.

    Must be called where a Movie Clip editor is open, as in Blender's VFX template.
    """
    frames, height, width = room.clip.size
    for t, picture in enumerate(room.clip.frames):
        (folder / f"{t + 1:04d}.png").write_bytes(png_bytes(picture))
    clip = bpy.data.movieclips.load(str(folder / "0001.png"))
    tracking = clip.tracking
    tracking.camera.sensor_width = 36.0
    tracking.camera.focal_length = room.clip.focal_px * 36.0 / width
    seen = project(room.camera, points_on_surfaces(points))
    inside = ((seen > 3) & (seen < (width - 3, height - 3))).all(axis=-1)  # [T, P]
    for index in range(points):
        there = np.flatnonzero(inside[:, index])
        if len(there) < frames // 2:
            continue
        track = tracking.tracks.new(name=f"point {index}", frame=int(there[0]) + 1)
        for t in there:
            u, v = seen[t, index]
            track.markers.insert_frame(int(t) + 1, co=(u / width, 1 - v / height))
    tracking.settings.use_keyframe_selection = False
    for owner in (tracking.objects.active, tracking.settings):
        if hasattr(owner, "keyframe_a"):
            owner.keyframe_a, owner.keyframe_b = 1, frames
    window = bpy.context.window_manager.windows[0]
    area = next(each for each in window.screen.areas if each.type == "CLIP_EDITOR")
    area.spaces.active.clip = clip
    region = next(each for each in area.regions if each.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        assert bpy.ops.clip.solve_camera() == {"FINISHED"}
    assert tracking.reconstruction.is_valid
    return clip


def tracked_camera(bpy: Any, clip: Any, scene: Any) -> Any:
    """A camera with the solve's lens that a Camera Solver constraint moves, as the artist's set-up has it."""
    camera = bpy.data.objects.new("Tracked", bpy.data.cameras.new("Tracked"))
    scene.collection.objects.link(camera)
    lens = clip.tracking.camera
    camera.data.sensor_width, camera.data.lens = lens.sensor_width, lens.focal_length
    constraint = camera.constraints.new("CAMERA_SOLVER")
    constraint.use_active_clip, constraint.clip = False, clip
    return camera
