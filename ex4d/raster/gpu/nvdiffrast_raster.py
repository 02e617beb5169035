"""NVIDIA's nvdiffrast behind the same interface: frames with one topology as instances, others as ranges of triangles.

It has its own rules: vertices snapped to 1/16 pixel, depth compared after rounding z / w to 32 bits. So pictures agree
with the other rasterizers' except on some samples next to edges. Where solid meshes have edges in nearly every pixel
(leaves of one to some pixels), that is several per cent of the samples.
"""

from typing import Any

import torch
from torch import Tensor

from ex4d.raster.base import check_planes
from ex4d.raster.gpu.batch import DARKER, BatchRasterizer, CameraBatch, DrawnBatch
from ex4d.surface import QUAD_DROP, QUAD_HIDE_LOWER, QUAD_HIDE_UPPER, grid_faces
from ex4d.surface.batch import SurfaceBatch
from ex4d_ground.errors import RasterError
from ex4d_ground.options import RasterOptions

NEAR_SHARE = 0.5  # where nothing reaches behind it, the near plane moves out to this share of the nearest depth


class NvdiffrastRasterizer(BatchRasterizer):
    """``options.antialias`` blends colour and alpha over silhouette edges, as the published program does."""

    name = "nvdiffrast"

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        import nvdiffrast.torch as dr  # pyright: ignore[reportMissingImports]

        self._dr: Any = dr
        self._context = dr.RasterizeCudaContext(device=self.device)
        self._grid: tuple[tuple[int, int], Tensor] | None = None
        self._topology: Tensor | None = None
        self._hash: tuple[Tensor, Any] | None = None

    @staticmethod
    def bytes_per_frame(num_vertices: int, num_triangles: int, pixels: int) -> int:
        """Device memory one frame of a batch takes: vertices, nvdiffrast's triangle records, its float pictures."""
        return num_vertices * (12 + 4 + 16 + 16) + num_triangles * (1 + 90 + 12) + pixels * (16 * 6)

    def draw_batch(
        self, surfaces: SurfaceBatch, cameras: CameraBatch, options: RasterOptions, *, depth: bool = False
    ) -> DrawnBatch:
        """Each surface as its camera sees it; see :class:`BatchRasterizer`."""
        check_planes(options)
        with torch.cuda.device(self.device), torch.no_grad():
            places = clip_space(surfaces.vertices, cameras)
            values = surfaces.colors.float()
            if depth:
                values = torch.cat([values, places[..., 3:]], dim=-1)  # w is the z-depth
            ranges = None
            if surfaces.faces.shape[0] == 1 and surfaces.quad_flags is None:
                faces = self._faces(surfaces)
            else:  # each frame has triangles of its own
                faces, ranges = self._own_faces(surfaces)
                places, values = places.flatten(0, 1), values.flatten(0, 1)
            size = [cameras.height, cameras.width]
            try:
                hits, _ = self._dr.rasterize(self._context, places, faces, size, ranges=ranges, grad_db=False)
            except RuntimeError as error:
                if "subtriangle" not in str(error):
                    raise
                raise RasterError(
                    f"nvdiffrast ran out of room for the triangles of {surfaces.size} frames at once; "
                    "pass a smaller frames_per_batch, or use the rasterizer 'triton'."
                ) from error
            picture, _ = self._dr.interpolate(values, hits, faces)
            if options.antialias:
                picture = self._dr.antialias(picture, hits, places, faces, topology_hash=self._topology_hash(faces))
            return _finish(picture, shown(hits, places, faces, surfaces), options)

    def _faces(self, surfaces: SurfaceBatch) -> Tensor:  # [F, 3] int32
        if not surfaces.grid_triangles:
            return surfaces.faces[0].contiguous()
        grid = self._grid_faces(surfaces)
        if self._topology is None or not torch.equal(self._topology[len(grid) :], surfaces.faces[0]):
            self._topology = torch.cat([grid, surfaces.faces[0]])
        return self._topology

    def _own_faces(self, surfaces: SurfaceBatch) -> tuple[Tensor, Tensor]:  # [B * F, 3] int32, [B, 2] int32 on the host
        grid = self._grid_faces(surfaces) if surfaces.grid_triangles else surfaces.faces[0, :0]
        return joined_faces(surfaces, grid)

    def _grid_faces(self, surfaces: SurfaceBatch) -> Tensor:  # [2 * quads, 3] int32
        size = (surfaces.grid_height, surfaces.grid_width)
        if self._grid is None or self._grid[0] != size:
            self._grid = size, torch.from_numpy(grid_faces(*size)).to(self.device)
            self._topology = None
        return self._grid[1]

    def _topology_hash(self, faces: Tensor) -> Any:
        if self._hash is None or self._hash[0] is not faces:
            self._hash = faces, self._dr.antialias_construct_topology_hash(faces)
        return self._hash[1]


