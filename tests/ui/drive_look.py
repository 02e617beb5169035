"""Bring the scene to a state, run somebody's steps, take a picture. Run by Blender; see ``look``."""

from __future__ import annotations

import os
import runpy
import sys

sys.path[:0] = os.environ["EX4D_UI_PATH"].split(os.pathsep)

import ways  # noqa: E402
import window as ui  # noqa: E402


def script() -> ui.Steps:
    yield from ways.empty()
    state = os.environ["EX4D_UI_STATE"]
    if state != "empty":
        yield from ways.ready()
    if state in ("camera", "take"):
        yield from ways.camera()
    if state == "take":
        yield from ways.take()
    if os.environ["EX4D_UI_STEPS"]:
        steps = runpy.run_path(os.environ["EX4D_UI_STEPS"])["steps"](ui)
        if steps is not None:
            yield from steps
    yield 1.0
    ui.screenshot("look")


ui.start(script)
