"""Keeping the mask of visible faces in the viewport in step with the edits: on request, and by itself in a window."""

import time
from pathlib import Path
from typing import Any

import bpy

from ..jobs.edit_uploads import FrameEdit
from ..scene import linked, shot
from ..scene.clip import StoredClip
from ..work import files, session, timer
from ..work.addon import log
from ..work.errors import AddonError
from ..work.hooks import Listeners
from ..work.link import BackendLink
from ..work.tasks import Delivery, Steps, Task
from . import collect, thickness_weights, visible_files

TITLE = "Update visible faces"
PAUSE_S = 1.0
"""So long nothing more is edited before the mask follows by itself."""
LOOK_S = 2.0
"""How often layers are looked at for what no operator of ours has changed: weights, frames, keyframes."""

Edits = tuple[FrameEdit, ...]

_due: float | None = None
_shown: dict[str, str | None] = {}
"""By shot: what was edited when its mask was last brought up to date, or first looked at."""
_looked_at = 0.0


@bpy.app.handlers.persistent
def forget(*_: object) -> None:
    """Another file, or the end: what was due no longer is."""
    global _due
    _due = None
    _shown.clear()


@bpy.app.handlers.persistent
def edited(*_: object) -> None:
    """Something was edited, undone or redone: the mask follows once there is a pause."""
    global _due
    _due = time.monotonic() + PAUSE_S


def start(target: bpy.types.Object, link: BackendLink, clip: StoredClip, *, quiet: bool = False) -> Task:
    """Begin to bring the mask of ``target`` in step with its edits; ``quiet`` says nothing if all goes well."""
    if linked.library_of(target) is not None:
        raise AddonError(f"The mesh of '{target.name}' comes from another file, and so does what is visible of it.")
    shot_id, folder, body = target.ex4d.shot_id, shot.folder_of(target), target.ex4d.mesh
    _shown[shot_id] = collect.signature(body) if body is not None else None  # not tried again if it fails

    def steps() -> Steps[int]:
        collecting = collect.collect_steps(lambda: shot.still_there(shot_id), folder)
        edits = yield from (_unless_busy(collecting) if quiet else collecting)
        return (yield from visible_files.refresh(link, clip, folder, edits))

    def deliver(_context: bpy.types.Context, count: int) -> Delivery:
        if count:
            _reload(shot.still_there(shot_id))
        message = "" if quiet else f"The visible faces of {count} frames were brought up to date."
        return Delivery(message, changes_scene=False)

    return session.get().start(TITLE, steps(), shot_id=shot_id, deliver=deliver, quiet=quiet)


def follow(context: bpy.types.Context) -> None:
    """Called by the timer: start once a pause has passed and nothing else is under way."""
    global _due, _looked_at
    now = time.monotonic()
    if (_due is None and now < _looked_at + LOOK_S) or (_due is not None and now < _due):
        return
    _looked_at = now
    current = session.get()
    windows = context.window_manager.windows
    scene: Any = windows[0].scene if windows else context.scene
    target = scene.ex4d.shot
    if not current.connected or target is None or target.name not in scene.objects or linked.library_of(target):
        _due = None  # the mask of a linked shot lies with the file it comes from
        return
    body = target.ex4d.mesh
    if current.tasks or _is_busy() or body is None or target.ex4d.arriving or thickness_weights.is_open(body):
        if _due is not None:
            edited()  # later
        return
    if not _is_news(target.ex4d.shot_id, collect.signature(body)):
        _due = None
        return
    if _due is None:
        edited()  # a slider may still be moving
        return
    _due = None
    try:
        start(target, current.require_link(), shot.stored_clip(target), quiet=True).watched_at = 0.0
    except AddonError as error:
        log.warning("the mask of visible faces is not updated: %s", error)


def _is_news(shot_id: str, signature: str | None) -> bool:
    """Whether the mask shows something else. What was never looked at counts as up to date, unless an edit is due."""
    if signature is None or (_due is not None and shot_id not in _shown):
        return _due is not None
    return _shown.setdefault(shot_id, signature) != signature


def _is_busy() -> bool:
    """Whether the user is in the middle of something that evaluating frames could disturb."""
    context = bpy.context
    if context.mode != "OBJECT" or bpy.app.is_job_running("RENDER"):
        return True
    return any(getattr(window, "modal_operators", ()) for window in context.window_manager.windows)


def _unless_busy(steps: Steps[Edits]) -> Steps[Edits]:
    """The same steps, with pauses while the user is busy."""
    while True:
        while _is_busy():
            yield None
        try:
            yield next(steps)
        except StopIteration as end:
            return end.value


def _reload(target: bpy.types.Object) -> None:
    """Have Blender read the pictures anew."""
    folder = shot.folder_of(target) / files.VISIBLE_FOLDER
    for image in bpy.data.images:
        if image.source == "SEQUENCE" and Path(bpy.path.abspath(image.filepath)).parent == folder:
            image.reload()
    if target.ex4d.mesh is not None:
        target.ex4d.mesh.update_tag()


listeners = Listeners((timer.ticked, follow), ("load_post", forget), ("undo_post", edited), ("redo_post", edited))
