"""Driving a real Blender window: a script of steps run by a timer, the mouse moved by xdotool. Runs inside Blender.

A button's place is found by hovering: Blender names the operator of the button under the mouse when asked to copy its
Python command. So nothing here depends on where a panel draws what.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

OUT = Path(os.environ["EX4D_UI_OUT"])
ONHOST = os.environ["EX4D_UI_ONHOST"].split()
"""What starts a program of the machine that Blender runs on."""
HOVER_S = 0.03
SETTLE_S = 0.25
STEP_PX = 13
"""Less than half a button's height."""

measured: dict[str, Any] = {}
"""What a script leaves in result.json for its test."""


@dataclass
class Counts:
    """What a person would have done so far."""

    actions: int = 0
    """Buttons that were clicked."""
    fields: int = 0
    """Fields that were typed into, each with the click that opens it and the keys that end it."""


counts = Counts()
Steps = Generator[float, None, None]
"""Yields how many seconds to let Blender run its own loop."""


def start(script: Callable[[], Steps]) -> None:
    """Run the script, save what came of it to result.json, quit."""
    steps = script()
    dress(float(os.environ["EX4D_UI_SCALE"]), os.environ["EX4D_UI_THEME"])

    def resume() -> float | None:
        try:
            return next(steps)
        except StopIteration:
            finish({"ok": True})
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the test's result
            traceback.print_exc()
            screenshot("failed")
            finish({"ok": False, "error": f"{type(error).__name__}: {error}"})
        return None

    bpy.app.timers.register(resume, first_interval=1.0, persistent=True)


_dressed: dict[str, str] = {}


def dress(ui_scale: float, theme: str) -> None:
    """Blender's own size and colours, and nothing that is slow in software."""
    preferences = bpy.context.preferences
    preferences.view.show_splash = False
    preferences.view.ui_scale = ui_scale
    preferences.system.viewport_aa = "OFF"
    preferences.filepaths.temporary_directory = os.environ["HOME"]
    name = f"Blender_{theme.capitalize()}.xml"
    themes = [Path(folder, "interface_theme", name) for folder in bpy.utils.preset_paths("")]
    chosen = str(next(path for path in themes if path.exists()))
    if _dressed.get("theme", "dark") != theme:
        bpy.ops.script.execute_preset(filepath=chosen, menu_idname="USERPREF_MT_interface_theme_presets")
    _dressed["theme"] = theme


def finish(result: dict[str, Any]) -> None:
    (OUT / "result.json").write_text(json.dumps({**result, **measured}))
    sys.stdout.flush()
    bpy.ops.preferences.addon_disable(module="blender_addon")
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        bpy.ops.wm.quit_blender()


