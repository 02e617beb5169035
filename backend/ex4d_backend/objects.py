"""From a request's references to the things that stand beside the mesh."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ex4d.guides.objects import GuideObject
from ex4d_backend.blob_files import blob_path
from ex4d_ground.errors import InputError, ShapeError
from ex4d_protocol.requests import BlobRef, ObjectSpec


def read_objects(
    specs: Sequence[ObjectSpec], blobs: Path, *, num_frames: int, held: int = 0, start: int = 0
) -> tuple[GuideObject, ...]:
    """The objects of a request whose move has ``num_frames`` cameras.

    Objects that move have ``held`` positions (0: one per camera), of which the cameras take those from ``start`` on.
    Raises ShapeError or InputError.
    """
    held = held or num_frames
    if start + num_frames > held:
        raise ShapeError(
            f"Objects have positions for {held} frames, but {num_frames} cameras from position {start} on need "
            f"{start + num_frames}."
        )
    return tuple(_read(spec, blobs, held, slice(start, start + num_frames)) for spec in specs)


def _read(spec: ObjectSpec, blobs: Path, held: int, wanted: slice) -> GuideObject:
    positions = held if spec.moves else 1
    unit = 12 * positions
    if not spec.vertices.size or spec.vertices.size % unit:
        raise ShapeError(
            f"The vertices of '{spec.name}' have {spec.vertices.size} bytes; {positions} positions of whole vertices "
            f"are a multiple of {unit}."
        )
    if spec.faces.size % 12:
        raise ShapeError(f"The faces of '{spec.name}' have {spec.faces.size} bytes; each has three int32 corners.")
    count = spec.vertices.size // unit
    if spec.colors is not None and spec.colors.size != 3 * count:
        raise ShapeError(
            f"The colours of '{spec.name}' have {spec.colors.size} bytes; {count} vertices need {3 * count}."
        )
    vertices = _values(spec.vertices, blobs, "<f4").reshape(positions, count, 3)
    vertices = vertices[wanted] if spec.moves else vertices[0]
    faces = _values(spec.faces, blobs, "<i4").reshape(-1, 3)
    colors = None if spec.colors is None else _values(spec.colors, blobs, "u1").reshape(count, 3)
    return GuideObject(vertices, faces, colors, name=spec.name)


def _values(blob: BlobRef, blobs: Path, dtype: str) -> np.ndarray:
    try:
        return np.fromfile(blob_path(blobs, blob.sha256), dtype)
    except FileNotFoundError:
        raise InputError("An uploaded object has expired on the backend; send it again.") from None
