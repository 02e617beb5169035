"""Painted thickness: how far things of a shot reach back behind their outline, where someone says so.

Lengths in the unit of the clip's depth, one per vertex (which is one per pixel), kept and laid over each other as
:mod:`painted` says. Only solid occluders have a thickness; the options decide for the pixels that nobody painted.
"""

from collections.abc import Mapping

import bpy
import numpy as np

from ex4d_ground.arrays import Bool, Float32

from ..work.errors import AddonError
from .painted import Kind, Span, runs

LENGTHS = Kind("ex4d_thickness", "FLOAT", "POINT", cleared=-1)
THINNEST = 1e-4
"""The least length that can be painted; 0 stands for "not painted"."""


def paint(
    data: bpy.types.Mesh,
    vertices: Bool,  # [V]
    lengths: float | Float32,  # one for all, or one for each of the chosen; 0 takes the paint away
    span: Span | None,
) -> int:
    """Paint ``vertices`` in ``span``, or in the whole shot; Object Mode only. Returns how many vertices were painted.

    Raises AddonError if no vertex is chosen.
    """
    count = int(vertices.sum())
    if not count:
        raise AddonError("Nothing is selected; select what has the same thickness in Edit Mode.")
    LENGTHS.paint(data, vertices, np.asarray(lengths, np.float32), span)
    data.update()  # live views hear of it
    return count


def map_of_shot(data: bpy.types.Mesh) -> Float32 | None:  # [V]
    """What the backend takes for all frames, NaN where nothing is painted; None if nothing is."""
    whole = LENGTHS.read(data, None)
    return _with_nan(whole) if whole is not None and whole.any() else None


def map_of_frame(data: bpy.types.Mesh, frame: int) -> Float32 | None:  # [V]
    """What the backend takes for source frame ``frame``; None if that is what it takes for all."""
    if not any(span.first <= frame <= span.last for span in LENGTHS.spans(data)):
        return None
    whole, lengths = LENGTHS.read(data, None), LENGTHS.values_at(data, frame)
    if lengths is None or (not lengths.any() if whole is None else np.array_equal(lengths, whole)):
        return None
    return _with_nan(lengths)


def replace(data: bpy.types.Mesh, whole: Float32 | None, frames: Mapping[int, Float32]) -> None:
    """Make the paint what the maps of the shot and of frames had said; Object Mode only.

    Raises AddonError if they do not fit the mesh.
    """
    count = len(data.vertices)
    for values in (*frames.values(), *(() if whole is None else (whole,))):
        if values.shape != (count,):
            raise AddonError(f"The painted thickness has {len(values)} values, but the mesh has {count} vertices.")
    everything = np.ones(count, np.bool_)
    LENGTHS.paint(data, everything, 0, None)
    if whole is not None:
        LENGTHS.paint(data, everything, np.nan_to_num(whole), None)
    for span in runs(frames):
        LENGTHS.paint(data, everything, np.nan_to_num(frames[span.first]), span)
    data.update()


def _with_nan(lengths: Float32) -> Float32:
    return np.where(lengths > 0, lengths, np.float32(np.nan)).astype(np.float32)
