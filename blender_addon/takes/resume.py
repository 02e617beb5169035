"""Takes that outlived their operator: found again after a reconnect, a restart, or when their .blend is opened."""

from pathlib import Path

import bpy
import numpy as np

from ex4d_ground.takes import TakeInfo
from ex4d_protocol.messages import JobState

from ..camera import move
from ..guides import coverage
from ..scene import shot
from ..work import session, unsaved
from ..work.addon import log
from ..work.errors import AddonError
from ..work.hooks import Listeners
from ..work.identity import OpenTake
from ..work.operators import LongOperator
from ..work.tasks import Deliver, Delivery, Task
from . import arrivals, compare, listing, receiving

RECEIVE = "Receive Waiting Takes"
"""Label of the button."""


def begin_all(_context: object = None) -> str:
    """After connecting: take up every take that was under way. Returns what there is to tell of it."""
    current = session.get()
    identity, link = current.identity, current.link
    if identity is None or link is None:
        return ""
    entries = list(identity.open_takes())
    for entry in entries:
        steps = receiving.resume(link, identity, entry, backend=current.backend_name)
        name = Path(entry.folder).name
        title, delivered = f"Generate {name}", deliverer(entry)
        task = current.start(title, steps, panel="Takes", shot_id=entry.shot_id, deliver=delivered)
        task.arrival = arrivals.FolderArrival(entry)
    notes = [f"{len(entries)} take{'s' if len(entries) > 1 else ''} under way found again"] if entries else []
    count = len(waiting_jobs())
    if count:
        what = "a take that no file knows waits" if count == 1 else f"{count} takes that no file knows wait"
        notes.append(f"{what} at the backend: '{RECEIVE}' fetches {'it' if count == 1 else 'them'}")
        current.tell(f"{notes[-1][:1].upper()}{notes[-1][1:]}.")
    return "; ".join(notes)


def waiting_jobs() -> list[JobState]:
    """Takes that the backend has made or is making for this Blender, and that nobody here waits for."""
    current = session.get()
    if current.link is None or current.identity is None:
        return []
    known = {*current.link.client.jobs, *(entry.job_id for entry in current.identity.open_takes())}
    return [
        state
        for state in current.waiting
        if state.kind == "Generate" and state.phase not in ("failed", "cancelled") and state.job_id not in known
    ]


def _require_waiting(_context: object) -> None:
    if not waiting_jobs():
        raise AddonError("The backend holds no take that is not here already.")


class EX4D_OT_receive_takes(LongOperator, bpy.types.Operator):
    """Fetch takes that the backend still holds for this Blender and that no file waits for, into the shot's folder"""

    bl_label = RECEIVE
    bl_options = {"UNDO"}
    panel = "Takes"
    requires = (_require_waiting,)

    def begin(self, context: bpy.types.Context) -> Task:
        current, target = session.get(), shot.active_shot(context)
        link, identity = current.require_link(), current.require_identity()
        shot_id, folder = target.ex4d.shot_id, str(shot.output_folder(target))
        entries = [
            OpenTake(
                job_id=state.job_id,
                shot_id=shot_id,
                blend_path=bpy.data.filepath,
                folder=folder,
                engine="",  # the take says it when it comes
                seed=0,
                settings={},
                backend=current.backend_name,
            )
            for state in waiting_jobs()
        ]
        steps = receiving.receive_waiting(link, identity, entries, backend=current.backend_name)

        def deliver(context: bpy.types.Context, folders: list[Path]) -> Delivery:
            there = shot.still_there(shot_id)
            scene = shot.scene_of(there, context.scene)
            for each in folders:
                listing.add(scene, there, shot.shot_camera(there, scene), each)
            return Delivery(f"Received from the backend: {', '.join(each.name for each in folders)}.")

        return current.start("Receive takes", steps, panel="Takes", shot_id=shot_id, deliver=deliver)


def deliverer(entry: OpenTake) -> Deliver:
    """What puts this take into the scene once it is on disk."""

    def deliver(context: bpy.types.Context, folder: Path) -> Delivery:
        if not unsaved.is_open(entry.blend_path):
            where = Path(entry.blend_path).name or "its file"
            return Delivery(f"{folder.name} is finished; open {where} to see it (files: {folder}).")
        target = shot.still_there(entry.shot_id)
        info = listing.read_info(folder)
        seen = np.array(info.coverage)
        coverage.store(target, seen)
        scene = shot.scene_of(target, context.scene)
        if scene.ex4d.compare_shot == entry.shot_id:
            compare.stop(scene, target)
        listing.add(scene, target, shot.shot_camera(target, scene), folder)
        message = f"{folder.name}: {info.num_frames} frames by the {entry.engine} engine."
        return Delivery(message, (*coverage.warnings(seen), *_silent(target, info)))

    return deliver


def _silent(target: bpy.types.Object, info: TakeInfo) -> tuple[str, ...]:
    """A sentence where the clip has sound and the take has not."""
    if not target.ex4d.has_sound or info.footage.sound:
        return ()
    return ("The clip's sound is left out of this take: its move does not follow the clip's time.",)


def find_unlisted(scene: bpy.types.Scene) -> list[str]:
    """List takes in the shots' folders that the scene does not know; returns their names.

    They are there when Blender ended between the last frame and the next save, were finished while another file was
    open, or ended early with some of their frames.
    """
    added = []
    known = {Path(bpy.path.abspath(take.folder)).resolve() for take in scene.ex4d.takes}
    for target in [o for o in scene.objects if o.ex4d.is_shot]:
        for folder in listing.folders_below(shot.output_folder(target)):
            if folder.resolve() in known:
                continue
            listed = len(scene.ex4d.takes)
            try:
                listing.add(scene, target, shot.shot_camera(target, scene), folder)
            except AddonError as error:
                log.warning("take %s is not listed: %s", folder, error)
            except Exception as error:  # noqa: BLE001  what one file says must not hide the takes after it
                log.warning("take %s is not listed: its description cannot be used (%s)", folder, error)
            if len(scene.ex4d.takes) == listed:
                continue
            take = scene.ex4d.takes[-1]
            if take.plane is None:  # it was given up half-way
                listing.remove(scene, take)
                continue
            part = f" ({take.arrived} of {take.num_frames} frames)" if take.partial else ""
            added.append(f"{folder.name}{part}")
    return added


@bpy.app.handlers.persistent
def _after_load(_path: object = None) -> None:
    """List finished takes of the opened file's shots that were not there when it was saved."""
    if not hasattr(bpy.types.Scene, "ex4d"):
        return
    names = [name for scene in bpy.data.scenes for name in find_unlisted(scene)]
    if names:
        session.get().tell(f"Found takes that this file did not list: {', '.join(names)}.")


def _hide_takes(scene: bpy.types.Scene, target: bpy.types.Object, _cam: bpy.types.Object) -> None:
    """The shot is seen through another camera: takes hang before the one they were made with, and are put aside."""
    compared = scene.ex4d.compare_shot == target.ex4d.shot_id
    taken = next((take for take in scene.ex4d.takes if take.shot_id == target.ex4d.shot_id), None)
    if taken is not None and not compared:
        listing.show_only(scene, taken, visible=False)


listeners = Listeners((session.connected, begin_all), (move.camera_made, _hide_takes), ("load_post", _after_load))
