"""Looking at objects in a scene of their own: nothing else is evaluated, and the user's frame stays where it is."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import bpy

from ..work.errors import AddonError
from . import keyframes

OBJECT_CHANNELS = ("location", "rotation_euler", "rotation_quaternion", "rotation_axis_angle", "scale")
LENS_CHANNELS = ("lens", "shift_x", "shift_y", "sensor_width", "sensor_height")
HIDDEN = "hide_viewport"


@contextmanager
def scene_with(
    *objects: bpy.types.Object, name: str, timed_as: bpy.types.Scene | None = None
) -> Iterator[bpy.types.Scene]:
    """A scene with these objects and what they hang from; frame rate and time remapping are those of ``timed_as``.

    The objects themselves are evaluated there also where they are switched off in the viewport.
    """
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
        with switched_on(*objects):
            yield scene
    finally:
        bpy.data.scenes.remove(scene)


def is_absent(obj: bpy.types.Object, view_layer: bpy.types.ViewLayer | None = None) -> bool:
    """Whether Blender may not evaluate ``obj`` by itself in that view layer; None: the context's."""
    shown = obj.visible_get() if view_layer is None else obj.visible_get(view_layer=view_layer)
    return not shown or keyframes.varies(obj, HIDDEN)


@contextmanager
def evaluated(scene: bpy.types.Scene, *objects: bpy.types.Object) -> Iterator[None]:
    """Have ``scene`` evaluate these objects though they are switched off in the viewport or in no active collection.

    What they depend on (parents, targets, rigs, drivers) Blender then evaluates with them, hidden or not. Everything is
    put back, and with it what of the objects was changed and not keyed. Raises AddonError, naming the object, where
    that cannot be done.
    """
    channels = [(obj, OBJECT_CHANNELS) for obj in objects]
    lenses = [(obj.data, LENS_CHANNELS) for obj in objects if obj.type == "CAMERA"]
    absent = [obj for obj in objects if is_absent(obj)]
    with ExitStack() as stack:
        if absent:
            stack.enter_context(_linked_to(scene, absent))
            stack.enter_context(switched_on(*absent))
        stack.enter_context(kept([*channels, *lenses]))
        yield


@contextmanager
def _linked_to(scene: bpy.types.Scene, objects: list[bpy.types.Object]) -> Iterator[None]:
    """The objects in a collection of ``scene`` that is switched on, for as long as the block lasts."""
    collection = bpy.data.collections.new("EX-4D Evaluation")
    try:
        for obj in objects:
            try:
                collection.objects.link(obj)
            except RuntimeError as error:
                raise AddonError(f"'{obj.name}' is hidden and cannot be evaluated; show it.", str(error)) from error
        try:
            scene.collection.children.link(collection)
        except RuntimeError as error:
            names = ", ".join(f"'{obj.name}'" for obj in objects)
            raise AddonError(f"{names} cannot be evaluated while hidden; show it.", str(error)) from error
        yield
    finally:
        bpy.data.collections.remove(collection)


@contextmanager
def switched_on(*objects: bpy.types.Object) -> Iterator[None]:
    """The objects not switched off in the viewport, neither by hand nor by keys or drivers, during the block."""
    off = [obj for obj in objects if obj.hide_viewport or keyframes.varies(obj, HIDDEN)]
    curves = [
        curve
        for obj in off
        for curve in (*keyframes.fcurves(obj), *keyframes.drivers_of(obj))
        if curve.data_path == HIDDEN and not curve.mute
    ]
    before = [(obj, obj.hide_viewport) for obj in off]
    try:
        for curve in curves:
            curve.mute = True
        for obj in off:
            obj.hide_viewport = False
        yield
    finally:
        for obj, hidden in before:
            obj.hide_viewport = hidden
        for curve in curves:
            curve.mute = False


@contextmanager
def at_own_frame(scene: bpy.types.Scene) -> Iterator[None]:
    """Go back to the scene's frame, subframe and camera at the end: markers switch cameras as frames go by."""
    frame, subframe, camera = scene.frame_current, scene.frame_subframe, scene.camera
    try:
        yield
    finally:
        scene.frame_set(frame, subframe=subframe)
        if scene.camera != camera:
            scene.camera = camera


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
