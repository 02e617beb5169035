"""How operators run: at once, or as a task, of which ``execute()`` waits for the end and ``invoke()`` never does."""

import contextlib
import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

import bpy

from ex4d_ground.errors import Ex4dError

from . import connecting, delivery, session, timer
from .addon import PACKAGE, log
from .errors import AddonError, TaskCancelled
from .languages import say
from .tasks import Task

WATCH_INTERVAL_S = 0.05


Check = Callable[[bpy.types.Context], object]
"""Raises the AddonError that says what is lacking."""


def report(operator: Any, error: Ex4dError, *, told: bool = False) -> set[str]:
    """Show the sentence, log the detail, end the operator.

    Who pressed a button finds the sentence in the operator's panel (``told``: it is there already), since Blender would
    show an error in a popup over the controls; a script gets an exception.
    """
    if isinstance(error, AddonError) and error.detail:
        log.error("%s\n%s", error, error.detail)
    words, cancelled = error.text("panel"), isinstance(error, TaskCancelled)
    pressed = operator.options.is_invoke and not bpy.app.background
    if pressed and not (told or cancelled):
        session.get().tell(words, is_error=True, panel=getattr(operator, "panel", "Clip"), remedy=error.remedy)
        timer.redraw()
    operator.report({"WARNING" if cancelled or pressed else "ERROR"}, say(words) if pressed else words)
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


def call(other: Any, how: str = "EXEC_DEFAULT", **options: Any) -> set[str]:
    """Run another operator of ours from within one. Raises AddonError with its sentence; Blender prints a traceback.

    ``other`` is such as ``bpy.ops.ex4d.generate``, ``how`` the way it runs.
    """
    try:
        return other(how, **options)
    except RuntimeError as error:
        raise AddonError(str(error).strip().removeprefix("Error: ")) from error


def _forget(operator: type[Any]) -> None:
    """Have what a caller leaves out be the default, except what the operator ``remembers``.

    A button otherwise takes it from whoever ran the operator last: *Import Clip* took the example's video after *Try
    the Example*.
    """
    found: dict[str, Any] = {}
    for base in reversed(operator.__mro__):
        if base.__module__.startswith(f"{PACKAGE}."):
            found |= inspect.get_annotations(base)
    for name, prop in found.items():
        if name in operator.remembers or not hasattr(prop, "keywords"):
            continue
        options = {*prop.keywords.get("options", {"ANIMATABLE"}), "SKIP_SAVE"}
        operator.__annotations__[name] = prop.function(**{**prop.keywords, "options": options})


class _Pressed:
    """Mixin: the class EX4D_OT_show_take is the operator ex4d.show_take, greyed while something is lacking."""

    panel = "Clip"
    """Label of the panel that says what went wrong."""
    requires: tuple[Check, ...] = ()
    """What must hold before the button can be pressed; what the first one raises is in the tooltip."""
    remembers: tuple[str, ...] = ()
    """Settings that a dialog or the tool's options show, and that begin as they were last chosen there."""

    def __init_subclass__(cls) -> None:
        kind, _, name = cls.__name__.partition("_OT_")
        if kind == "EX4D":
            cls.bl_idname = f"ex4d.{name}"  # type: ignore[attr-defined]
            _forget(cls)

    @classmethod
    def lacking(cls, context: bpy.types.Context) -> Ex4dError | None:
        """Why the button cannot be pressed now; None if it can."""
        try:
            for check in cls.requires:
                check(context)
        except Ex4dError as error:
            return error
        return None

    @classmethod
    def poll(cls: Any, context: bpy.types.Context) -> bool:
        error = cls.lacking(context)
        if error is not None:
            cls.poll_message_set(say(error.text("panel")))
        return error is None


class QuickOperator(_Pressed):
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
        session.get().settle(self.panel)
        if message:
            self.report({"INFO"}, say(message))
        return {"CANCELLED" if self.idle else "FINISHED"}


class LongOperator(_Pressed):
    """Mixin for operators that run a task.

    ``begin(context)`` reads the scene and returns the task, whose ``deliver`` puts the result into the scene; both may
    raise AddonError. It is delivered inside the operator, so that its changes are one undo step. If Blender takes the
    operator away (a new file, a closed window), the timer delivers. What has to come before (a backend, with
    ``needs_backend``) and what waited for it (``Delivery.then``) are tasks that the operator runs one after the other.
    """

    needs_backend = False
    """Whether a backend is connected to, or started, before ``begin``."""
    _task: Task | None = None
    _watch: Any = None
    _connects = False
    """Whether the task is the connecting that comes first."""

    def begin(self, context: bpy.types.Context, /) -> Task:
        raise NotImplementedError

    @reported
    def execute(self: Any, context: bpy.types.Context) -> set[str]:
        self._task = self._first(context)
        while True:
            session.get().run(self._task)
            result = self._deliver(context)
            if self._task is None:
                return result

    def _first(self: Any, context: bpy.types.Context) -> Task:
        """What runs first. Raises AddonError."""
        waited_for = connecting.needed(context) if self.needs_backend else None
        self._connects = waited_for is not None
        return waited_for or self._begin(context)

    def _begin(self: Any, context: bpy.types.Context) -> Task:
        """As ``begin``; what keeps it from beginning is told where its button is."""
        try:
            return self.begin(context)
        except AddonError as error:
            session.get().tell(error.text("panel"), is_error=True, panel=self.panel, remedy=error.remedy)
            raise

    def _deliver(self: Any, context: bpy.types.Context) -> set[str]:
        """Put the task's result into the scene; ``_task`` is then what follows, or None at the end."""
        task, self._task = self._task, None
        try:
            done = delivery.put(context, task)
            for warning in done.warnings:
                self.report({"WARNING"}, say(warning))
            if done.message:
                self.report({"INFO"}, say(done.message))
        except AddonError as error:
            delivery.tell_error(task, error)
            return report(self, error, told=True)
        begins, self._connects = self._connects, False
        then = self._begin if begins else done.then
        try:
            self._task = then(context) if then is not None else None
        except AddonError as error:
            if not begins:
                delivery.tell_error(task, error)
            return report(self, error, told=True)
        return {"FINISHED"}

    def invoke(self: Any, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if bpy.app.background or context.window is None:
            return self.execute(context)
        try:
            self._task = self._first(context)
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
        result = self._deliver(context)
        if self._task is not None:
            return {"PASS_THROUGH"}
        self._unwatch(context)
        return result

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
