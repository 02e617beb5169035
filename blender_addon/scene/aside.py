"""Looking at objects in a scene of their own: nothing else is evaluated, and the user's frame stays where it is."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import bpy

OBJECT_CHANNELS = ("location", "rotation_euler", "rotation_quaternion", "rotation_axis_angle", "scale")


@contextmanager
def scene_with(
    *objects: bpy.types.Object, name: str, timed_as: bpy.types.Scene | None = None
) -> Iterator[bpy.types.Scene]:
    """A scene with these objects and what they hang from; frame rate and time remapping are those of ``timed_as``."""
    scene = bpy.data.scenes.new(name)
    try:
        if timed_as is not None:
            for setting in ("fps", "fps_base", "frame_map_old", "frame_map_new"):
                setattr(scene.render, setting, getattr(timed_as.render, setting))
        linked: set[str] = set()
        for start in objects:
            above: bpy.types.Object | None = start
            while above is not None and above.name_full not in linked:
                scene.collection.objects.link(above)
                linked.add(above.name_full)
                above = above.parent
        yield scene
    finally:
        bpy.data.scenes.remove(scene)


@contextmanager
def kept(owners: Iterable[tuple[Any, tuple[str, ...]]]) -> Iterator[None]:
    """Put back the owners' properties of these names that were changed but not keyed.

    Without a window, evaluating another scene writes animation over them.
    """
    before = [(owner, name, _value(owner, name)) for owner, names in owners for name in names]
    try:
        yield
    finally:
        for owner, name, value in before:
            if _value(owner, name) != value:
                setattr(owner, name, value)


def _value(owner: Any, name: str) -> Any:
    value = getattr(owner, name)
    return value if isinstance(value, float) else tuple(value)


def depsgraph_at(scene: bpy.types.Scene, frame: int) -> bpy.types.Depsgraph:
    """What the scene evaluates to at ``frame``."""
    scene.frame_set(frame)
    layer = scene.view_layers[0]
    layer.update()
    return layer.depsgraph
