"""What tests of the panels share: why a button is greyed, and takes that lie in the list."""

from __future__ import annotations

import json
from typing import Any

import bpy
import numpy as np
from small_clip import png_bytes

from ex4d_ground.files import frame_name
from ex4d_ground.takes import PARTIAL_FILE, TAKE_FILE


def tooltip(operator: str) -> str:
    """Why a greyed button cannot be pressed."""
    return getattr(bpy.types, "EX4D_OT_" + operator.removeprefix("ex4d.")).lacking(bpy.context).text("panel")


def add_takes(blender: Any, shot: Any, *whole: bool) -> None:
    """Takes on disk and in the list; those that are not whole have two of their five frames."""
    from blender_addon.takes import listing as takes
    from blender_addon.work import files

    scene = blender.context.scene
    folder = files.shot_folder(blender.data.filepath, "clip")
    for number, is_whole in enumerate(whole, 1):
        take = folder / f"take_{number:03}"
        for index in range(5 if is_whole else 2):
            files.write_whole(take / frame_name(index), png_bytes(np.full((8, 8, 3), 90 * number, np.uint8)))
        name = TAKE_FILE if is_whole else PARTIAL_FILE
        files.write_whole(take / name, json.dumps({"engine": "preview", "num_frames": 5}).encode())
        entry = scene.ex4d.takes.add()
        entry.name = take.name
        entry.folder = files.blender_path(take, blender.data.filepath)
        entry.shot_id, entry.engine = shot.ex4d.shot_id, "preview"
        takes._fill_in(entry, shot, takes.read_info(take))
