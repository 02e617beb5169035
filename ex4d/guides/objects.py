"""Things that stand in the scene beside the clip's mesh: known geometry with its own colour, and holdouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ex4d.raster import Camera
from ex4d.surface import Surface
from ex4d_ground.arrays import Float32, Float64, Int32, UInt8
from ex4d_ground.errors import ShapeError


@dataclass(frozen=True)
class GuideObject:
    """Triangles in world coordinates (OpenCV axes; world = the source camera of frame 0).

    With ``colors`` it is drawn into the guides as something the source is known to show. Without, it is a holdout: it
    blocks what lies behind it and leaves a hole, which the model fills.
    """

    vertices: Float32  # [V, 3], or [N, V, 3] with one position per output frame
    faces: Int32  # [F, 3]
    colors: UInt8 | None = None  # [V, 3] RGB
    name: str = "object"
    lead_in: int = 0
    """So many output frames come before the first position, and show that."""

    def __post_init__(self) -> None:
        v, f, c = self.vertices, self.faces, self.colors
        if v.ndim not in (2, 3) or v.shape[-1] != 3 or v.dtype != np.float32 or not v.size:
            raise ShapeError(
                f"Vertices of '{self.name}' must be float32 [V, 3] or [N, V, 3] and not empty, got {v.shape} {v.dtype}."
            )
        if not np.isfinite(v).all():
            raise ShapeError(f"'{self.name}' has vertices at NaN or infinity; mend its geometry.")
        count = v.shape[-2]
        if f.ndim != 2 or f.shape[1] != 3 or f.dtype != np.int32:
            raise ShapeError(f"Faces of '{self.name}' must be int32 [F, 3], got {f.shape} {f.dtype}.")
        if f.size and (int(f.min()) < 0 or int(f.max()) >= count):
            raise ShapeError(f"Faces of '{self.name}' refer to vertices {f.min()}..{f.max()}, it has {count}.")
        if c is not None and (c.shape != (count, 3) or c.dtype != np.uint8):
            raise ShapeError(f"Colours of '{self.name}' must be uint8 [{count}, 3], got {c.shape} {c.dtype}.")

    @property
    def moves(self) -> bool:
        """Whether it has a position of its own for every output frame."""
        return self.vertices.ndim == 3

    def at(self, i: int) -> Float32:  # [V, 3]
        """Positions in output frame ``i``."""
        return self.vertices[self.position(i)] if self.moves else self.vertices

    def position(self, i: int) -> int:
        """Which of its positions a moving one has in output frame ``i``."""
        return max(i - self.lead_in, 0)

    @property
    def rgba(self) -> UInt8:  # [V, 4]
        """Colour and alpha as a surface has them; a holdout is black and blocks."""
        count = self.vertices.shape[-2]
        if self.colors is None:
            return np.zeros((count, 4), np.uint8)
        return np.concatenate([self.colors, np.full((count, 1), 255, np.uint8)], axis=1)

    def after(self, frames: int) -> GuideObject:
        """The same for a move with ``frames`` more in front."""
        return replace(self, lead_in=self.lead_in + frames)


def check_objects(objects: Sequence[GuideObject], num_frames: int) -> None:
    """Raise ShapeError for one that moves and has another number of positions than the output has frames."""
    for each in objects:
        if each.moves and len(each.vertices) + each.lead_in != num_frames:
            raise ShapeError(
                f"'{each.name}' has positions for {len(each.vertices)} frames, but {num_frames - each.lead_in} are "
                "drawn; give one per output frame, or one for all."
            )


def with_objects(
    surface: Surface,
    objects: Sequence[GuideObject],
    i: int,
    camera: Camera,
    mesh_from_world: Float64 | None = None,  # [4, 4]
) -> Surface:
    """``surface`` with the objects as they are in output frame ``i``; each is seen from both sides.

    Surface and camera are in the axes of a frame's mesh, into which ``mesh_from_world`` brings the objects
    (:meth:`ex4d.types.Clip.mesh_from_world`).
    """
    if not objects:
        return surface
    vertices, colors, faces = [surface.vertices], [surface.colors], [surface.faces]
    first = len(surface.vertices)
    for each in objects:
        positions = each.at(i) if mesh_from_world is None else _moved(each.at(i), mesh_from_world)
        triangles = _facing(positions, each.faces, camera) if surface.one_sided else each.faces
        vertices.append(positions)
        colors.append(each.rgba)
        faces.append(triangles + np.int32(first))
        first += len(positions)
    return replace(
        surface, vertices=np.concatenate(vertices), colors=np.concatenate(colors), faces=np.concatenate(faces)
    )


def _moved(points: Float32, pose: Float64) -> Float32:  # [V, 3]
    x, y, z = points.astype(np.float64).T
    rows = [x * a + y * b + z * c + d for a, b, c, d in pose[:3]]  # as on a device, to the bit
    return np.stack(rows, axis=1).astype(np.float32)


def _facing(vertices: Float32, faces: Int32, camera: Camera) -> Int32:  # [F, 3]
    """The triangles turned so that the camera sees the front of each: its corners clockwise on the image."""
    pose = camera.camera_from_world
    centre = -pose[:3, :3].T @ pose[:3, 3]
    a, b, c = (vertices[faces[:, k]] - centre for k in range(3))
    away = np.einsum("ij,ij->i", a, np.cross(b, c)) < 0
    return np.where(away[:, None], faces[:, [0, 2, 1]], faces)
