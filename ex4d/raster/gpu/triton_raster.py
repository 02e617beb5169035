"""The free GPU rasterizer: launches ``setup_kernels.py`` and ``draw_kernels.py`` over a batch of frames."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from ex4d.cuda import as_current
from ex4d.raster.antialias import NOTHING
from ex4d.raster.base import check_planes
from ex4d.raster.gpu import antialias, draw_kernels, setup_kernels
from ex4d.raster.gpu.batch import BatchRasterizer, CameraBatch, DrawnBatch
from ex4d.surface.batch import SurfaceBatch
from ex4d_ground.options import RasterOptions

BLOCK = 128  # lanes a program in the passes over vertices, triangles and pixels
SMALL = 16  # samples in its box up to which a triangle is drawn by one lane
SPILL_TILES = 128  # tiles in its box above which a queued triangle is shared by many programs
ROWS, COLUMNS = 8, 8  # a tile of the passes over queued triangles
PROGRAMS = 4096  # programs that take queued triangles, and for huge ones how many at a time
HUGE_PROGRAMS, SHARES = 128, 32
CUT_PROGRAMS, CUT_SHARES = 1024, 4


class TritonRasterizer(BatchRasterizer):
    """Pictures do not depend on the order of drawing: the same input gives the same bytes."""

    name = "triton"

    @staticmethod
    def bytes_per_frame(num_vertices: int, num_triangles: int, pixels: int) -> int:
        """Device memory one frame of a batch takes: the mesh, its projection, the queues, the z-buffer, the picture."""
        return num_vertices * (12 + 4 + 4 + 12) + num_triangles * (1 + 12) + pixels * (8 + 4)

    def draw_batch(
        self, surfaces: SurfaceBatch, cameras: CameraBatch, options: RasterOptions, *, depth: bool = False
    ) -> DrawnBatch:
        """Each surface as its camera sees it; see :class:`BatchRasterizer`."""
        check_planes(options)
        with as_current(self.device):
            points = self._project(surfaces, cameras)
            if options.antialias:
                return self._draw_antialiased(surfaces, cameras, points, options, depth)
            keys = self._draw(surfaces, cameras, points)
            return self._resolve(surfaces, cameras, points, keys, depth)

    def _draw_antialiased(
        self,
        surfaces: SurfaceBatch,
        cameras: CameraBatch,
        points: tuple[Tensor, Tensor, Tensor],
        options: RasterOptions,
        depth: bool,
    ) -> DrawnBatch:
        sx, sy, inv_z = points
        image, seen = antialias.to_image(surfaces.vertices, cameras)
        antialias.snap(image, inv_z, sx, sy)
        keys = self._draw(surfaces, cameras, points)
        last = int(setup_kernels.LAST_ID.value)
        number = (keys & last) ^ last  # the kernels count the two triangles of a quad one after the other
        listed = torch.where(number & 1 > 0, surfaces.grid_triangles // 2, 0) + (number >> 1)
        number = torch.where(number < surfaces.grid_triangles, listed, number)
        number = torch.where(keys > 0, number, NOTHING)
        return antialias.antialiased(surfaces, cameras, image, seen, number, options, depth=depth)

    def _project(self, surfaces: SurfaceBatch, cameras: CameraBatch) -> tuple[Tensor, Tensor, Tensor]:
        shape = surfaces.vertices.shape[:2]
        sx, sy = (torch.empty(shape, dtype=torch.int32, device=self.device) for _ in range(2))
        inv_z = torch.empty(shape, dtype=torch.float32, device=self.device)
        grid = (triton.cdiv(surfaces.num_vertices, BLOCK), surfaces.size)
        read, size = (surfaces.vertices, cameras.pose, cameras.lens), surfaces.num_vertices
        setup_kernels.project[grid](*read, sx, sy, inv_z, size, BLOCK=BLOCK, enable_fp_fusion=False)
        return sx, sy, inv_z

    def _draw(
        self, surfaces: SurfaceBatch, cameras: CameraBatch, points: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:  # [B, H, W] int64 keys, 0 where nothing was drawn
        frames, triangles, further = surfaces.size, surfaces.num_triangles, surfaces.faces.shape[1]
        height, width = cameras.height, cameras.width
        keys = torch.zeros((frames, height, width), dtype=torch.int64, device=self.device)
        capacity = frames * triangles
        queues = torch.empty((3, capacity), dtype=torch.int32, device=self.device)
        counters = torch.zeros(3, dtype=torch.int32, device=self.device)
        stride = 0 if surfaces.faces.shape[0] == 1 else 3 * further
        size, lanes, flags = (capacity, height, width), {"SMALL": SMALL, "BLOCK": BLOCK}, surfaces.quad_flags
        targets = (cameras.lens, keys, queues, counters)
        if surfaces.grid_triangles:
            grid = (triton.cdiv(surfaces.grid_triangles // 2, BLOCK), frames)
            shape = (surfaces.num_vertices, surfaces.grid_height, surfaces.grid_width, triangles)
            given = keys if flags is None else flags
            setup_kernels.draw_grid[grid](*points, *targets, given, *shape, *size, HAS_FLAGS=flags is not None, **lanes)
        if further:
            shape = (surfaces.num_vertices, triangles)
            setup_kernels.draw_faces[(triton.cdiv(further, BLOCK), frames)](
                surfaces.faces, stride, further, *points, *targets, *shape, *size, **lanes
            )
        shape = (surfaces.num_vertices, surfaces.grid_triangles, surfaces.grid_width, triangles)
        tile = {"ROWS": ROWS, "COLUMNS": COLUMNS, "num_warps": 1}
        for queue, spill, grid in (
            (setup_kernels.LARGE, SPILL_TILES, (PROGRAMS, 1)),
            (setup_kernels.HUGE, 0, (HUGE_PROGRAMS, SHARES)),
        ):
            draw_kernels.draw_large[self._programs(grid, capacity)](
                *points, surfaces.faces, stride, *targets, *shape, *size, QUEUE=queue, SPILL_TILES=spill, **tile
            )
        draw_kernels.draw_cut[self._programs((CUT_PROGRAMS, CUT_SHARES), capacity)](
            *(surfaces.vertices, *points, surfaces.faces, stride, cameras.pose),
            *(*targets, *shape, *size),
            **tile,
            enable_fp_fusion=False,
        )
        return keys

    def _programs(self, grid: tuple[int, int], capacity: int) -> tuple[int, int]:
        """No more programs than there can be triangles; few where they run one after the other."""
        most = 2 if self.device.type == "cpu" else grid[0]
        return max(1, min(most, capacity)), 2 if self.device.type == "cpu" and grid[1] > 1 else grid[1]

    def _resolve(
        self, surfaces: SurfaceBatch, cameras: CameraBatch, points: tuple[Tensor, ...], keys: Tensor, with_depth: bool
    ) -> DrawnBatch:
        colour = torch.empty((*keys.shape, 3), dtype=torch.uint8, device=self.device)
        mask = torch.empty(keys.shape, dtype=torch.bool, device=self.device)
        depth = torch.empty(keys.shape, dtype=torch.float32, device=self.device) if with_depth else None
        further, flags = surfaces.faces.shape[1], surfaces.quad_flags
        stride = 0 if surfaces.faces.shape[0] == 1 else 3 * further
        surface = (surfaces.vertices, *points, surfaces.colors, surfaces.faces, stride)
        out = (colour, mask.view(torch.uint8), keys if depth is None else depth)
        shape = (surfaces.num_vertices, surfaces.grid_triangles, surfaces.grid_width, cameras.height, cameras.width)
        how = {"HAS_FLAGS": flags is not None, "ONE_SIDED": surfaces.one_sided, "WITH_DEPTH": with_depth}
        draw_kernels.resolve[(triton.cdiv(cameras.height * cameras.width, BLOCK), surfaces.size)](
            *(*surface, cameras.pose, cameras.lens, keys, *out, keys if flags is None else flags, *shape),
            **how,
            BLOCK=BLOCK,
            enable_fp_fusion=False,
        )
        return DrawnBatch(colour, mask, depth)
