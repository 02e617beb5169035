"""What people paint on parts of a shot's mesh, as mesh attributes: for the whole shot and for ranges of its frames.

Each kind of paint has one attribute for the whole shot and one per painted range of source frames, named by it. Where
ranges overlap, the one painted on fewer frames wins. Zero means "not painted here".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import bpy
import numpy as np
from numpy.typing import NDArray

from ex4d_ground.arrays import Bool

from ..scene.mesh import values_of

Values = NDArray[Any]


@dataclass(frozen=True)
class Span:
    """Source frames ``first`` to ``last``, 0-based, both included."""

    first: int
    last: int


def runs(frames: Mapping[int, Values]) -> list[Span]:
    """Frames with the same paint that follow each other."""
    found: list[Span] = []
    for t in sorted(frames):
        last = found[-1] if found else None
        if last is not None and last.last == t - 1 and np.array_equal(frames[t], frames[last.first], equal_nan=True):
            found[-1] = Span(last.first, t)
        else:
            found.append(Span(t, t))
    return found


@dataclass(frozen=True)
class Kind:
    """One kind of paint: its attributes, one value per element of ``domain``."""

    name: str
    """Of the attribute for the whole shot; those of ranges begin with it."""
    data_type: Literal["INT8", "FLOAT"]
    domain: Literal["FACE", "POINT"]
    cleared: float
    """On some frames only: not painted here, though the whole shot is. Never leaves the attributes."""

    @property
    def dtype(self) -> type[np.generic]:
        """Of the values."""
        return np.int8 if self.data_type == "INT8" else np.float32

    def attribute(self, span: Span | None) -> str:
        """The attribute that holds the paint of these frames; None is the whole shot."""
        return self.name if span is None else f"{self.name}_{span.first:04d}_{span.last:04d}"

    def paint(self, data: bpy.types.Mesh, chosen: Bool, value: float | Values, span: Span | None) -> None:
        """Give the ``chosen`` [N] elements a value (or each its own) in ``span``, or in the whole shot; 0 clears.

        Painting the whole shot takes the elements out of every range, painting a range out of those within it. Object
        Mode only.
        """
        if span is None:
            self._write(data, None, chosen, value)
            for other in self.spans(data):
                self._write(data, other, chosen, 0)
            return
        for other in self.spans(data):
            if span.first <= other.first and other.last <= span.last and other != span:
                self._write(data, other, chosen, 0)
        self._write(data, span, chosen, np.where(np.equal(value, 0), self.cleared, value))

    def spans(self, data: bpy.types.Mesh) -> list[Span]:
        """The painted ranges, widest first: the order in which they are laid over each other."""
        matches = [re.fullmatch(rf"{self.name}_(\d+)_(\d+)", attribute.name) for attribute in data.attributes]
        ranges = [Span(int(match[1]), int(match[2])) for match in matches if match]
        return sorted(ranges, key=lambda span: (span.first - span.last, span.first))

    def attributes(self, data: bpy.types.Mesh) -> list[bpy.types.Attribute]:
        """Everything painted, by name."""
        names = {self.attribute(span) for span in (None, *self.spans(data))}
        painted = [each for each in data.attributes if each.name in names and self._fits(each)]
        return sorted(painted, key=lambda each: each.name)

    def values_at(self, data: bpy.types.Mesh, frame: int) -> Values | None:  # [N]
        """The values of source frame ``frame``, 0 where nothing is painted; None if no attribute covers it."""
        out = self.read(data, None)
        for span in self.spans(data):
            if span.first <= frame <= span.last:
                over = self.read(data, span)
                if over is not None:
                    out = over if out is None else np.where(over != 0, over, out)
        return None if out is None else np.where(out == self.cleared, 0, out).astype(self.dtype)

    def painted_at(self, data: bpy.types.Mesh, frame: int) -> Values | None:  # [N]
        """The same; None if nothing is painted there."""
        values = self.values_at(data, frame)
        return values if values is not None and values.any() else None

    def read(self, data: bpy.types.Mesh, span: Span | None) -> Values | None:  # [N]
        """The values painted on just these frames; None if there are none."""
        attribute = data.attributes.get(self.attribute(span))
        if attribute is None or not self._fits(attribute):
            return None
        return values_of(attribute.data, "value", self.dtype)

    def replace(self, data: bpy.types.Mesh, painted: Mapping[int, Values]) -> None:
        """Make what is painted on each source frame just ``painted`` [N] by frame; Object Mode only."""
        size = len(data.polygons if self.domain == "FACE" else data.vertices)
        everything = np.ones(size, np.bool_)
        self.paint(data, everything, 0, None)
        for span in runs(painted):
            self.paint(data, everything, painted[span.first], span)

    def _fits(self, attribute: bpy.types.Attribute) -> bool:
        return attribute.data_type == self.data_type and attribute.domain == self.domain

    def _write(self, data: bpy.types.Mesh, span: Span | None, chosen: Bool, value: float | Values) -> None:
        """Set the value of ``chosen``; an attribute with nothing left in it is removed."""
        name, values = self.attribute(span), self.read(data, span)
        if values is None:
            if not np.any(value):
                return
            values = np.zeros(len(data.polygons if self.domain == "FACE" else data.vertices), self.dtype)
        values[chosen] = value
        attribute = data.attributes.get(name)
        if not values.any():
            if attribute is not None:
                data.attributes.remove(attribute)
            return
        if attribute is None:
            attribute = data.attributes.new(name, self.data_type, self.domain)
        attribute.data.foreach_set("value", values)
