"""Guide objects on the device, beside batches of surfaces."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ex4d.guides.objects import GuideObject
from ex4d.raster.gpu.batch import CameraBatch
from ex4d.surface.batch import SurfaceBatch
from ex4d_ground.arrays import Float64


class DeviceObjects:
    """Some objects, uploaded once; ``join`` does what ``ex4d.guides.objects.with_objects`` does for one surface."""

    def __init__(self, objects: Sequence[GuideObject], device: torch.device) -> None:
        self.objects = objects
        self._positions = [torch.from_numpy(np.ascontiguousarray(each.vertices)).to(device) for each in objects]
        starts = np.cumsum([0, *(len(each.rgba) for each in objects)], dtype=np.int32)
        faces = [each.faces + first for each, first in zip(objects, starts[:-1], strict=True)]
        self._colors = torch.from_numpy(np.concatenate([each.rgba for each in objects])).to(device)
        self._faces = torch.from_numpy(np.concatenate(faces)).to(device)
        self.num_vertices, self.num_faces = len(self._colors), len(self._faces)
        self.bytes_per_frame = 24 * self.num_vertices + 200 * self.num_faces  # what joining takes, in float64

    def join(
        self,
        surfaces: SurfaceBatch,
        cameras: CameraBatch,
        frames: Sequence[int],
        mesh_from_world: Sequence[Float64 | None] = (),  # [4, 4] per frame; nothing: they are the same
    ) -> SurfaceBatch:
        """``surfaces`` with the objects as they are in output frames ``frames``; each is seen from both sides."""
        size, first = surfaces.size, surfaces.num_vertices
        places = [
            positions[[each.position(i) for i in frames]] if each.moves else positions.expand(size, -1, -1)
            for each, positions in zip(self.objects, self._positions, strict=True)
        ]
        vertices = torch.cat(places, dim=1)
        if any(pose is not None for pose in mesh_from_world):
            vertices = _moved(vertices, mesh_from_world)
        faces = _facing(vertices, self._faces, cameras) if surfaces.one_sided else self._faces[None]
        topologies = max(len(surfaces.faces), len(faces))
        both = (each.expand(topologies, -1, -1) for each in (surfaces.faces, faces + first))
        return replace(
            surfaces,
            vertices=torch.cat([surfaces.vertices, vertices], dim=1),
            colors=torch.cat([surfaces.colors, self._colors.expand(size, -1, -1)], dim=1),
            faces=torch.cat(list(both), dim=1),
        )


def _moved(points: Tensor, poses: Sequence[Float64 | None]) -> Tensor:  # [B, V, 3]
    """As :mod:`ex4d.guides.objects` moves them, in the same order of operations."""
    stacked = np.stack([np.eye(4) if pose is None else pose for pose in poses])[:, :3]
    rows = torch.from_numpy(stacked).to(points.device)[..., None]  # [B, 3, 4, 1]
    x, y, z = points.double().unbind(dim=2)
    moved = [x * rows[:, r, 0] + y * rows[:, r, 1] + z * rows[:, r, 2] + rows[:, r, 3] for r in range(3)]
    return torch.stack(moved, dim=2).float()


def _facing(vertices: Tensor, faces: Tensor, cameras: CameraBatch) -> Tensor:  # [B, V, 3], [F, 3] -> [B, F, 3]
    """Each frame's triangles turned so that its camera sees the front of each: its corners clockwise on the image."""
    pose = cameras.pose.reshape(-1, 3, 4)
    centres = -(pose[:, :, :3] * pose[:, :, 3:]).sum(dim=1)
    corners = vertices[:, faces.long()].double() - centres[:, None, None]  # [B, F, 3 corners, 3]
    a, b, c = corners.unbind(dim=2)
    away = (a * torch.linalg.cross(b, c)).sum(dim=2) < 0
    return torch.where(away[..., None], faces[:, [0, 2, 1]], faces)
