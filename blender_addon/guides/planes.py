"""The planes of a shot's place: as the backend found them, and what an artist changes of them. Kept with the shot.

An empty list, and one whose planes all have their tick and are the clip's own, means: as found.
"""

from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.errors import SettingError
from ex4d_ground.planes import PlaneEdit, PlaneInfo, as_vector, equation, is_same, read, written

from ..work.errors import AddonError

SETTING = "planes"
"""The preview engine's setting that these make."""
ADDED = "Added"
"""Name of a plane that the backend has not seen yet."""


def edits(shot: bpy.types.Object) -> tuple[PlaneEdit, ...]:
    """What is changed of the planes that are found; told by equations, so that it holds after another solve."""
    return tuple(edit for item in shot.ex4d.planes for edit in _edits_of(item))


def _edits_of(item: bpy.types.PropertyGroup) -> Iterable[PlaneEdit]:
    where: dict[str, Any] = {"normal": as_vector(item.normal), "distance": item.distance}
    if item.added:
        if item.use:
            yield PlaneEdit(what="add", texture=item.texture.lower(), **where)
    elif not item.use:
        yield PlaneEdit(what="remove", **where)
    elif item.texture == "SMOOTH":
        yield PlaneEdit(what="smooth", **where)


def text(shot: bpy.types.Object) -> str:
    """The same as the engine's setting; "" means as found."""
    return written(edits(shot))


def chosen(settings: dict[str, Any], shot: bpy.types.Object) -> dict[str, Any]:
    """An engine's settings with the shot's planes, where it knows any."""
    return {**settings, SETTING: text(shot)} if SETTING in settings else settings


def take(shot: bpy.types.Object, found: Iterable[PlaneInfo]) -> None:
    """Keep what the backend found with the present changes; those that are off, which it does not name, stay."""
    waiting = list(found)
    kept = []
    for item in map(_values, shot.ex4d.planes):
        match = next((info for info in waiting if _is_of(info, item)), None)
        if match is not None:
            waiting.remove(match)
            kept.append({**item, **_of(match), "use": True})
        elif item["added"] or not item["use"]:
            kept.append(item)
    _put(shot, [*kept, *({**_of(info), "use": True} for info in waiting)])


def restore(shot: bpy.types.Object, setting: str) -> None:
    """Make the list say what a take's setting says. Raises AddonError for what it cannot say."""
    try:
        asked = read(setting)
    except SettingError as error:
        raise AddonError(error.text("panel")) from error
    items = [{**item, "use": True, "texture": "CLIP"} for item in map(_values, shot.ex4d.planes) if not item["added"]]
    for edit in asked:
        if edit.what == "add":
            items.append(_bare(edit) | {"added": True, "texture": edit.texture.upper()})
            continue
        meant = [each for each in items if _is_meant(edit, each)]
        item = min(meant, key=lambda each: abs(each["distance"] - edit.distance), default=None)
        if item is None:
            if edit.name:
                raise AddonError(
                    f"The take changes the plane '{edit.name}', which is not in the list; Render Guides lists those "
                    "that there are."
                )
            items.append(item := _bare(edit))
        item.update({"use": False} if edit.what == "remove" else {"texture": "SMOOTH"})
    _put(shot, items)


def add(shot: bpy.types.Object, points: Float64) -> bpy.types.PropertyGroup:  # [n, 3] in the clip's world
    """Add the plane that fits these points best. Raises AddonError if they lie on a line, or are too few."""
    centre = points.mean(axis=0) if len(points) else np.zeros(3)
    spread, axes = np.linalg.svd(points - centre, full_matrices=False)[1:] if len(points) > 2 else (np.zeros(3), None)
    if axes is None or spread[1] < 1e-4 * spread[0] or not spread[0] > 0:
        raise AddonError(f"The {len(points)} selected vertices make no plane; select three or more, not on a line.")
    normal = axes[2] if axes[2] @ centre >= 0 else -axes[2]
    reach = float(np.abs((points - centre) @ axes[:2].T).max())
    where = {"normal": as_vector(normal), "distance": float(normal @ centre), "centre": as_vector(centre)}
    item = shot.ex4d.planes.add()
    for name, value in {**where, "name": ADDED, "reach": reach, "added": True}.items():
        setattr(item, name, value)
    shot.ex4d.active_plane = len(shot.ex4d.planes) - 1
    return item


def told(item: bpy.types.PropertyGroup) -> str:
    """Normal and distance in the clip's world."""
    return equation(item.normal, item.distance)


FIELDS = ("name", "normal", "distance", "share", "texture", "added", "centre", "reach", "use")


def _values(item: bpy.types.PropertyGroup) -> dict[str, Any]:
    values = {name: getattr(item, name) for name in FIELDS}
    return values | {name: as_vector(values[name]) for name in ("normal", "centre")}


def _of(info: PlaneInfo) -> dict[str, Any]:
    return {name: getattr(info, name) for name in FIELDS if name != "use"} | {"texture": info.texture.upper()}


def _bare(edit: PlaneEdit) -> dict[str, Any]:
    centre = as_vector(np.array(edit.normal) * edit.distance)
    return {"name": ADDED if edit.what == "add" else edit.plane, "normal": edit.normal, "distance": edit.distance,
            "centre": centre, "reach": abs(edit.distance), "use": True, "added": False, "texture": "CLIP"}  # fmt: skip


def _is_of(info: PlaneInfo, item: dict[str, Any]) -> bool:
    """Never of one that is off: what was found beside it is another plane, however near."""
    if not item["use"] or info.added != item["added"]:
        return False
    same = is_same(info.normal, info.distance, item["normal"], item["distance"])
    return same or (not info.added and info.name == item["name"])


def _is_meant(edit: PlaneEdit, item: dict[str, Any]) -> bool:
    if edit.name:
        return item["name"] == edit.name
    return is_same(edit.normal, edit.distance, item["normal"], item["distance"])


def _put(shot: bpy.types.Object, items: list[dict[str, Any]]) -> None:
    shot.ex4d.planes.clear()
    for values in items:
        item = shot.ex4d.planes.add()
        for name, value in values.items():
            setattr(item, name, value)
    shot.ex4d.active_plane = min(shot.ex4d.active_plane, max(len(items) - 1, 0))
