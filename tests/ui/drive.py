"""The artist's way through the panels, with real clicks, in a real window. Run by Blender; see ``test_panels``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path[:0] = os.environ["EX4D_UI_PATH"].split(os.pathsep)

import bpy  # noqa: E402
import window as ui  # noqa: E402

CLIP, DEPTH = os.environ["EX4D_UI_CLIP"], os.environ["EX4D_UI_DEPTH"]


def script() -> ui.Steps:
    bpy.ops.preferences.addon_enable(module="blender_addon")
    from blender_addon import session

    current = session.get
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    yield from open_sidebar()
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
    look_through_camera()
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
    yield 0.7
    ui.screenshot("06_coverage")
    yield from show_live()

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


def open_sidebar() -> ui.Steps:
    """Show the sidebar's EX-4D tab."""
    _, area, _ = ui.view()
    area.spaces.active.show_region_ui = True
    area.spaces.active.overlay.show_overlays = False
    yield 0.5
    yield from find_tab()


def find_tab() -> ui.Steps:
    """Click down the tabs until the sidebar shows one of our buttons."""
    _, _, sidebar = ui.view()
    x = sidebar.x + sidebar.width - 8
    for y in range(sidebar.y + sidebar.height - 20, sidebar.y + sidebar.height - 400, -25):
        yield from ui.click(x, y)
        _, _, sidebar = ui.view()
        for top in range(20, 90, 12):
            ui.mouse(sidebar.x + sidebar.width // 2, sidebar.y + sidebar.height - top)
            yield ui.HOVER_S
            if "ex4d.connect" in ui.hovered():
                return
    raise AssertionError("the tab EX-4D is not there")


def show_live() -> ui.Steps:
    """Switch live mode on and picture what it draws over the camera view."""
    from blender_addon import live

    switches = bpy.context.window_manager.ex4d_live
    switches.enabled = True
    yield from ui.wait(lambda: live.current.is_sharp, "the live picture")
    yield 1.0
    ui.screenshot("06_live")
    switches.enabled = False
    yield 0.3


def look_through_camera() -> None:
    _, area, _ = ui.view()
    space = area.spaces.active
    space.overlay.show_overlays = True
    space.region_3d.view_perspective = "CAMERA"
    space.shading.light, space.shading.color_type = "FLAT", "TEXTURE"  # software rendering is slow at more
    space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False


ui.start(script)
