"""What an artist changes of a place's planes: some are removed, added, or keep only their smooth colours."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from ex4d.fill.planes import Plane, added_plane
from ex4d.fill.plate import Plate
from ex4d_ground.arrays import Float64
from ex4d_ground.errors import SettingError
from ex4d_ground.planes import PlaneEdit, equation, is_same
from ex4d_ground.poses import inverse

LEAST_ADDED = 0.01
"""Share of the picture that an added plane must show: its texture is made up from that."""
LEVEL, SIDEWAYS = 0.7, 0.7
"""How much of a floor's normal points down, and of a side wall's to the side."""
LEAST_DISTANCE = 1e-6


def named(planes: Sequence[Plane], down: Float64, taken: Iterable[str] = ()) -> list[Plane]:
    """The planes with names by their directions, none of them ``taken``; several of one direction are numbered."""
    names: list[str] = [*taken, *(plane.name for plane in planes)]
    out: list[Plane] = []
    for plane in planes:
        if not plane.name:
            plain, count = _direction(plane.normal, down), 1
            name = plain
            while name in names:
                count += 1
                name = f"{plain} {count}"
            names.append(name)
            plane = replace(plane, name=name)
        out.append(plane)
    return out


def _direction(normal: Float64, down: Float64) -> str:
    """Of a normal that points away from the camera, in its axes."""
    if abs(normal @ down) > LEVEL:
        return "floor" if normal @ down > 0 else "ceiling"
    if abs(normal[0]) > SIDEWAYS:
        return "right wall" if normal[0] > 0 else "left wall"
    return "back wall"


def edited(
    found: Sequence[Plane],
    plate: Plate,
    edits: Sequence[PlaneEdit],
    *,
    down: Float64,  # [3]
    shown: Callable[[Plane], float],
) -> list[Plane]:
    """``found``, which have names, with ``edits``. Raises SettingError where one is of no plane that there is.

    ``shown`` tells the share of the picture that shows a plane whole.
    """
    planes, added = list(found), []
    for edit in edits:
        if edit.what == "add":
            added.append(_added(edit, plate, shown))
            continue
        at = _matching(found, edit, plate)
        if edit.what == "smooth":
            planes = [replace(each, texture="smooth") if each.name == at.name else each for each in planes]
        else:
            planes = [each for each in planes if each.name != at.name]
    return [*planes, *named(added, down, [plane.name for plane in found])]


def in_world(plane: Plane, plate: Plate) -> tuple[Float64, float]:
    """Normal and distance in the clip's world of a plane in the plate's axes."""
    normal = plate.world_from_camera[:3, :3] @ plane.normal
    return normal, float(plane.distance + normal @ plate.world_from_camera[:3, 3])


def _in_plate(edit: PlaneEdit, plate: Plate) -> tuple[Float64, float]:
    """Normal, away from the camera, and distance from it."""
    there = inverse(plate.world_from_camera)
    normal = there[:3, :3] @ np.array(edit.normal)
    distance = float(edit.distance + normal @ there[:3, 3])
    return (normal, distance) if distance >= 0 else (-normal, -distance)


def _matching(found: Sequence[Plane], edit: PlaneEdit, plate: Plate) -> Plane:
    """The plane of that name, or the nearest one within the tolerance."""
    if edit.name:
        alike = [plane for plane in found if plane.name == edit.name]
    else:
        normal, distance = _in_plate(edit, plate)
        near = [plane for plane in found if is_same(normal, distance, plane.normal, plane.distance)]
        alike = sorted(near, key=lambda plane: abs(plane.distance - distance))
    if not alike:
        there = [f"{plane.name} ({equation(*in_world(plane, plate))})" for plane in found]
        raise SettingError(
            f"planes says '{edit.text}', but the place has no such plane; "
            + (f"it has {', '.join(there)}." if there else "it has none.")
        )
    return alike[0]


def _added(edit: PlaneEdit, plate: Plate, shown: Callable[[Plane], float]) -> Plane:
    normal, distance = _in_plate(edit, plate)
    if distance < LEAST_DISTANCE:
        raise SettingError(f"planes says '{edit.text}', but that plane goes through the camera; move it away from it.")
    plane = added_plane(plate.inverse, plate.lens, normal / distance)
    share = shown(plane)
    if share <= LEAST_ADDED:
        raise SettingError(
            f"planes says '{edit.text}', but {100 * share:.1f} % of the clip's picture lies there; a plane needs more "
            f"than {100 * LEAST_ADDED:.0f} %, of which its texture is made."
        )
    return replace(plane, texture=edit.texture, added=True)
