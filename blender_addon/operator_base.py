"""Both ways of running a long operator, once: ``execute()`` blocks, ``invoke()`` is modal and never does."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

import bpy

from . import delivery, session, timer
from .errors import AddonError, TaskCancelled
from .tasks import Task

log = logging.getLogger(__package__)

WATCH_INTERVAL_S = 0.05


def report(operator: bpy.types.Operator, error: AddonError) -> set[str]:
    """Show the sentence, log the detail, end the operator."""
    if error.detail:
        log.error("%s\n%s", error, error.detail)
    operator.report({"WARNING" if isinstance(error, TaskCancelled) else "ERROR"}, str(error))
    return {"CANCELLED"}


class LongOperator:
    """Mixin for operators that run a task.

    ``begin(context)`` reads the scene and returns the task, whose ``deliver`` puts the result into the scene; both may
    raise AddonError. It is delivered inside the operator, so that its changes are one undo step. If Blender takes the
    operator away (a new file, a closed window), the timer delivers.
    """

    _task: Task | None = None
    _watch: Any = None

    def begin(self, context: bpy.types.Context) -> Task:
        raise NotImplementedError

    def execute(self: Any, context: bpy.types.Context) -> set[str]:
        try:
            task = self.begin(context)
        except AddonError as error:
            return report(self, error)
        session.get().run(task)
        return self._deliver(context, task)

    def _deliver(self: Any, context: bpy.types.Context, task: Task) -> set[str]:
        try:
            done = delivery.put(context, task)
        except AddonError as error:
            delivery.tell_error(task.title, error)
            return report(self, error)
        for warning in done.warnings:
            self.report({"WARNING"}, warning)
        if done.message:
            self.report({"INFO"}, done.message)
        return {"FINISHED"}

    def invoke(self: Any, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if bpy.app.background or context.window is None:
            return self.execute(context)
        try:
            self._task = self.begin(context)
        except AddonError as error:
            return report(self, error)
        timer.start()
        self._watch = context.window_manager.event_timer_add(WATCH_INTERVAL_S, window=context.window)
        context.window_manager.progress_begin(0, 100)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self: Any, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        task = self._task
        task.watched_at = time.monotonic()
        if event.type == "ESC" and event.value == "PRESS":
            session.get().cancel(task)
        elif event.type != "TIMER":
            return {"PASS_THROUGH"}
        if not task.finished:
            self._show(context, task)
            return {"PASS_THROUGH"}
        self._unwatch(context)
        return self._deliver(context, task)

    def cancel(self: Any, context: bpy.types.Context) -> None:
        """Blender takes the operator away, not the task: from here on the timer looks after it."""
        self._task.watched_at = 0.0
        with contextlib.suppress(AttributeError, RuntimeError):  # window and workspace may be gone already
            self._unwatch(context)

    def _show(self: Any, context: bpy.types.Context, task: Task) -> None:
        progress = task.progress
        context.window_manager.progress_update(int(progress.share * 100))
        count = f" {progress.done} of {progress.total}" if progress.total else ""
        context.workspace.status_text_set(f"EX-4D: {task.title}, {progress.stage}{count}   (Esc cancels)")

    def _unwatch(self: Any, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._watch)
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)
        timer.redraw()