def clip_space(vertices: Tensor, cameras: CameraBatch) -> Tensor:  # [B, V, 3] -> [B, V, 4] float32
    """Homogeneous clip coordinates, image row 0 at y = -1, near plane at z = -w and far at z = w.

    (x / w + 1) / 2 * width is the continuous image coordinate (origin at the image's corner), so the rasterizer's pixel
    centres are ours. z / w has little precision far beyond the near plane; where a frame's whole surface is in front
    of it, the plane moves out towards the surface, which cuts nothing away.
    """
    pose = cameras.pose.reshape(-1, 3, 4)
    fx, fy, cx, cy = (cameras.lens[:, n] for n in range(4))
    axis = pose[:, 2].float()
    z_low = (torch.einsum("bvk,bk->bv", vertices, axis[:, :3]) + axis[:, 3:]).amin(dim=1).double()
    near, far = cameras.lens[:, 4], cameras.far
    near = torch.where((z_low > near) & (NEAR_SHARE * z_low < far), torch.maximum(near, NEAR_SHARE * z_low), near)
    lens = torch.zeros((len(pose), 4, 4), dtype=torch.float64, device=pose.device)
    lens[:, 0, 0], lens[:, 0, 2] = 2 * fx / cameras.width, 2 * cx / cameras.width - 1
    lens[:, 1, 1], lens[:, 1, 2] = 2 * fy / cameras.height, 2 * cy / cameras.height - 1
    lens[:, 2, 2], lens[:, 2, 3] = (far + near) / (far - near), -2 * far * near / (far - near)
    lens[:, 3, 2] = 1
    bottom = pose.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(pose), 1, 4)
    matrix = (lens @ torch.cat([pose, bottom], dim=1)).float()
    return torch.baddbmm(matrix[:, None, :, 3], vertices, matrix[:, :, :3].transpose(1, 2))


def joined_faces(surfaces: SurfaceBatch, grid: Tensor) -> tuple[Tensor, Tensor]:  # [B * F, 3] int32, [B, 2] int32
    """Triangles of all frames over all their vertices, and each frame's first and how many it has (on the host).

    Every frame has as many: those of dropped quads have no area, which the rasterizer passes over.
    """
    frames, each = surfaces.size, surfaces.num_triangles
    faces = torch.empty((frames, each, 3), dtype=torch.int32, device=grid.device)
    faces[:, : len(grid)] = grid
    if surfaces.quad_flags is not None:
        dropped = (surfaces.quad_flags & QUAD_DROP) != 0
        faces[:, : len(grid)].masked_fill_(dropped.repeat(1, 2)[..., None], 0)
    faces[:, len(grid) :] = surfaces.faces
    faces += torch.arange(0, frames * surfaces.num_vertices, surfaces.num_vertices, device=grid.device)[:, None, None]
    first = torch.arange(frames, dtype=torch.int32) * each
    return faces.flatten(0, 1), torch.stack([first, torch.full_like(first, each)], dim=1)


def triangle_numbers(hits: Tensor) -> Tensor:  # [B, H, W, 4] float32 -> [B, H, W] int64, -1 for none
    """Which triangle was hit. Numbers that float32 cannot count are its bits, less an offset."""
    code = hits[..., 3].contiguous()
    large = code.view(torch.int32).long() - 0x4A800000
    return torch.where(code <= 2.0**24, code.long(), large) - 1


def shown(hits: Tensor, places: Tensor, faces: Tensor, surfaces: SurfaceBatch) -> Tensor | None:  # [B, H, W] bool
    """Where the triangle that was hit may show colour, or None if all may.

    ``places`` and ``faces`` are [B, V, 4] and [F, 3] of frames with one topology, else [B * V, 4] and [B * F, 3].
    """
    if not surfaces.one_sided and surfaces.quad_flags is None:
        return None
    number = triangle_numbers(hits).clamp_min_(0)  # no hit has alpha 0 anyway
    frame = torch.arange(surfaces.size, device=number.device)[:, None, None]
    result = torch.ones(number.shape, dtype=torch.bool, device=number.device)
    if surfaces.one_sided:  # x, y, w as homogeneous image coordinates: a negative volume turns its back
        corner = faces[number].long()
        if places.ndim == 3:
            corner = corner + frame[..., None] * surfaces.num_vertices
        a, b, c = places.reshape(-1, 4)[:, [0, 1, 3]][corner].unbind(-2)
        result &= (a * torch.linalg.cross(b, c)).sum(dim=-1) >= 0
    if surfaces.quad_flags is not None:
        own, quads = number % surfaces.num_triangles, surfaces.quad_flags.shape[1]
        flags = surfaces.quad_flags[frame, own.clamp_max(2 * quads - 1) % quads]
        bit = torch.where(own < quads, QUAD_HIDE_UPPER, QUAD_HIDE_LOWER)
        result &= (own >= 2 * quads) | ((flags & bit) == 0)
    return result


def _finish(picture: Tensor, shown: Tensor | None, options: RasterOptions) -> DrawnBatch:
    """Bytes and mask from interpolated values [B, H, W, 4 or 5]."""
    mask = picture[..., 3] > options.mask_threshold
    if shown is not None:
        mask &= shown
    rounding = DARKER if options.round_colors_down else 0.5
    colour = torch.where(mask[..., None], picture[..., :3] + rounding, 0.0).to(torch.uint8)
    depth = torch.where(mask, picture[..., 4], 0.0) if picture.shape[-1] > 4 else None
    return DrawnBatch(colour, mask, depth)
