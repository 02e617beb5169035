"""The grid of a clip's mesh as a client edits it: the mesh's own, or a proxy grid with the client's edits."""

from collections.abc import Mapping

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.proxy import ProxyGrid
from ex4d_ground.arrays import Float32, Int8, Int32, UInt8


class EditedGrid:
    """Vertices and visibility of every frame. ``mesh`` holds the edits itself where there is no ``proxy``."""

    def __init__(
        self,
        mesh: DWMesh,
        proxy: ProxyGrid | None = None,
        positions: Mapping[int, Float32] = {},
        flags: Mapping[int, Int8] = {},
    ) -> None:
        self.mesh = mesh
        self._proxy, self._positions, self._flags = proxy, positions, flags

    @property
    def num_frames(self) -> int:
        """T."""
        return self.mesh.num_frames

    @property
    def side(self) -> int:
        """Vertices along the long side of a proxy; 0 for one vertex per pixel."""
        return 0 if self._proxy is None else max(self._proxy.grid.width, self._proxy.grid.height)

    @property
    def faces(self) -> Int32:  # [F, 3]
        """Of every frame."""
        return self.mesh.faces if self._proxy is None else self._proxy.faces

    def vertices_and_visible(self, t: int) -> tuple[Float32, UInt8]:  # [V, 3], [rows, columns]
        """Both of frame ``t``, in one pass; 255 where a vertex is visible."""
        mesh, t = self._mesh_of(t)
        surface = mesh.surface(t)  # alpha is 255 where visible
        return surface.vertices, np.ascontiguousarray(surface.colors[:, 3].reshape(mesh.height, mesh.width))

    def visible(self, t: int) -> UInt8:  # [rows, columns]
        """255 where a vertex of frame ``t`` is visible."""
        mesh, t = self._mesh_of(t)
        return mesh.vertex_visible(t).reshape(mesh.height, mesh.width).astype(np.uint8) * np.uint8(255)

    def _mesh_of(self, t: int) -> tuple[DWMesh, int]:
        """The mesh that has frame ``t``, and which of its own frames that is."""
        if self._proxy is None:
            return self.mesh, t
        return self._proxy.frame(t, self._positions.get(t), self._flags.get(t), coloured=False), 0
