"""DW-meshes of many frames at once, from a clip kept on the device."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ex4d.cuda import as_current
from ex4d.dwmesh.mesh import FACE_AUTO, FACE_OCCLUDED, DWMesh
from ex4d.surface import QUAD_HIDE_LOWER, QUAD_HIDE_UPPER
from ex4d.surface.batch import SurfaceBatch

if TYPE_CHECKING:
    from ex4d.dwmesh.gpu.solid import DeviceSolid

KEPT_BYTES = 2 * 2**30  # device memory for surfaces that were built on the CPU
BLOCK = 256  # lanes a program; each works on one pixel or quad


class DeviceMesh:
    """A clip's frames and depth on the device, and the DW-mesh of any of its frames in one go.

    Upload once, then build as often as a camera moves: building takes well under a millisecond a frame. Vertices,
    occlusion and colours equal the CPU's, each made in one fused pass; solid meshes are built by
    :class:`ex4d.dwmesh.gpu.solid.DeviceSolid`, with world memory. Without ``kernels``, where Triton cannot run, for
    a source camera that zooms, and with a backdrop of other frames before a camera that stands still the CPU builds
    them instead; they are then kept on the device.
    """

    def __init__(self, mesh: DWMesh, device: torch.device, *, kernels: bool) -> None:
        self.mesh = mesh
        self.device = device
        if kernels:
            from ex4d.dwmesh.gpu import build_kernels

            self._kernels = build_kernels
        clip = mesh.clip
        depth, frames = np.ascontiguousarray(clip.depth), np.ascontiguousarray(clip.frames)
        self.depth = torch.from_numpy(depth).to(device).reshape(mesh.num_frames, -1)  # [T, HW]
        self.frames = torch.from_numpy(frames).to(device).reshape(mesh.num_frames, -1, 3)  # [T, HW, 3]
        self._ray_x, self._ray_y = (torch.from_numpy(ray).to(device) for ray in (mesh.ray_x, mesh.ray_y))
        self._border = torch.tensor([mesh.options.border_depth], dtype=torch.float32, device=device)
        self._tan_sq = torch.tensor([mesh.tan_sq], dtype=torch.float64, device=device)
        self._caps = torch.from_numpy(np.array(mesh.faces[-2:])).to(device)  # [2, 3]
        self._overrides = {t: torch.from_numpy(v).to(device) for t, v in mesh.vertex_overrides.items()}
        self._held: dict[tuple[int, ...], SurfaceBatch] = {}
        self._flags = {t: torch.from_numpy(f).to(device) for t, f in mesh.face_flags.items()}
        self.solid: DeviceSolid | None = None
        zooms = any(clip.lens(t) is not clip.intrinsics for t in range(mesh.num_frames))
        beside = mesh.solid is not None and mesh.solid.backdrop is not None and mesh.solid.memory is None
        self._on_host = not kernels or zooms or beside
        if mesh.solid is not None and not self._on_host:
            from ex4d.dwmesh.gpu.solid import DeviceSolid

            with as_current(device):
                self.solid = DeviceSolid(mesh, device, self.depth, self.frames)

    def surfaces(self, times: list[int]) -> SurfaceBatch:
        """The surfaces of source frames ``times`` (any order, repeats allowed)."""
        if self._on_host:
            return self._built_on_host(times)
        with as_current(self.device):
            return self._endless(times) if self.solid is None else self.solid.surfaces(times)

    def sizes(self) -> tuple[int, int]:
        """Vertices and triangles of a frame, the grid's included; of the largest frame where they differ."""
        if self.solid is not None:
            vertices, further = self.solid.sizes()
            return vertices, 2 * (self.mesh.height + 1) * (self.mesh.width + 1) + further
        many = 1 if self.mesh.options.mode == "endless" else 2  # a guess: it is not known before it is built
        return many * self.mesh.height * self.mesh.width, many * len(self.mesh.faces)

    def bytes_per_frame(self) -> int:
        """Device memory that building a frame takes besides what it builds."""
        return self.mesh.num_grid_faces if self.solid is None else self.solid.bytes_per_frame()

    def vertices(self, times: list[int]) -> Tensor:  # [B, HW, 3] float32
        """Vertices in the source camera's axes, edits included."""
        depth = self._select(self.depth, times)
        height, width = self.mesh.height, self.mesh.width
        out = torch.empty((len(times), height * width, 3), dtype=torch.float32, device=self.device)
        self._kernels.lift[-(-height * width // BLOCK), len(times)](
            depth, self._ray_x, self._ray_y, self._border, out, height, width, BLOCK=BLOCK, enable_fp_fusion=False
        )
        for n, t in enumerate(times):
            if t in self._overrides:
                out[n] = self._overrides[t]
        return out

    def face_occluded(self, times: list[int], vertices: Tensor) -> Tensor:  # [B, F] bool
        """Occlusion of every face, in the mesh's face order, by angle or as the mesh's flags say."""
        flags = self._stacked_flags(times)
        occluded = torch.empty((len(times), self.mesh.num_grid_faces + 2), dtype=torch.bool, device=self.device)
        size, how = (self.mesh.height, self.mesh.width), {"BLOCK": BLOCK, "enable_fp_fusion": False}
        given, out = occluded if flags is None else flags, occluded.view(torch.uint8)
        self._kernels.thin_faces[-(-self.mesh.num_grid_faces // 2 // BLOCK), len(times)](
            vertices, self._tan_sq, given, out, *size, HAS_FLAGS=flags is not None, **how
        )
        occluded[:, -2:] = True if self.mesh.options.hide_caps else self._thin_caps(vertices)
        if flags is not None:
            occluded[:, -2:] &= flags[:, -2:] == FACE_AUTO
            occluded[:, -2:] |= flags[:, -2:] == FACE_OCCLUDED
        return occluded

    def colors(self, times: list[int], occluded: Tensor) -> Tensor:  # [B, HW, 4] uint8
        """RGBA per vertex; alpha 255 where no face around the vertex is occluded, else 0."""
        frames, blank = self._select(self.frames, times), self.mesh.options.blank_occluded_colors
        height, width = self.mesh.height, self.mesh.width
        out = torch.empty((len(times), height * width, 4), dtype=torch.uint8, device=self.device)
        self._kernels.vertex_colors[-(-height * width // BLOCK), len(times)](
            frames, occluded.view(torch.uint8), out, height, width, BLANK=blank, BLOCK=BLOCK
        )
        return out

    def _endless(self, times: list[int]) -> SurfaceBatch:
        vertices = self.vertices(times)
        occluded, flags = self.face_occluded(times, vertices), None
        if self.mesh.options.hidden_by == "face":
            upper, lower = occluded[:, :-2].to(torch.uint8).chunk(2, dim=1)
            flags = upper * QUAD_HIDE_UPPER | lower * QUAD_HIDE_LOWER
            occluded[:, :-2] = False  # of the faces, only the caps hide their vertices
        colors = self.colors(times, occluded)
        return SurfaceBatch(vertices, colors, self._caps[None], self.mesh.height, self.mesh.width, flags)

    def _built_on_host(self, times: list[int]) -> SurfaceBatch:
        """Surfaces whose topology differs from frame to frame; kept, since they do not depend on the camera."""
        held = self._held.get(tuple(times))
        if held is None:
            with ThreadPoolExecutor(min(len(times), os.cpu_count() or 1)) as pool:
                held = SurfaceBatch.of(list(pool.map(self.mesh.surface, times)), self.device)
            if sum(batch.num_bytes for batch in self._held.values()) + held.num_bytes <= KEPT_BYTES:
                self._held[tuple(times)] = held
        return held

    def _select(self, source: Tensor, times: list[int]) -> Tensor:
        if times == list(range(times[0], times[0] + len(times))):
            return source[times[0] : times[0] + len(times)]  # the usual case: no copy
        return source[torch.tensor(times, device=self.device)]

    def _stacked_flags(self, times: list[int]) -> Tensor | None:  # [B, F] int8
        if not any(t in self._flags for t in times):
            return None
        none = torch.zeros(self.mesh.num_grid_faces + 2, dtype=torch.int8, device=self.device)
        return torch.stack([self._flags.get(t, none) for t in times])

    def _thin_caps(self, vertices: Tensor) -> Tensor:  # [B, 2] bool
        corner = vertices[:, self._caps.flatten().long()].double().reshape(-1, 2, 3, 3)
        edge = corner.roll(-1, dims=2) - corner
        normal_sq = torch.linalg.cross(edge[:, :, 0], -edge[:, :, 2]).square().sum(dim=2)
        largest_dot = -(edge * edge.roll(1, dims=2)).sum(dim=3).amin(dim=2)
        return normal_sq < self._tan_sq * largest_dot.square()
