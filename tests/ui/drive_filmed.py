"""The filming camera in a real window: painted, offered, estimated, locked off. Run by Blender; see ``test_filmed``.

The clip lies in the folder that EX4D_UI_FILMED names: ``room/``, ``depth.npy``, ``moves.npy`` and ``focal.txt``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path[:0] = os.environ["EX4D_UI_PATH"].split(os.pathsep)

import bpy  # noqa: E402
import numpy as np  # noqa: E402
import ways  # noqa: E402
import window as ui  # noqa: E402

FILMED = Path(os.environ["EX4D_UI_FILMED"])


def script() -> ui.Steps:
    yield from ways.empty()
    yield from ways.connect()
    ways.open_panels("EX4D_PT_filming")
    yield from bring()
    scene, shot = bpy.context.scene, bpy.context.scene.ex4d.shot
    frames, last = shot.ex4d.num_frames, shot.ex4d.frame_start + shot.ex4d.num_frames - 1
    _, area, _ = ui.view()
    area.spaces.active.overlay.show_overlays = True
    ui.measured["seems_to_move"] = bool(shot.ex4d.seems_to_move)
    for frame, name in ((1, "source_first"), (last, "source_last")):
        scene.frame_set(frame)
        yield from ways.settle()
        ui.screenshot(f"1_{name}")

    paint(frames)
    scene.frame_set(1 + frames // 2)
    yield from ways.settle()
    ui.screenshot("2_moving")

    yield from ui.press("bpy.ops.ex4d.estimate_filming")
    yield from ui.wait(done, "the estimate", 400)
    shot.ex4d.show_moving = False
    yield from ways.settle()
    ui.measured["note"], ui.measured["rig"] = shot.ex4d.filmed_note, shot.ex4d.rig is not None
    ui.measured["path"] = path_of(shot, frames)
    ui.screenshot("3_rig")

    scene.frame_set(1)
    yield from ui.press("bpy.ops.ex4d.lock_to_world")
    yield from ui.wait(lambda: shot.ex4d.camera is not None, "the camera")
    ui.look_through_camera()
    area.spaces.active.overlay.show_overlays = False
    for frame, name in ((1, "locked_first"), (last, "locked_last")):
        scene.frame_set(frame)
        yield from ways.settle()
        ui.screenshot(f"4_{name}")
    ui.measured["frame"] = ui.camera_frame()


def bring() -> ui.Steps:
    """Import the filmed room, and let the view come to rest."""
    from blender_addon.scene import orbit
    from blender_addon.work import session

    props = bpy.context.scene.ex4d
    files = {"video_path": str(FILMED / "room"), "depth_path": str(FILMED / "depth.npy")}
    focal_px = float((FILMED / "focal.txt").read_text())
    yield from ui.call("ex4d.import_clip", depth_source="FILE", focal_px=focal_px, **files)
    yield from ui.wait(lambda: props.shot is not None and not session.get().tasks, "the shot", 400)
    yield from ui.wait(lambda: not orbit.under_way(), "the end of the turn")


def paint(frames: int) -> None:
    """Mark what moves by itself, as a selection on each frame."""
    from blender_addon.edit import paint

    body, moves = bpy.context.scene.ex4d.shot.ex4d.mesh, np.load(FILMED / "moves.npy")
    for t in range(frames):
        bpy.context.scene.frame_set(1 + t)
        if moves[t].any():
            paint.select_vertices(body.data, moves[t].ravel())
            with ui.override():
                bpy.ops.ex4d.mark_moving(frames="FRAME")
    ui.measured["moves"] = float(moves[frames // 2].mean())


def done() -> bool:
    """True once the estimate has ended. Raises AssertionError with the sentence of one that failed."""
    from blender_addon.work import session

    current = session.get()
    assert not current.message_is_error, current.message
    return not current.tasks and bool(bpy.context.scene.ex4d.shot.ex4d.filmed_note)


def path_of(shot: bpy.types.Object, frames: int) -> list[list[float]]:
    """Where the rig stands on each frame."""
    from blender_addon.scene import rig

    found = rig.as_filmed(shot)
    assert found is not None and len(found) == frames
    return found.world_from_camera[:, :3, 3].tolist()


ui.start(script)
