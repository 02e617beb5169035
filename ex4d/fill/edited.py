"""What an artist changes of a place's planes: some are removed, added, or keep only their smooth colours."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ex4d.fill.names import added_names
from ex4d.fill.planes import Plane, Samples, added_plane
from ex4d.fill.plate import Plate
from ex4d_ground.arrays import Float64
from ex4d_ground.errors import SettingError
from ex4d_ground.planes import PlaneEdit, equation, is_same
from ex4d_ground.poses import inverse

LEAST_ADDED = 0.01
"""Share of the picture that an added plane must show: its texture is made up from that."""
PART_ANGLE_DEG, PART_DISTANCE = 1.0, 0.01
"""Within this angle, and this share of the distance, a statement tells a plane that is another one's part now."""
LEAST_DISTANCE = 1e-6


def edited(
    found: Sequence[Plane],
    plate: Plate,
    edits: Sequence[PlaneEdit],
    *,
    samples: Samples,
    down: Float64,  # [3]
    shown: Callable[[Plane], float],
) -> list[Plane]:
    """``found`` with ``edits``. Raises SettingError where one is of no plane that there is.

    ``samples`` are those of the plate; ``shown`` tells the share of it that shows a plane whole.
    """
    planes, added = list(found), []
    for edit in edits:
        if edit.what == "add":
            added.append(_added(edit, plate, samples, shown))
            continue
        at = _matching(found, edit, plate)
        if edit.what == "smooth":
            planes = [replace(each, texture="smooth") if each.name == at.name else each for each in planes]
        else:
            planes = [each for each in planes if each.name != at.name]
    return [*planes, *added_names(added, down)]


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
        alike = _near(found, edit, plate)
    if not alike:
        there = [_told(plane, plate) for plane in found]
        raise SettingError(
            f"planes says '{edit.text}', but the place has no such plane; "
            + (f"it has {', '.join(there)}." if there else "it has none.")
        )
    return alike[0]


def _told(plane: Plane, plate: Plate) -> str:
    return f"{plane.name} ({equation(*in_world(plane, plate))})"


def _near(found: Sequence[Plane], edit: PlaneEdit, plate: Plate) -> list[Plane]:
    """The planes that an equation may tell, the nearest first. Raises SettingError where it tells a part of one."""
    normal, distance = _in_plate(edit, plate)
    whole = [p for p in found if is_same(normal, distance, p.normal, p.distance)]
    exact = {"angle_deg": PART_ANGLE_DEG, "share": PART_DISTANCE}
    parts = [p for p in found for part in p.parts if is_same(normal, distance, part.normal, part.distance, **exact)]
    if parts and not any(is_same(normal, distance, p.normal, p.distance, **exact) for p in whole):
        raise SettingError(
            f"planes says '{edit.text}', but that is no plane of its own any more: it is the same wall as "
            f"{_told(parts[0], plate)}; leave it out, or say {parts[0].name} if all of that is meant."
        )
    return sorted(whole, key=lambda plane: abs(plane.distance - distance))


def _added(edit: PlaneEdit, plate: Plate, samples: Samples, shown: Callable[[Plane], float]) -> Plane:
    normal, distance = _in_plate(edit, plate)
    if distance < LEAST_DISTANCE:
        raise SettingError(f"planes says '{edit.text}', but that plane goes through the camera; move it away from it.")
    plane = added_plane(samples, normal / distance)
    share = shown(plane)
    if share <= LEAST_ADDED:
        raise SettingError(
            f"planes says '{edit.text}', but {100 * share:.1f} % of the clip's picture lies there; a plane needs more "
            f"than {100 * LEAST_ADDED:.0f} %, of which its texture is made."
        )
    return replace(plane, texture=edit.texture, added=True)
