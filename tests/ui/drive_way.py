"""From an empty scene to a visible take by clicks and typing, which are counted. Run by Blender; see ``test_way``.

Depth comes from ``stand_in``, an estimator that stands in for a model that is not there. Every state is pictured at two
interface scales and in both themes.
"""

from __future__ import annotations

import os
import sys
from typing import Any

sys.path[:0] = os.environ["EX4D_UI_PATH"].split(os.pathsep)

import bpy  # noqa: E402
import stand_in  # noqa: E402
import ways  # noqa: E402
import window as ui  # noqa: E402

CLIP = os.environ["EX4D_UI_CLIP"]
GO = ui.OUT / "go"
LOOKS = [(scale, theme) for theme in ("dark", "light") for scale in (1.0, 1.5)]


def script() -> ui.Steps:
    yield from ways.empty()
    from blender_addon.scene import orbit
    from blender_addon.work import session

    current, props = session.get, bpy.context.scene.ex4d
    props.estimator = stand_in.NAME  # the usual one's weights are not on this machine
    _, area, _ = ui.view()
    area.spaces.active.overlay.show_overlays = True
    bpy.context.preferences.view.filebrowser_display_type = "SCREEN"  # there is no window manager to place a window
    yield from pictures("1_empty")

    yield from ui.press("bpy.ops.ex4d.open_video", leave=False)
    yield from ui.choose_file(CLIP)
    yield from ui.wait(
        lambda: no_error() and any(task.progress.done == stand_in.WAITS_AT for task in current().tasks), "the middle"
    )
    yield from pictures("2_importing")
    GO.touch()
    yield from ui.wait(lambda: no_error() and props.shot is not None and not current().tasks, "the shot", 500)
    yield from ui.wait(lambda: not orbit.under_way(), "the end of the turn")
    yield from pictures("3_ready")

    yield from ui.press("bpy.ops.ex4d.add_camera_move")
    yield from ui.wait(lambda: props.shot.ex4d.camera is not None and not current().tasks, "the camera")
    yield from pictures("4_camera")

    yield from ui.press("bpy.ops.ex4d.generate")
    yield from ui.wait(lambda: any(take.arrived >= 5 for take in props.takes), "the first frames")
    ui.screenshot("5_generating")
    yield from ui.wait(lambda: len(props.takes) == 1 and not props.takes[0].partial and not current().tasks, "the take")
    yield 1.0
    ui.measured["actions"], ui.measured["fields"] = ui.counts.actions, ui.counts.fields
    take = props.takes[0]
    print("UI: the take is there")
    ui.measured["take"] = {"frames": take.num_frames, "arrived": take.arrived, "shown": take.plane.visible_get()}
    yield from ui.scroll(8)  # the list of takes ends below a small window
    ui.mouse(area.x + 300, area.y + 60)
    yield from pictures("6_take")
    yield from ui.measure_list("7_take")


def at_the_middle() -> bool:
    from blender_addon.work import session

    return any(task.progress.done == stand_in.WAITS_AT for task in session.get().tasks)


def no_error() -> bool:
    """True, unless the panels tell of an error. Raises AssertionError with its sentence."""
    from blender_addon.work import session

    assert not session.get().message_is_error, session.get().message
    return True


def pictures(name: str) -> ui.Steps:
    """The state in every look."""
    for scale, theme in LOOKS:
        ui.dress(scale, theme)
        yield 0.8
        yield from reframe()
        ui.screenshot(f"{name}-{scale:g}-{theme}")
    ui.dress(1.0, "dark")
    yield 0.5
    yield from reframe()


def reframe() -> ui.Steps:
    """Another interface scale makes the sidebar another width: frame the camera anew, as an import does."""
    from blender_addon.scene import viewing

    scene: Any = bpy.context.scene
    _, area, _ = ui.view()
    if scene.camera is not None:
        viewing.frame_camera(area, scene, scene.camera)
        yield 0.5


ui.start(script)
