"""What :mod:`ex4d.raster.antialias` does, on a device, from the z-buffer of the Triton rasterizer."""

from __future__ import annotations

import torch
from torch import Tensor

from ex4d.raster.antialias import NOTHING, PUBLISHED_STEP, REACH, published_topology
from ex4d.raster.gpu.batch import DARKER, CameraBatch, DrawnBatch
from ex4d.raster.subpixels import SUBPIXELS
from ex4d.surface.batch import SurfaceBatch
from ex4d_ground.options import RasterOptions


def snap(image: Tensor, inv_z: Tensor, sx: Tensor, sy: Tensor) -> None:
    """Put vertices that are in front ([B, V], ``inv_z`` > 0) where the published rasterizer has them."""
    places = torch.floor(image * (SUBPIXELS / PUBLISHED_STEP) + 0.5) * PUBLISHED_STEP
    for axis, snapped in enumerate((sx, sy)):
        snapped.copy_(torch.where(inv_z > 0, places[..., axis], snapped.double()).to(torch.int32))


def to_image(vertices: Tensor, cameras: CameraBatch) -> tuple[Tensor, Tensor]:  # [B, V, 2], [B, V, 3] float64
    """Image coordinates in pixels (beyond all sense where z is near 0), and the vertices in camera axes."""
    pose = cameras.pose.reshape(-1, 3, 4)
    seen = torch.einsum("bvk,bnk->bvn", vertices.double(), pose[..., :3]) + pose[:, None, :, 3]
    return seen[..., :2] / seen[..., 2:] * cameras.lens[:, None, :2] + cameras.lens[:, None, 2:4], seen


def antialiased(
    surfaces: SurfaceBatch,
    cameras: CameraBatch,
    image: Tensor,  # [B, V, 2]
    seen: Tensor,  # [B, V, 3]
    number: Tensor,  # [B, H, W] int64 triangle, NOTHING where none is
    options: RasterOptions,
    *,
    depth: bool,
) -> DrawnBatch:
    """The picture of a batch; frame by frame, which bounds the memory that it takes."""
    frames = [_Frame(surfaces, cameras, image, seen, number, t) for t in range(surfaces.size)]
    blended = [frame.blended() for frame in frames]
    values = torch.stack([value for value, _ in blended])
    mask = values[..., 3] > options.mask_threshold
    rounding = DARKER if options.round_colors_down else 0.5
    colour = torch.where(mask[..., None], (values[..., :3] + rounding).clamp(0, 255), 0.0).to(torch.uint8)
    if not depth:
        return DrawnBatch(colour, mask, None)
    z = torch.stack([torch.where(inverse > 0, 1 / inverse, 0.0) for _, inverse in blended])
    return DrawnBatch(colour, mask, torch.where(mask, z, 0.0).float())


