"""The artist's way through the panels, with real clicks, in a real window. Run by Blender; see ``test_panels``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path[:0] = os.environ["EX4D_UI_PATH"].split(os.pathsep)

import bpy  # noqa: E402
import numpy as np  # noqa: E402
import window as ui  # noqa: E402

OBJECT = (272, 215)
"""Row and column of a pixel of the ball in the clip's first frame."""
CLIP, DEPTH = os.environ["EX4D_UI_CLIP"], os.environ["EX4D_UI_DEPTH"]


def script() -> ui.Steps:
    bpy.ops.preferences.addon_enable(module="blender_addon")
    from blender_addon.work import session

    current = session.get
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    yield from ui.open_sidebar()
    ui.screenshot("01_unsaved")
    for source in (CLIP, DEPTH):
        shutil.copy2(source, ui.OUT / "scene")
    bpy.ops.wm.save_as_mainfile(filepath=str(ui.OUT / "scene" / "shot.blend"))
    yield 0.5

    yield from ui.press("bpy.ops.ex4d.connect")
    ui.screenshot("02_connecting")
    yield from ui.wait(lambda: current().connected and not current().tasks, "the backend")
    yield 0.5
    yield from ui.scroll(-40)
    ui.screenshot("03_connected")

    props = bpy.context.scene.ex4d
    props.video_path = f"//{Path(CLIP).name}"
    props.depth_source = "ESTIMATE"
    research = [spec.name for spec in current().capabilities.estimators if spec.research_only]
    props.estimator = research[0] if research else ""
    yield 0.5
    yield from ui.scroll(6)
    ui.screenshot("03_estimator")
    props.depth_source, props.depth_path = "FILE", f"//{Path(DEPTH).name}"
    bpy.context.scene.view_settings.view_transform = "Standard"
    yield 0.3
    props.video_path = f"//{Path(DEPTH).name}"  # no video: the backend says so
    yield from ui.press("bpy.ops.ex4d.import_clip")
    yield from ui.wait(lambda: current().message_is_error, "the sentence")
    yield 0.7
    ui.screenshot("04_failed")
    yield from ui.press("bpy.ops.ex4d.dismiss", at=0.76)
    props.video_path = f"//{Path(CLIP).name}"
    yield 0.3
    yield from ui.press("bpy.ops.ex4d.import_clip")
    yield 0.5
    ui.screenshot("04_importing")
    yield from ui.wait(lambda: props.shot is not None, "the shot")
    ui.look_through_camera()
    yield 1.0
    yield from ui.scroll(8)
    ui.screenshot("05_imported")

    yield from ui.press("bpy.ops.ex4d.add_camera_move")
    yield from ui.wait(lambda: props.shot.ex4d.camera is not None, "the camera")
    bpy.context.scene.frame_set(40)
    yield 0.7
    ui.screenshot("06_camera")
    yield from ui.press("bpy.ops.ex4d.render_guides")
    yield from ui.wait(lambda: props.shot.ex4d.coverage_json != "[]", "coverage")
    yield from ui.scroll(7)
    yield 0.7
    ui.screenshot("06_coverage")
    yield from show_live()
    yield from paint_thickness()

    bpy.context.scene.frame_set(8)
    yield from ui.scroll(14)
    ui.screenshot("07_cost")
    yield from ui.press("bpy.ops.ex4d.generate")
    yield from ui.wait(lambda: any(take.arrived >= 10 for take in props.takes), "the first frames")
    yield 0.5
    ui.screenshot("07_generating")
    yield from ui.wait(lambda: len(props.takes) == 1 and not props.takes[0].partial, "the take")
    bpy.context.scene.frame_set(40)
    yield 0.7
    yield from ui.scroll(60)
    ui.screenshot("08_take")

    with ui.override():
        bpy.ops.ex4d.compare_takes(index=0, other=-1)
    yield 0.7
    yield from ui.scroll(60)
    ui.screenshot("11_compare")
    yield from ui.press("bpy.ops.ex4d.end_comparison")
    yield from ui.press("bpy.ops.ex4d.restore_take", leave=False)
    yield 0.7
    ui.screenshot("13_restore")
    ui.xdotool("key", "Escape")
    yield 0.5

    props.seed = 2
    yield from ui.press("bpy.ops.ex4d.generate")
    yield from ui.wait(lambda: len(props.takes) == 2 and props.takes[1].arrived >= 5, "some frames")
    bpy.ops.ex4d.cancel(keep=True)
    yield from ui.wait(lambda: not current().tasks, "the end of the job")
    yield 0.7
    yield from ui.scroll(60)
    ui.screenshot("12_partial")

    yield from ui.press("bpy.ops.ex4d.mark_problems")
    yield 0.5
    yield from ui.scroll(20)
    ui.screenshot("09_marked")
    yield from ui.press("bpy.ops.ex4d.disconnect", at=0.75)
    yield from ui.wait(lambda: not current().connected, "the end of the connection")
    yield 0.5
    yield from ui.scroll(-60)
    ui.screenshot("10_disconnected")


def show_live() -> ui.Steps:
    """Switch live mode on and picture what it draws over the camera view."""
    from blender_addon.live import views as live

    switches = bpy.context.window_manager.ex4d_live
    switches.enabled = True
    yield from ui.wait(lambda: live.current.is_sharp, "the live picture")
    yield 1.0
    ui.screenshot("06_live")
    switches.enabled = False
    yield 0.3


def paint_thickness() -> ui.Steps:
    """Give one object a thickness by its selection, look at the brushes, and take it all back."""
    from blender_addon.edit import paint, thickness

    scene, target = bpy.context.scene, bpy.context.scene.ex4d.shot
    body = target.ex4d.mesh
    target.ex4d.occluders, target.ex4d.paint_length = "SOLID", 0.5
    scene.frame_set(1)
    scene.camera = target.ex4d.source_camera
    seeds = np.zeros((target.ex4d.height, target.ex4d.width), np.bool_)
    seeds[OBJECT] = True
    with ui.override():
        bpy.context.view_layer.objects.active = body
        paint.select_vertices(body.data, seeds.ravel())
        bpy.ops.object.mode_set(mode="EDIT")
    yield 1.0
    yield from ui.press("bpy.ops.ex4d.select_object")
    yield from ui.press("bpy.ops.ex4d.set_thickness", at=0.25)
    with ui.override():
        bpy.ops.object.mode_set(mode="OBJECT")
    lengths = thickness.LENGTHS.painted_at(body.data, 0)
    for frame in (2, 1):  # the footage of a frame is read when it is drawn
        scene.frame_set(frame)
        yield 0.7
    assert lengths is not None and 50 < (lengths > 0).sum() < lengths.size / 2, "the object alone is painted"
    yield 1.0
    ui.screenshot("06_paint")
    yield from ui.press("bpy.ops.ex4d.paint_thickness", at=0.75)
    yield 1.0
    ui.screenshot("06_brushes")
    yield from ui.press("bpy.ops.ex4d.discard_painting", at=0.75)
    with ui.override():
        paint.select_vertices(body.data, np.ones(seeds.size, np.bool_))
    yield from ui.press("bpy.ops.ex4d.clear_thickness", at=0.75)
    assert thickness.LENGTHS.painted_at(body.data, 0) is None
    target.ex4d.occluders, scene.camera = "ENDLESS", target.ex4d.camera
    yield 0.5


ui.start(script)