def view() -> tuple[Any, Any, Any]:
    """Window, its largest 3D view, and that one's sidebar."""
    window = bpy.context.window_manager.windows[0]
    area = max((a for a in window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width * a.height)
    return window, area, next(r for r in area.regions if r.type == "UI")


def override(region: Any = None) -> Any:
    window, area, sidebar = view()
    return bpy.context.temp_override(window=window, area=area, region=region or sidebar)


def xdotool(*arguments: object) -> None:
    subprocess.run([*ONHOST, "xdotool", *(str(a) for a in arguments)], check=True, timeout=20)


def mouse(x: int, y: int) -> None:
    """Move to Blender's window coordinates (y up)."""
    window = bpy.context.window_manager.windows[0]
    xdotool("mousemove", window.x + x, window.height - 1 - y)


def click(x: int, y: int) -> Steps:
    for step in (6, 3, 0):  # a button is pressed only once Blender has seen the mouse over it
        mouse(x - step, y)
        yield 0.15
    xdotool("click", 1)
    yield 0.4


def scroll(clicks: int) -> Steps:
    """Scroll the sidebar; positive goes down."""
    if not clicks:
        return
    _, _, sidebar = view()
    mouse(sidebar.x + 40, sidebar.y + sidebar.height // 2)
    yield 0.1
    xdotool("click", "--repeat", abs(clicks), "--delay", 2, 5 if clicks > 0 else 4)
    yield 0.3


def hovered() -> str:
    """The Python command of the button under the mouse, or ""."""
    with override():
        if not bpy.ops.ui.copy_python_command_button.poll():
            return ""
        bpy.context.window_manager.clipboard = ""
        bpy.ops.ui.copy_python_command_button()
    return str(bpy.context.window_manager.clipboard)


def find(command: str, *, at: float = 0.3) -> Steps:
    """Scroll the sidebar, if need be, until the mouse is over the button of an operator.

    ``at`` is where buttons are looked for, as a share of the sidebar's width.
    """
    for direction in (0, -80, 14, 14, 14, 14, 14):  # where the sidebar is now, then from its top down
        yield from scroll(direction)
        _, _, sidebar = view()
        for y in range(sidebar.y + sidebar.height - 4, sidebar.y + 4, -STEP_PX):
            mouse(sidebar.x + round(sidebar.width * at), y)
            yield HOVER_S
            if command not in hovered():
                continue
            yield SETTLE_S
            if command in hovered():  # still: it was not the button the mouse has just left
                return
    raise AssertionError(f"no button for {command} is to be seen in the sidebar")


def press(command: str, *, at: float = 0.3, leave: bool = True) -> Steps:
    """Find the button of an operator as :func:`find` does, and click it.

    The mouse leaves it afterwards, because Blender does not redraw a button under the mouse, unless ``leave`` is False.
    """
    yield from find(command, at=at)
    print(f"UI: pressing {hovered()}")
    xdotool("click", 1)
    counts.actions += 1
    yield 0.2
    if leave:
        _, area, _ = view()
        mouse(area.x + 300, area.y + 60)
        yield 0.1


def choose_file(path: str) -> Steps:
    """Type a file's path into the open file browser and accept it."""
    yield from wait(lambda: browser() is not None, "the file browser")
    yield 1.5  # it slides open
    shown = browser()
    assert shown is not None
    region = next(each for each in shown.regions if each.type == "UI")
    yield from click(region.x + round(region.width * 0.35), region.y + region.height // 2)
    yield 0.6
    xdotool("key", "ctrl+a")
    yield 0.2
    xdotool("type", "--delay", 30, path)
    yield 0.8
    counts.fields += 1
    for _ in range(4):  # the field's Return splits the path, another leaves the field, and then it is the button's key
        if browser() is None:
            break
        xdotool("key", "Return")
        yield 1.5
    yield from wait(lambda: browser() is None, "the end of the file browser", seconds=30)


def browser() -> Any:
    """The file browser that is open, or None."""
    areas = [area for window in bpy.context.window_manager.windows for area in window.screen.areas]
    return next((area for area in areas if area.type == "FILE_BROWSER"), None)


def measure_list(name: str) -> Steps:
    """Two pictures, with the sidebar and without, and where it is: what differs there is the list of panels."""
    _, area, sidebar = view()
    window = bpy.context.window_manager.windows[0]
    measured["sidebar"] = [sidebar.x, window.height - sidebar.y - sidebar.height, sidebar.width, sidebar.height]
    yield from scroll(-60)
    mouse(area.x + 300, area.y + 60)
    yield 0.5
    screenshot(f"{name}-with")
    area.spaces.active.show_region_ui = False
    yield 1.0
    screenshot(f"{name}-without")
    area.spaces.active.show_region_ui = True
    yield 0.5


def call(operator: str, **settings: Any) -> Steps:
    """Start an operator as a button would, without one."""
    category, name = operator.split(".")
    with override():
        getattr(getattr(bpy.ops, category), name)("INVOKE_DEFAULT", **settings)
    yield 0.1


def wait(condition: Callable[[], bool], what: str, seconds: float = 200.0) -> Steps:
    """Let Blender run until ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        yield 0.05


def screenshot(name: str) -> None:
    """The whole window as a picture."""
    path = str(OUT / f"{name}.png")
    # Without a window manager Blender reads a buffer that was never shown; the X server has the picture.
    grab = f"from PIL import ImageGrab; ImageGrab.grab(xdisplay={os.environ['DISPLAY']!r}).save({path!r})"
    subprocess.run([*ONHOST, os.environ["EX4D_UI_PYTHON"], "-c", grab], check=True, timeout=60)


def camera_frame() -> list[float]:
    """Left, top, right and bottom of the scene camera's frame, in pixels of a screenshot."""
    from bpy_extras.view3d_utils import location_3d_to_region_2d

    window, area, _ = view()
    region = next(each for each in area.regions if each.type == "WINDOW")
    scene = bpy.context.scene
    pose = scene.camera.matrix_world.normalized()
    seen = [
        location_3d_to_region_2d(region, area.spaces.active.region_3d, pose @ corner)
        for corner in scene.camera.data.view_frame(scene=scene)
    ]
    xs, ys = [region.x + corner.x for corner in seen], [window.height - region.y - corner.y for corner in seen]
    return [min(xs), min(ys), max(xs), max(ys)]


def open_sidebar() -> Steps:
    """Show the sidebar's EX-4D tab."""
    _, area, _ = view()
    area.spaces.active.show_region_ui = True
    area.spaces.active.overlay.show_overlays = False
    yield 0.5
    _, _, sidebar = view()
    sidebar.active_panel_category = "EX-4D"
    yield 0.3


def find_tab() -> Steps:
    """Click down the tabs until the sidebar shows one of our buttons."""
    _, _, sidebar = view()
    x = sidebar.x + sidebar.width - 8
    for y in range(sidebar.y + sidebar.height - 20, sidebar.y + sidebar.height - 400, -25):
        yield from click(x, y)
        _, _, sidebar = view()
        for top in range(20, 90, 12):
            mouse(sidebar.x + sidebar.width // 2, sidebar.y + sidebar.height - top)
            yield HOVER_S
            if "ex4d.connect" in hovered():
                return
    raise AssertionError("the tab EX-4D is not there")


def look_through_camera() -> None:
    _, area, _ = view()
    space = area.spaces.active
    space.overlay.show_overlays = True
    space.region_3d.view_perspective = "CAMERA"
    space.shading.light, space.shading.color_type = "FLAT", "TEXTURE"  # software rendering is slow at more
    space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False
