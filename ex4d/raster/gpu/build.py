"""DW-meshes of many frames at once, from a clip kept on the device."""

# pyright: reportIndexIssue=false, reportMissingImports=false
# (Triton's kernels are started as kernel[grid](...), which the types of plain functions do not know.)
from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ex4d.dwmesh.mesh import FACE_AUTO, FACE_OCCLUDED, DWMesh
from ex4d.raster.base import QUAD_HIDE_LOWER, QUAD_HIDE_UPPER
from ex4d.raster.gpu.batch import SurfaceBatch
from ex4d.raster.gpu.device import as_current

if TYPE_CHECKING:
    from ex4d.raster.gpu.solid import DeviceSolid

KEPT_BYTES = 2 * 2**30  # device memory for surfaces that were built on the CPU
BLOCK = 256  # lanes a program; each works on one pixel or quad


class DeviceMesh:
    """A clip's frames and depth on the device, and the DW-mesh of any of its frames in one go.

    Upload once, then build as often as a camera moves: building takes well under a millisecond a frame. Vertices,
    occlusion and colours equal the CPU's. With ``kernels`` (the default where Triton can run) each step is one fused
    pass; without, the same arithmetic is done by plain tensor operations, on any device. Solid meshes are built by
    :class:`ex4d.raster.gpu.solid.DeviceSolid`. Without kernels, or with a backdrop from other frames
    (``MeshOptions.other_frames``), the CPU builds them instead; they are then kept on the device.
    """

    def __init__(self, mesh: DWMesh, device: torch.device, *, kernels: bool) -> None:
        self.mesh = mesh
        self.device = device
        self._kernels = kernels
        clip = mesh.clip
        depth, frames = np.ascontiguousarray(clip.depth), np.ascontiguousarray(clip.frames)
        self.depth = torch.from_numpy(depth).to(device).reshape(mesh.num_frames, -1)  # [T, HW]
        self.frames = torch.from_numpy(frames).to(device).reshape(mesh.num_frames, -1, 3)  # [T, HW, 3]
        self._ray_x, self._ray_y = (torch.from_numpy(ray).to(device) for ray in (mesh._ray_x, mesh._ray_y))
        self._border = torch.tensor([mesh.options.border_depth], dtype=torch.float32, device=device)
        self._tan_sq = torch.tensor([mesh._tan_sq], dtype=torch.float64, device=device)
        self._caps = torch.from_numpy(np.array(mesh.faces[-2:])).to(device)  # [2, 3]
        self._overrides = {t: torch.from_numpy(v).to(device) for t, v in mesh._overrides.items()}
        self._held: dict[tuple[int, ...], SurfaceBatch] = {}
        self._flags = {t: torch.from_numpy(f).to(device) for t, f in mesh._flags.items()}
        self.solid: DeviceSolid | None = None
        if kernels and mesh._solid is not None and mesh._solid._backdrop is None:
            from ex4d.raster.gpu.solid import DeviceSolid

            with as_current(device):
                self.solid = DeviceSolid(mesh, device, self.depth, self.frames)

    def surfaces(self, times: list[int]) -> SurfaceBatch:
        """The surfaces of source frames ``times`` (any order, repeats allowed)."""
        if self.solid is None and self.mesh.options.mode != "endless":
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
        if self._kernels:
            from ex4d.raster.gpu import build_kernels

            grid = (-(-height * width // BLOCK), len(times))
            build_kernels.lift[grid](
                depth, self._ray_x, self._ray_y, self._border, out, height, width, BLOCK=BLOCK, enable_fp_fusion=False
            )
        else:
            z = depth.reshape(-1, height, width).clone()
            z[:, [0, -1]] = self._border
            z[:, :, [0, -1]] = self._border
            torch.stack([self._ray_x * z, self._ray_y[:, None] * z, z], dim=-1, out=out.view(-1, height, width, 3))
        for n, t in enumerate(times):
            if t in self._overrides:
                out[n] = self._overrides[t]
        return out

    def face_occluded(self, times: list[int], vertices: Tensor) -> Tensor:  # [B, F] bool
        """Occlusion of every face, in the mesh's face order, by angle or as the mesh's flags say."""
        flags = self._stacked_flags(times)
        occluded = torch.empty((len(times), self.mesh.num_grid_faces + 2), dtype=torch.bool, device=self.device)
        if self._kernels:
            from ex4d.raster.gpu import build_kernels

            grid = (-(-self.mesh.num_grid_faces // 2 // BLOCK), len(times))
            build_kernels.thin_faces[grid](
                vertices, self._tan_sq, occluded if flags is None else flags, occluded.view(torch.uint8),
                self.mesh.height, self.mesh.width,
                HAS_FLAGS=flags is not None, BLOCK=BLOCK, enable_fp_fusion=False,
            )  # fmt: skip
        else:
            occluded[:, :-2] = self._thin_grid_faces(vertices)
        occluded[:, -2:] = True if self.mesh.options.hide_caps else self._thin_caps(vertices)
        if flags is not None:
            part = slice(-2, None) if self._kernels else slice(None)
            occluded[:, part] &= flags[:, part] == FACE_AUTO
            occluded[:, part] |= flags[:, part] == FACE_OCCLUDED
        return occluded

    def colors(self, times: list[int], occluded: Tensor) -> Tensor:  # [B, HW, 4] uint8
        """RGBA per vertex; alpha 255 where no face around the vertex is occluded, else 0."""
        frames, blank = self._select(self.frames, times), self.mesh.options.blank_occluded_colors
        height, width = self.mesh.height, self.mesh.width
        out = torch.empty((len(times), height * width, 4), dtype=torch.uint8, device=self.device)
        if self._kernels:
            from ex4d.raster.gpu import build_kernels

            grid = (-(-height * width // BLOCK), len(times))
            build_kernels.vertex_colors[grid](
                frames, occluded.view(torch.uint8), out, height, width, BLANK=blank, BLOCK=BLOCK
            )
            return out
        visible = self._visible(occluded)
        out[..., :3] = torch.where(visible[..., None], frames, 0) if blank else frames
        out[..., 3] = visible.to(torch.uint8) * 255
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

    def _thin_grid_faces(self, vertices: Tensor) -> Tensor:  # [B, F - 2] bool
        p = vertices.double().reshape(len(vertices), self.mesh.height, self.mesh.width, 3)
        p00, p01, p10, p11 = p[:, :-1, :-1], p[:, :-1, 1:], p[:, 1:, :-1], p[:, 1:, 1:]
        halves = [self._thin(p10, p00, p01), self._thin(p10, p01, p11)]
        return torch.cat([half.reshape(len(vertices), -1) for half in halves], dim=1)

    def _thin(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """The CPU kernel's test in its order of operations: tangent^2 of the smallest angle against the limit."""
        (ux, uy, uz), (vx, vy, vz) = (b - a).unbind(-1), (c - a).unbind(-1)
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        uv = ux * vx + uy * vy + uz * vz
        uu, vv = ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz
        largest_dot = torch.maximum(uv, torch.maximum(uu - uv, vv - uv))
        return nx * nx + ny * ny + nz * nz < self._tan_sq * largest_dot * largest_dot

    def _thin_caps(self, vertices: Tensor) -> Tensor:  # [B, 2] bool
        corner = vertices[:, self._caps.flatten().long()].double().reshape(-1, 2, 3, 3)
        edge = corner.roll(-1, dims=2) - corner
        normal_sq = torch.linalg.cross(edge[:, :, 0], -edge[:, :, 2]).square().sum(dim=2)
        largest_dot = -(edge * edge.roll(1, dims=2)).sum(dim=3).amin(dim=2)
        return normal_sq < self._tan_sq * largest_dot.square()

    def _visible(self, occluded: Tensor) -> Tensor:  # [B, HW] bool
        height, width = self.mesh.height, self.mesh.width
        grid = occluded[:, :-2].reshape(-1, 2, height - 1, width - 1)
        up, low = grid[:, 0], grid[:, 1]
        hidden = torch.zeros((len(occluded), height, width), dtype=torch.bool, device=self.device)
        hidden[:, :-1, :-1] |= up
        hidden[:, :-1, 1:] |= up | low
        hidden[:, 1:, :-1] |= up | low
        hidden[:, 1:, 1:] |= low
        hidden = hidden.reshape(len(occluded), -1)
        for cap in range(2):
            hidden[:, self._caps[cap].long()] |= occluded[:, -2 + cap, None]
        return ~hidden
