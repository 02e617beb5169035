"""What is running, in the place of the button that started it: how far it is, how long it takes yet, how to stop it."""

import time
from collections.abc import Callable

import bpy

from ex4d_ground import stages

from ..work import session
from ..work.languages import say
from ..work.tasks import Task, TaskProgress
from .base import paragraph
from .messages import home

NAMES = {
    stages.PREVIEW: "Frame",
    stages.WEB: "Web Page",
    stages.KNOWN: "Known Pixels",
    stages.PLACE: "Finding Floor and Walls",
    stages.DEPTH_ESTIMATE: "Estimating Depth",
    stages.DEPTH_ENCODE: "Encoding Depth",
    stages.DEPTH_DENOISE: "Estimating Depth",
    stages.DEPTH_ALIGN: "Aligning Depth",
    stages.DEPTH_STEADY: "Steadying Depth",
    stages.DEPTH_FLICKER: "Calming Depth",
    stages.DEPTH_EDGES: "Sharpening Edges",
    stages.DEPTH_SAVE: "Saving Depth",
    stages.DEPTH_SEND: "Sending Depth",
    stages.DEPTH_HAND_OVER: "Handing Over",
    stages.PREPARING: "Preparing",
    stages.MESH: "Building Mesh",
    stages.GUIDES: "Guide",
    stages.HASHING: "Reading",
}
"""Stages as people call them; the others are called as they are reported."""


def draw_or(layout: bpy.types.UILayout, context: bpy.types.Context, panel: str, button: Callable[[], object]) -> None:
    """The tasks that belong to ``panel``; the button that starts one where there are none."""
    mine = [task for task in session.get().tasks if home(context, task.panel) == panel]
    for task in mine:
        draw_task(layout, task)
    if not mine:
        button()


def draw_task(layout: bpy.types.UILayout, task: Task) -> None:
    """One line: progress with its words, a button that stops and keeps what arrived, one that stops."""
    row = layout.row(align=True)
    row.scale_y = 1.3
    row.progress(factor=task.progress.whole or task.progress.share, text=words(task))
    arrived = task.arrival.count if task.arrival is not None else 0
    for keep, icon in ((True, "CHECKMARK"), (False, "X")):
        if arrived or not keep:
            button = row.operator("ex4d.cancel", text="", icon=icon)
            button.title, button.keep = task.title, keep
    if task.progress.message:
        paragraph(layout, task.progress.message)


def words(task: Task) -> str:
    """What is done, how far it is, and how long it takes yet, as short as it goes."""
    progress = task.progress
    stage = NAMES.get(progress.stage) or progress.stage[:1].upper() + progress.stage[1:]
    count = _count(progress)
    left = _seconds_left(task)
    time_left = "" if left is None else "  " + say(f"{clock(left)} left")
    return f"{say(stage)}{count}{time_left}"


def short_words(task: Task) -> str:
    """What is done and how far it is, for a header."""
    return f"{NAMES.get(task.progress.stage, task.title)}{_count(task.progress)}"


def clock(seconds: float) -> str:
    """A time as a clock shows it: "0:05", "12:30", "1:02:03"."""
    minutes, rest = divmod(max(round(seconds), 1), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _seconds_left(task: Task) -> float | None:
    """Of the whole job if the backend weighs its stages, else of the present stage; None while nobody can say."""
    if task.seconds_left is not None:
        return task.seconds_left
    progress, elapsed = task.progress, time.monotonic() - task.stage_at
    if progress.whole or not 0.02 < progress.share < 1 or elapsed <= 3:
        return None
    return elapsed / progress.share - elapsed


def _count(progress: TaskProgress) -> str:
    """How far a stage is; files count in megabytes."""
    if not progress.total:
        return ""
    if progress.stage in (stages.HASHING, stages.UPLOADING):
        return f" {progress.done / 1e6:.1f}/{progress.total / 1e6:.1f} MB"
    return f" {progress.done}/{progress.total}"
