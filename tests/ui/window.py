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
from pathlib import Path
from typing import Any

import bpy

OUT = Path(os.environ["EX4D_UI_OUT"])
HOVER_S = 0.03
SETTLE_S = 0.25
STEP_PX = 13
"""Less than half a button's height."""

Steps = Generator[float, None, None]
"""Yields how many seconds to let Blender run its own loop."""


def start(script: Callable[[], Steps]) -> None:
    """Run the script, save what came of it to result.json, quit."""
    steps = script()
    bpy.context.preferences.view.show_splash = False
    bpy.context.preferences.system.viewport_aa = "OFF"  # software rendering

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


def finish(result: dict[str, Any]) -> None:
    (OUT / "result.json").write_text(json.dumps(result))
    sys.stdout.flush()
    bpy.ops.preferences.addon_disable(module="blender_addon")
    with override():
        bpy.ops.wm.quit_blender()


def view() -> tuple[Any, Any, Any]:
    """Window, 3D view and its sidebar."""
    window = bpy.context.window_manager.windows[0]
    area = next(a for a in window.screen.areas if a.type == "VIEW_3D")
    return window, area, next(r for r in area.regions if r.type == "UI")


def override(region: Any = None) -> Any:
    window, area, sidebar = view()
    return bpy.context.temp_override(window=window, area=area, region=region or sidebar)


def xdotool(*arguments: object) -> None:
    subprocess.run(["xdotool", *(str(a) for a in arguments)], check=True, timeout=20)


def mouse(x: int, y: int) -> None:
    """Move to Blender's window coordinates (y up)."""
    window, _, _ = view()
    xdotool("mousemove", window.x + x, window.height - 1 - y)


def click(x: int, y: int) -> Steps:
    mouse(x, y)
    yield 0.15
    xdotool("click", 1)
    yield 0.2


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


def press(command: str, *, at: float = 0.3, leave: bool = True) -> Steps:
    """Find the button of an operator by hovering over the sidebar, scrolling if need be, and click it.

    ``at`` is where buttons are looked for, as a share of the sidebar's width. The mouse leaves the button afterwards,
    because Blender does not redraw a button under it, unless ``leave`` is False.
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
                print(f"UI: pressing {hovered()}")
                xdotool("click", 1)
                yield 0.2
                if leave:
                    _, area, _ = view()
                    mouse(area.x + 300, area.y + 60)
                    yield 0.1
                return
    raise AssertionError(f"no button for {command} is to be seen in the sidebar")


def wait(condition: Callable[[], bool], what: str, seconds: float = 150.0) -> Steps:
    """Let Blender run until ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        yield 0.05


def screenshot(name: str) -> None:
    """The whole window as a picture."""
    path = str(OUT / f"{name}.png")
    if bpy.app.version < (4, 0, 0):
        with override():
            bpy.ops.screen.screenshot(filepath=path)
        return
    # Without a window manager later versions read a buffer that was never shown; the X server has the picture.
    grab = f"from PIL import ImageGrab; ImageGrab.grab(xdisplay={os.environ['DISPLAY']!r}).save({path!r})"
    subprocess.run([os.environ["EX4D_UI_PYTHON"], "-c", grab], check=True, timeout=60)


def open_sidebar() -> Steps:
    """Show the sidebar's EX-4D tab."""
    _, area, _ = view()
    area.spaces.active.show_region_ui = True
    area.spaces.active.overlay.show_overlays = False
    yield 0.5
    yield from find_tab()


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
