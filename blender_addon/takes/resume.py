"""Takes that outlived their operator: found again after a reconnect, a restart, or when their .blend is opened."""

from pathlib import Path

import bpy
import numpy as np

from ..guides import coverage
from ..scene import shot
from ..work import session
from ..work.addon import log
from ..work.errors import AddonError
from ..work.hooks import Listeners
from ..work.identity import OpenTake
from ..work.tasks import Deliver, Delivery
from . import arrivals, compare, listing, receiving


def begin_all(_context: object = None) -> str:
    """After connecting: take up every take that was under way. Returns what there is to tell of it."""
    current = session.get()
    identity, link = current.identity, current.link
    if identity is None or link is None:
        return ""
    entries = list(identity.open_takes())
    for entry in entries:
        steps = receiving.resume(link, identity, entry)
        name = Path(entry.folder).name
        title, delivered = f"Generate {name}", deliverer(entry)
        task = current.start(title, steps, panel="Generate", shot_id=entry.shot_id, deliver=delivered)
        task.arrival = arrivals.FolderArrival(entry)
    return f"{len(entries)} take under way found again" if entries else ""


def deliverer(entry: OpenTake) -> Deliver:
    """What puts this take into the scene once it is on disk."""

    def deliver(context: bpy.types.Context, folder: Path) -> Delivery:
        if bpy.data.filepath != entry.blend_path:
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
        return Delivery(message, coverage.warnings(seen))

    return deliver


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
            try:
                listing.add(scene, target, shot.shot_camera(target, scene), folder)
            except AddonError as error:
                log.warning("take %s is not listed: %s", folder, error)
                continue
            take = scene.ex4d.takes[-1]
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


listeners = Listeners((session.connected, begin_all), ("load_post", _after_load))