class _Frame:
    """One frame's z-buffer with its triangles."""

    def __init__(
        self, surfaces: SurfaceBatch, cameras: CameraBatch, image: Tensor, seen: Tensor, number: Tensor, t: int
    ) -> None:
        flags = None if surfaces.quad_flags is None else surfaces.quad_flags[t].cpu().numpy()
        further = surfaces.faces[min(t, len(surfaces.faces) - 1)].cpu().numpy()
        made = published_topology((surfaces.grid_height, surfaces.grid_width), flags, further)
        self.faces, self.hidden, self.opposite = (torch.from_numpy(array).to(number.device) for array in made)
        self.faces, self.opposite = self.faces.long(), self.opposite.long()
        self.image, self.seen, self.number = image[t], seen[t], number[t]
        self.colors, self.lens, self.one_sided = surfaces.colors[t].double(), cameras.lens[t], surfaces.one_sided

    def shaded(self) -> tuple[Tensor, Tensor]:  # [H, W, 4], [H, W] float64
        """RGBA, alpha 0 where the triangle is hidden, and 1 / z; both 0 where nothing is."""
        height, width = self.number.shape
        device = self.number.device
        x = (torch.arange(width, device=device, dtype=torch.float64) + 0.5 - self.lens[2]) / self.lens[0]
        y = (torch.arange(height, device=device, dtype=torch.float64) + 0.5 - self.lens[3]) / self.lens[1]
        ray = torch.stack([*torch.meshgrid(y, x, indexing="ij"), torch.ones_like(self.number, dtype=torch.float64)], -1)
        ray = ray[..., [1, 0, 2]]
        there = self.number != NOTHING
        n = self.number.clamp_min(0)
        corners = self.faces[n]  # [H, W, 3]
        a, b, c = (self.seen[corners[..., k]] for k in range(3))
        q = torch.stack([(ray * torch.linalg.cross(p, r)).sum(-1) for p, r in ((b, c), (c, a), (a, b))], -1)
        volume = (a * torch.linalg.cross(b, c)).sum(-1)
        back = q.sum(-1) < 0
        q = torch.where(back[..., None], -q, q).clamp_min(0)
        total = q.sum(-1)
        values = sum(q[..., k : k + 1] * self.colors[corners[..., k]] for k in range(3))
        values = values / torch.where(total > 0, total, 1.0)[..., None]
        off = (self.hidden[n] > 0) | (back if self.one_sided else torch.zeros_like(back))
        values[..., 3] = torch.where(off, 0.0, values[..., 3])
        drawn = there & (total > 0)
        inverse = torch.where(drawn & (volume != 0), total / volume.abs(), 0.0)
        return torch.where(drawn[..., None], values, 0.0), inverse

    def blended(self) -> tuple[Tensor, Tensor]:
        """The same after every pixel was blended with its right and its lower neighbour where a silhouette runs."""
        values, inverse = self.shaded()
        result = values.clone()
        for down in (False, True):
            first = (slice(None, -1), slice(None)) if down else (slice(None), slice(None, -1))
            second = (slice(1, None), slice(None)) if down else (slice(None), slice(1, None))
            row, column = torch.nonzero(self.number[first] != self.number[second], as_tuple=True)
            row1, column1 = row + int(down), column + int(not down)
            n0, n1 = self.number[row, column], self.number[row1, column1]
            nearer = inverse[row, column].float() > inverse[row1, column1].float()
            owns = (n1 == NOTHING) | ((n0 != NOTHING) & nearer)
            share = self._share(
                torch.where(owns, n0, n1),
                torch.where(owns, column, column1) + 0.5,
                torch.where(owns, row, row1) + 0.5,
                down,
                torch.where(owns, 1.0, -1.0).double(),
            )
            taken = share[:, None] * (values[row1, column1] - values[row, column])
            to_row, to_column = torch.where(share > 0, row, row1), torch.where(share > 0, column, column1)
            result.index_put_((to_row, to_column), taken, accumulate=True)
        return result, inverse

    def _share(self, number: Tensor, x: Tensor, y: Tensor, down: bool, side: Tensor) -> Tensor:  # [N]
        corners, across = self.faces[number], self.opposite[number]
        image = self.image[corners]  # [N, 3, 2]
        turn = _turn(*image.unbind(1))
        centre = torch.stack([x, y], -1).double()
        best, result = torch.full_like(side, -torch.inf), torch.zeros_like(side)
        for k in range(3):
            start, end = image[:, (k + 1) % 3], image[:, (k + 2) % 3]
            (p, q), (r, s) = (
                each.flip(-1).unbind(-1) if down else each.unbind(-1) for each in (start - centre, end - centre)
            )
            crosses = (q >= 0) != (s >= 0)
            distance = side * (p - q * (r - p) / torch.where(crosses, s - q, 1.0))
            chosen = crosses & (distance > best)
            beyond = self.image[across[:, k].clamp_min(0)]
            outline = (across[:, k] < 0) | ((_turn(beyond, start, end) >= 0) == (turn >= 0))
            counts = outline & ((s - q).abs() >= (r - p).abs()) & (distance > -REACH) & (distance < 1 + REACH)
            share = torch.where(counts, side * (0.5 - distance.clamp(0, 1)), 0.0)
            best, result = torch.where(chosen, distance, best), torch.where(chosen, share, result)
        return result


def _turn(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (c[..., 0] - a[..., 0]) * (b[..., 1] - a[..., 1])
