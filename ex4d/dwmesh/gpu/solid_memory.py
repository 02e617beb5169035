"""World memory in solid surfaces that are built on the device, as :class:`ex4d.dwmesh.solid.SolidBuilder` has it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import triton
from torch import Tensor

from ex4d.dwmesh import walls
from ex4d.dwmesh.gpu import wall_kernels
from ex4d.dwmesh.gpu.memory import Chosen, DeviceMemory
from ex4d.dwmesh.gpu.parts import Parts
from ex4d.dwmesh.memory import BRIDGE_STEPS, WALL_STEPS, Memory
from ex4d.dwmesh.mesh import DWMesh

BLOCK = 128  # corners or bridges a program
COUNTED_FRAMES = 16  # whose parts of the memory are counted together,
COUNTED_BYTES = 2**29  # as far as they take no more than this

Crossed = Callable[[Tensor, Tensor], Tensor]
"""[B] int32 frames, [T, H * W] depth -> [B, (H + 1) * (W + 1)] uint8 quads of the ringed grid that an edge crosses."""


class SolidMemory:
    """What a clip's memory adds to its solid surfaces: a sheet of each frame's own, shorter walls, bridges behind it.

    How large the sheets are is counted when the clip is uploaded, for it does not depend on the camera. ``depth``
    [T, H * W] and ``crossed`` know nothing of edits; with ``edited`` the surfaces do.
    """

    def __init__(
        self,
        mesh: DWMesh,
        device: torch.device,
        depth: Tensor,
        crossed: Crossed,
        *,
        edited: bool,
        given: Memory | None = None,
    ) -> None:
        self.memory = DeviceMemory(mesh, device, given)
        self._depth, self._crossed, self._edited = depth, crossed, edited
        self._shape = mesh.height, mesh.width
        together = max(1, min(COUNTED_FRAMES, COUNTED_BYTES // self.bytes_per_frame()))
        frames = torch.arange(mesh.num_frames, dtype=torch.int32, device=device)
        found = [self._chosen(times, crossed(times, depth)).counts for times in frames.split(together)]
        self.counts: np.ndarray = torch.cat(found).cpu().numpy().astype(np.int64)  # [T, 2] vertices and faces

    def bytes_per_frame(self) -> int:
        """Device memory that a frame's sheet takes while it is built."""
        return self.memory.bytes_per_frame(self._shape[0] * self._shape[1])

    def limit_thickness(self, parts: Parts, thickness: Tensor, ray_x: Tensor, ray_y: Tensor) -> None:
        """Let walls whose thickness [B, most, 4] is a guess end where other frames look through them."""
        (batch, most), of = parts.quads.shape[:2], self.memory
        wall_kernels.limit_corners[(triton.cdiv(4 * most, BLOCK), batch)](
            parts.times, parts.inverse, parts.cuts, parts.ends, parts.quads, ray_x, ray_y,
            of.depths, of.crossed, of.nearest, of.walls, of.lenses, of.numbers, thickness,
            len(ray_y), len(ray_x), most, of.count, of.height, of.width, WALL_STEPS,
            BLOCK=BLOCK, enable_fp_fusion=False,
        )  # fmt: skip

    def join(self, parts: Parts, starts: Tensor) -> None:
        """Put each frame's sheet behind its surface, from ``starts`` [2, B] (vertices, faces) on."""
        crossed = self._crossed(parts.times, self._depth) if self._edited else parts.dropped
        chosen = self._chosen(parts.times, crossed)
        batch, most = parts.bridges.shape
        height, width = (n + 2 for n in self._shape)
        of = self.memory
        wall_kernels.drop_bridges[(triton.cdiv(most, BLOCK), batch)](
            parts.times, parts.ends, of.depths, of.crossed, of.nearest, of.walls, of.lenses, of.numbers, parts.vertices,
            height, height * width, parts.vertices.shape[1], of.count, of.height, of.width, BRIDGE_STEPS,
            SIDE=walls.SIDE_VERTICES, BLOCK=BLOCK, enable_fp_fusion=False,
        )  # fmt: skip
        own = self._own(parts.times)
        self.memory.lay(chosen, parts.times, own, crossed, starts, (parts.vertices, parts.colors, parts.faces))

    def _chosen(self, times: Tensor, crossed: Tensor) -> Chosen:
        return self.memory.chosen(times, self._own(times), crossed)

    def _own(self, times: Tensor) -> Tensor:  # [B, H, W]
        return self._depth[times.long()].view(-1, *self._shape)
