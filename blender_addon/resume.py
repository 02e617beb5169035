"""Takes that outlived their operator: found again after a reconnect, a restart, or when their .blend is opened."""

from __future__ import annotations

import logging
from pathlib import Path

import bpy

from . import arrivals, compare, coverage, session, shot, take_jobs, takes
from .errors import AddonError
from .identity import OpenTake
from .tasks import Deliver, Delivery

log = logging.getLogger(__package__)


def begin_all() -> int:
    """After connecting: take up every take that was under way. Returns how many."""
    current = session.get()
    identity, link = current.identity, current.link
    if identity is None or link is None:
        return 0
    entries = list(identity.open_takes())
    for entry in entries:
        steps = take_jobs.resume(link, identity, entry)
        name = Path(entry.folder).name
        task = current.start(f"Generate {name}", steps, shot_id=entry.shot_id, deliver=deliverer(entry))
        target = shot.by_id(entry.shot_id)
        task.arrival = arrivals.Arrival(entry, num_frames=target.ex4d.num_frames if target is not None else 0)
    return len(entries)


def deliverer(entry: OpenTake) -> Deliver:
    """What puts this take into the scene once it is on disk."""

    def deliver(context: bpy.types.Context, result: take_jobs.GeneratedTake) -> Delivery:
        if bpy.data.filepath != entry.blend_path:
            where = Path(entry.blend_path).name or "its file"
            return Delivery(f"{result.folder.name} is finished; open {where} to see it (files: {result.folder}).")
        target = shot.still_there(entry.shot_id)
        coverage.store(target, result.coverage)
        facts = takes.TakeFacts(
            folder=result.folder,
            engine=entry.engine,
            seed=entry.seed,
            settings=dict(entry.settings),
            mean_coverage=float(result.coverage.mean()) if result.coverage.size else 0.0,
            num_frames=result.num_frames,
            frame_start=entry.frame_start,
        )
        scene = shot.scene_of(target, context.scene)
        if scene.ex4d.compare_shot == entry.shot_id:
            compare.stop(scene, target)
        takes.add(scene, target, shot.shot_camera(target, scene), facts)
        message = f"{result.folder.name}: {result.num_frames} frames by the {entry.engine} engine."
        return Delivery(message, coverage.warnings(result.coverage))

    return deliver


def find_unlisted(scene: bpy.types.Scene) -> list[str]:
    """List takes in the shots' folders that the scene does not know; returns their names.

    They are there when Blender ended between the last frame and the next save, were finished while another file was
    open, or ended early with some of their frames.
    """
    added = []
    known = {Path(bpy.path.abspath(take.folder)).resolve() for take in scene.ex4d.takes}
    for target in [o for o in scene.objects if o.ex4d.is_shot]:
        for folder in takes.folders_below(shot.output_folder(target)):
            if folder.resolve() in known:
                continue
            try:
                takes.add(scene, target, shot.shot_camera(target, scene), takes.facts_of(folder, target))
            except AddonError as error:
                log.warning("take %s is not listed: %s", folder, error)
                continue
            found = scene.ex4d.takes[-1]
            part = f" ({found.arrived} of {found.num_frames} frames)" if found.partial else ""
            added.append(f"{folder.name}{part}")
    return added
