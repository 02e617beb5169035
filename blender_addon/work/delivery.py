"""Putting finished work into the scene, by the operator that started it or, if it is gone, by the timer."""

import contextlib
import time
from dataclasses import replace

import bpy

from . import session
from .errors import AddonError, JobFailed, TaskCancelled
from .tasks import Delivery, Task

UNWATCHED_S = 0.5
"""A live operator looks after its task twenty times a second."""


def put(context: bpy.types.Context, task: Task) -> Delivery:
    """The task's result in the scene. Raises its AddonError, or that of the delivery."""
    session.get().collect(task)
    if task.error is not None:
        if task.arrival is not None:
            task.arrival.end(context)
        raise task.error
    done = task.deliver(context, task.result) if task.deliver is not None else Delivery("")
    return replace(done, warnings=(*task.notes, *done.warnings)) if task.notes else done


def put_orphans() -> bool:
    """Deliver what no operator looks after any more, as undo steps of their own. Returns whether there was any."""
    current = session.get()
    now = time.monotonic()
    orphans = [task for task in current.undelivered if now - task.watched_at > UNWATCHED_S]
    for task in orphans:
        with in_a_window():
            _put_orphan(bpy.context, task)
    return bool(orphans)


def _put_orphan(context: bpy.types.Context, task: Task) -> None:
    current = session.get()
    try:
        done = put(context, task)
    except AddonError as error:
        tell_error(task, error)
        return
    for warning in done.warnings:
        current.tell(warning, is_error=True)
    if done.message:
        current.tell(done.message)
    if done.changes_scene:
        bpy.ops.ed.undo_push(message=task.title)
    if done.then is not None:
        try:
            following = done.then(context)
            if following is not None:
                following.watched_at = 0.0
        except AddonError as error:
            tell_error(task, error)


def tell_error(task: Task, error: AddonError) -> None:
    """Keep what went wrong in sight in the panel; that someone asked to stop is no error."""
    session.get().tell(
        error.text("panel"),
        is_error=not isinstance(error, TaskCancelled),
        panel=task.panel,
        job_id=error.job_id if isinstance(error, JobFailed) else "",
        remedy=error.remedy,
    )


def in_a_window() -> contextlib.AbstractContextManager[object]:
    """A context with a window, which a timer's own lacks."""
    windows = bpy.context.window_manager.windows
    return bpy.context.temp_override(window=windows[0]) if windows else contextlib.nullcontext()
