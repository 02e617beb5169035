"""The marked objects of a scene as live views need them: on every frame of the shot, without touching the user's frame.

They are looked at in a scene of their own, a frame at a step, so that Blender stays fluid; what they depend on is
evaluated with them. The result is what a guides job would be given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..guides.objects import Track
from ..jobs.object_uploads import SceneObject
from ..scene.aside import OBJECT_CHANNELS, depsgraph_at, kept, scene_with
from ..scene.roles import marked
from ..work.tasks import Steps, TaskProgress

Find = Callable[[], tuple[bpy.types.Scene, bpy.types.Object]]
"""The user's scene and the shot, found anew. Raises AddonError if they are gone."""


@dataclass(frozen=True)
class Standing:
    """How the marked objects stand at a frame: what tells that somebody has moved one."""

    frame: int
    objects: tuple[object, ...]


def standing(scene: bpy.types.Scene) -> Standing:
    """Name, role and own placement of each marked object, as they are now; evaluates nothing."""
    placed = ((obj.name, obj.ex4d.role, *(value for row in obj.matrix_basis for value in row)) for obj in marked(scene))
    return Standing(scene.frame_current, tuple(placed))


def collect_steps(find: Find, folder: Path) -> Steps[tuple[SceneObject, ...]]:
    """As :func:`guides.objects.collect`, one frame a step. An object that goes or comes in between counts next time."""
    scene, shot = find()
    tracks = {obj.name: Track(obj.name, obj.ex4d.role) for obj in marked(scene)}
    count = shot.ex4d.num_frames
    for index in range(count if tracks else 0):
        scene, shot = find()
        there = {obj.name: obj for obj in marked(scene) if obj.name in tracks}
        tracks = {name: track for name, track in tracks.items() if name in there}
        frame = shot.ex4d.frame_start + index
        watched = (shot, *there.values())
        owners = [(obj, OBJECT_CHANNELS) for obj in watched]
        with scene_with(*watched, name="EX-4D Objects", timed_as=scene) as aside, kept(owners):
            depsgraph = depsgraph_at(aside, frame)
            shot_from_world = np.linalg.inv(np.array(shot.evaluated_get(depsgraph).matrix_world))
            for name, track in tracks.items():
                track.add(there[name], depsgraph, shot_from_world, frame, count)
        yield TaskProgress("looking at guide objects", index + 1, count)
    return tuple(track.stored(folder) for track in tracks.values())
