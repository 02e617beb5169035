"""How operators run: at once, or as a task, of which ``execute()`` waits for the end and ``invoke()`` never does."""

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any

import bpy

from ex4d_ground.errors import Ex4dError

from . import delivery, session, timer
from .addon import log
from .errors import AddonError, TaskCancelled
from .tasks import Task

WATCH_INTERVAL_S = 0.05


def report(operator: bpy.types.Operator, error: Ex4dError) -> set[str]:
    """Show the sentence, log the detail, end the operator."""
    if isinstance(error, AddonError) and error.detail:
        log.error("%s\n%s", error, error.detail)
    operator.report({"WARNING" if isinstance(error, TaskCancelled) else "ERROR"}, error.text("panel"))
    return {"CANCELLED"}


def reported(execute: Callable[[Any, bpy.types.Context], set[str]]) -> Callable[[Any, bpy.types.Context], set[str]]:
    """The method, with the errors that are raised on purpose shown to the user."""

    @functools.wraps(execute)
    def run(operator: Any, context: bpy.types.Context) -> set[str]:  # Blender counts the arguments
        try:
            return execute(operator, context)
        except Ex4dError as error:
            return report(operator, error)

    return run


class _Named:
    """Mixin: the class EX4D_OT_show_take is the operator ex4d.show_take."""

    def __init_subclass__(cls) -> None:
        kind, _, name = cls.__name__.partition("_OT_")
        if kind == "EX4D":
            cls.bl_idname = f"ex4d.{name}"  # type: ignore[attr-defined]


class QuickOperator(_Named):
    """Mixin for operators that are done at once: ``run`` returns the sentence for the status bar, "" for none.

    Where it sets ``idle``, there was nothing to do, and so nothing to undo.
    """

    idle = False

    def run(self, context: bpy.types.Context, /) -> str:
        """Do it. May raise AddonError."""
        raise NotImplementedError

    @reported
    def execute(self: Any, context: bpy.types.Context) -> set[str]:
        message = self.run(context)
        if message:
            self.report({"INFO"}, message)
        return {"CANCELLED" if self.idle else "FINISHED"}


class LongOperator(_Named):
    """Mixin for operators that run a task.

    ``begin(context)`` reads the scene and returns the task, whose ``deliver`` puts the result into the scene; both may
    raise AddonError. It is delivered inside the operator, so that its changes are one undo step. If Blender takes the
    operator away (a new file, a closed window), the timer delivers.
    """

    _task: Task | None = None
    _watch: Any = None

    def begin(self, context: bpy.types.Context, /) -> Task:
        raise NotImplementedError

    @reported
    def execute(self: Any, context: bpy.types.Context) -> set[str]:
        task = self.begin(context)
        session.get().run(task)
        return self._deliver(context, task)

    def _deliver(self: Any, context: bpy.types.Context, task: Task) -> set[str]:
        try:
            done = delivery.put(context, task)
        except AddonError as error:
            delivery.tell_error(task, error)
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
        except Ex4dError as error:
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
