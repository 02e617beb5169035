"""Surfaces of many frames as tensors on one device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ex4d.surface.base import Surface


@dataclass(frozen=True)
class SurfaceBatch:
    """One coloured surface per frame, all with the same topology unless ``faces`` says otherwise.

    The first ``grid_height * grid_width`` vertices of each frame form the grid (see ``ex4d.surface.Surface``).
    """

    vertices: Tensor  # [B, V, 3] float32
    colors: Tensor  # [B, V, 4] uint8
    faces: Tensor  # [1, N, 3] int32 shared, or [B, N, 3]; a frame with fewer faces repeats a vertex in the rest
    grid_height: int
    grid_width: int
    quad_flags: Tensor | None = None  # [B, quads] uint8 of QUAD_* bits
    one_sided: bool = False

    @classmethod
    def of(cls, surfaces: list[Surface], device: torch.device) -> SurfaceBatch:
        """Surfaces built on the CPU, on ``device``; they must share their grid's size."""
        first, most_v = surfaces[0], max(len(s.vertices) for s in surfaces)
        most_f = max(len(s.faces) for s in surfaces)
        vertices = np.zeros((len(surfaces), most_v, 3), np.float32)
        colors = np.zeros((len(surfaces), most_v, 4), np.uint8)
        faces = np.zeros((len(surfaces), most_f, 3), np.int32)
        for n, surface in enumerate(surfaces):
            vertices[n, : len(surface.vertices)] = surface.vertices
            vertices[n, len(surface.vertices) :] = surface.vertices[-1:]  # and not at the camera
            colors[n, : len(surface.colors)] = surface.colors
            faces[n, : len(surface.faces)] = surface.faces
        if all(np.array_equal(s.faces, first.faces) for s in surfaces):
            faces = faces[:1]
        flags = None
        if any(s.quad_flags is not None for s in surfaces):
            none = np.zeros(max(first.grid_height - 1, 0) * max(first.grid_width - 1, 0), np.uint8)
            flags = torch.from_numpy(np.stack([none if s.quad_flags is None else s.quad_flags for s in surfaces]))
            flags = flags.to(device)
        v, c, f = (torch.from_numpy(array).to(device) for array in (vertices, colors, faces))
        return cls(v, c, f, first.grid_height, first.grid_width, flags, first.one_sided)

    @property
    def num_bytes(self) -> int:
        """Device memory held."""
        tensors = [self.vertices, self.colors, self.faces, self.quad_flags]
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)

    @property
    def size(self) -> int:
        """B."""
        return self.vertices.shape[0]

    @property
    def num_vertices(self) -> int:
        """V."""
        return self.vertices.shape[1]

    @property
    def grid_triangles(self) -> int:
        """Triangles of the grid; those of ``faces`` follow them."""
        return 2 * max(self.grid_height - 1, 0) * max(self.grid_width - 1, 0)

    @property
    def num_triangles(self) -> int:
        """Triangles of a frame."""
        return self.grid_triangles + self.faces.shape[1]
