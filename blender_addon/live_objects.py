"""The marked objects of a scene as live views need them: on every frame of the shot, without touching the user's frame.

They are looked at in a scene of their own, a frame at a step, so that Blender stays fluid; what they depend on is
evaluated with them. The result is what a guides job would be given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import guide_objects
from .live_camera import OBJECT_CHANNELS
from .object_upload import SceneObject
from .tasks import Progress, Steps

Find = Callable[[], tuple[bpy.types.Scene, bpy.types.Object]]
"""The user's scene and the shot, found anew. Raises AddonError if they are gone."""


def collect_steps(find: Find, folder: Path) -> Steps[tuple[SceneObject, ...]]:
    """As :func:`guide_objects.collect`, one frame a step. An object that goes or comes in between counts next time."""
    scene, shot = find()
    tracks = {obj.name: guide_objects.Track(obj.name, obj.ex4d.role) for obj in guide_objects.marked(scene)}
    count = shot.ex4d.num_frames
    for index in range(count if tracks else 0):
        scene, shot = find()
        there = {obj.name: obj for obj in guide_objects.marked(scene) if obj.name in tracks}
        tracks = {name: track for name, track in tracks.items() if name in there}
        frame = shot.ex4d.frame_start + index
        with _aside(scene, (shot, *there.values())) as aside, _kept((shot, *there.values())):
            aside.frame_set(frame)
            layer = aside.view_layers[0]
            layer.update()
            depsgraph = layer.depsgraph
            shot_from_world = np.linalg.inv(np.array(shot.evaluated_get(depsgraph).matrix_world))
            for name, track in tracks.items():
                track.add(there[name], depsgraph, shot_from_world, frame, count)
        yield Progress("looking at guide objects", index + 1, count)
    return tuple(track.stored(folder) for track in tracks.values())


@contextmanager
def _aside(scene: bpy.types.Scene, objects: tuple[bpy.types.Object, ...]) -> Iterator[bpy.types.Scene]:
    """A scene with these objects and what they hang from, timed like ``scene``."""
    aside = bpy.data.scenes.new("EX-4D Objects")
    try:
        render, timed = aside.render, scene.render
        render.fps, render.fps_base = timed.fps, timed.fps_base
        render.frame_map_old, render.frame_map_new = timed.frame_map_old, timed.frame_map_new
        linked: set[str] = set()
        for start in objects:
            above: bpy.types.Object | None = start
            while above is not None and above.name_full not in linked:
                aside.collection.objects.link(above)
                linked.add(above.name_full)
                above = above.parent
        yield aside
    finally:
        bpy.data.scenes.remove(aside)


@contextmanager
def _kept(objects: tuple[bpy.types.Object, ...]) -> Iterator[None]:
    """Put back what was changed but not keyed: without a window, evaluating another scene writes animation over it."""
    before: list[tuple[Any, str, tuple[float, ...]]] = [
        (obj, name, tuple(getattr(obj, name))) for obj in objects for name in OBJECT_CHANNELS
    ]
    try:
        yield
    finally:
        for obj, name, value in before:
            if tuple(getattr(obj, name)) != value:
                setattr(obj, name, value)
