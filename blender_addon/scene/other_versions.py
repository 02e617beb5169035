"""Files of another Blender version: keys and drivers of edit layers go on working.

From 5.2 the path of a modifier's input is another. Blender rewrites such paths in files of older versions (5.2 does not
where the modifier's name has a quotation mark), and cannot do so in files of newer ones: until 5.1 it keeps keys and
drivers with paths that lead nowhere, and layers stand at the weight they were saved with. So those of our layers are
rewritten here once a file is open.
"""

from collections.abc import Iterator
from typing import Any

import bpy

from ..work import compat
from ..work.addon import log
from ..work.hooks import Listeners
from . import keyframes, layers


@bpy.app.handlers.persistent
def _loaded(_path: object = None, _unused: object = None) -> None:
    for obj in bpy.data.objects:
        if obj.type == "MESH" and layers.stack(obj):
            count = mend(obj)
            if count:
                log.info("%d paths of keys and drivers of '%s' were another Blender's.", count, obj.name)


def mend(body: bpy.types.Object) -> int:
    """Give keys and drivers of the layers of ``body`` the paths of this Blender; returns how many had others."""
    starts = [layers.modifier_path(layer) for layer in layers.stack(body)]
    count = 0
    for curve in _curves(body):
        path: str = curve.data_path
        start = next((start for start in starts if path.startswith(start)), None)
        if start is not None and start + compat.own_input_path(path[len(start) :]) != path:
            curve.data_path = start + compat.own_input_path(path[len(start) :])
            count += 1
    if count:
        body.update_tag()
    return count


def _curves(body: bpy.types.Object) -> Iterator[Any]:
    yield from keyframes.fcurves(body)
    yield from body.animation_data.drivers if body.animation_data else ()


listeners = Listeners(("load_post", _loaded))
