"""Occlusion paint: which faces count as seen or hidden, whatever their shape says.

Paint is INT8 FACE attributes of the mesh: one for the whole shot and one per painted range of source frames, named by
it. Where ranges overlap, the one painted on fewer frames wins. The backend decides the faces that nobody painted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from . import mesh
from .errors import AddonError

Int8 = NDArray[np.int8]

AUTO, VISIBLE, OCCLUDED = 0, 1, 2
"""Flags as the protocol has them."""
EXPLICIT_AUTO = 3
"""On some frames only: automatic here, though the whole shot says otherwise. Never leaves this module."""

WHOLE_SHOT = "ex4d_occlusion"
_RANGE = re.compile(rf"{WHOLE_SHOT}_(\d+)_(\d+)")


@dataclass(frozen=True)
class Span:
    """Source frames ``first`` to ``last``, 0-based, both included."""

    first: int
    last: int

    @property
    def attribute(self) -> str:
        """The attribute that holds these frames' paint."""
        return f"{WHOLE_SHOT}_{self.first:04d}_{self.last:04d}"


def paint(
    data: bpy.types.Mesh,
    faces: NDArray[np.bool_],  # [F]
    flag: int,
    span: Span | None,
) -> int:
    """Give ``faces`` a flag in ``span``, or in the whole shot; Object Mode only. Returns how many faces were given it.

    Painting the whole shot takes the faces out of every range. Raises AddonError if no face is chosen.
    """
    count = int(faces.sum())
    if not count:
        raise AddonError("No face is selected; select the faces to paint in Edit Mode.")
    if span is None:
        _write(data, WHOLE_SHOT, faces, flag)
        for other in spans(data):
            _write(data, other.attribute, faces, AUTO)
        return count
    for other in spans(data):
        if span.first <= other.first and other.last <= span.last and other != span:
            _write(data, other.attribute, faces, AUTO)
    _write(data, span.attribute, faces, EXPLICIT_AUTO if flag == AUTO else flag)
    return count


def spans(data: bpy.types.Mesh) -> list[Span]:
    """The painted ranges, widest first: the order in which they are laid over each other."""
    found = [_RANGE.fullmatch(attribute.name) for attribute in data.attributes]
    ranges = [Span(int(match[1]), int(match[2])) for match in found if match]
    return sorted(ranges, key=lambda span: (span.first - span.last, span.first))


def attributes(data: bpy.types.Mesh) -> list[bpy.types.Attribute]:
    """Everything painted, by name."""
    found = [each for each in data.attributes if each.name == WHOLE_SHOT or _RANGE.fullmatch(each.name)]
    return sorted((each for each in found if each.data_type == "INT8"), key=lambda each: each.name)


def flags_at(data: bpy.types.Mesh, frame: int) -> Int8 | None:  # [F]
    """The flags of source frame ``frame``; None if nothing is painted there."""
    out = _read(data, WHOLE_SHOT)
    for span in spans(data):
        if span.first <= frame <= span.last:
            over = _read(data, span.attribute)
            if over is not None:
                out = over if out is None else np.where(over != AUTO, over, out)
    if out is None:
        return None
    flags = np.where(out == EXPLICIT_AUTO, AUTO, out).astype(np.int8)
    return flags if flags.any() else None


def selected_faces(data: bpy.types.Mesh) -> NDArray[np.bool_]:  # [F]
    """The faces selected in Edit Mode, as Object Mode remembers them."""
    out = np.empty(len(data.polygons), np.bool_)
    data.polygons.foreach_get("select", out)
    return out


def selected_vertices(data: bpy.types.Mesh) -> NDArray[np.bool_]:  # [V]
    """The vertices selected in Edit Mode, as Object Mode remembers them."""
    out = np.empty(len(data.vertices), np.bool_)
    data.vertices.foreach_get("select", out)
    return out


def select_painted(data: bpy.types.Mesh, frame: int, flag: int) -> int:
    """Select exactly the faces with ``flag`` at source frame ``frame``; returns how many. Object Mode only."""
    flags = flags_at(data, frame)
    chosen = np.zeros(len(data.polygons), np.bool_) if flags is None else flags == flag
    select(data, chosen)
    return int(chosen.sum())


def select(data: bpy.types.Mesh, faces: NDArray[np.bool_]) -> None:  # [F]
    """Select exactly ``faces`` of the grid and their vertices; Object Mode only."""
    corners = np.empty(len(data.loops), np.int32)
    data.loops.foreach_get("vertex_index", corners)
    vertices = np.zeros(len(data.vertices), np.bool_)
    vertices[corners.reshape(-1, 3)[faces]] = True
    ends = np.empty(2 * len(data.edges), np.int32)
    data.edges.foreach_get("vertices", ends)
    joined = vertices[ends.reshape(-1, 2)].all(axis=1)
    mesh.clear_selection(data)
    for name, domain, chosen in (
        (".select_vert", "POINT", vertices),
        (".select_edge", "EDGE", joined),
        (".select_poly", "FACE", faces),
    ):
        data.attributes.new(name, "BOOLEAN", domain).data.foreach_set("value", chosen)
    data.update()


def _read(data: bpy.types.Mesh, name: str) -> Int8 | None:
    attribute = data.attributes.get(name)
    if attribute is None or attribute.data_type != "INT8" or attribute.domain != "FACE":
        return None
    out = np.empty(len(attribute.data), np.int8)
    attribute.data.foreach_get("value", out)
    return out


def _write(data: bpy.types.Mesh, name: str, faces: NDArray[np.bool_], flag: int) -> None:
    """Set the flag on ``faces``; an attribute with nothing left in it is removed."""
    values = _read(data, name)
    if values is None:
        if flag == AUTO:
            return
        values = np.zeros(len(data.polygons), np.int8)
    values[faces] = flag
    attribute = data.attributes.get(name)
    if not values.any():
        if attribute is not None:
            data.attributes.remove(attribute)
        return
    if attribute is None:
        attribute = data.attributes.new(name, "INT8", "FACE")
    attribute.data.foreach_set("value", values)
