"""The mesh of a world memory on the device, and how sheets become one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ex4d.dwmesh.memory import Memory


@dataclass(frozen=True)
class Remembered:
    """The remembered surfaces, in the world of the poses."""

    vertices: Tensor  # [V, 3] float32
    colors: Tensor  # [V, 4] uint8
    faces: Tensor  # [F, 3] int32

    @classmethod
    def of(cls, memory: Memory, device: torch.device) -> Remembered:
        """A memory from the CPU."""
        return cls(*(torch.from_numpy(array).to(device) for array in memory))

    @property
    def num_vertices(self) -> int:
        """V."""
        return len(self.vertices)

    @property
    def num_faces(self) -> int:
        """F."""
        return len(self.faces)


def mesh_of(
    sheet: Tensor,  # [K, H, W] uint8 pixels of each
    depth: Tensor,  # [K, H, W] float32
    colour: Tensor,  # [K, H, W, 3] uint8
    crossed: Tensor,  # [K, H - 1, W - 1] uint8
    lenses: Tensor,  # [K, 4] float64
    poses: Tensor,  # [K, 4, 4] float64
    *,
    most_faces: int,
) -> Remembered:
    """All sheets as one mesh: whole quads where no edge crosses, else each pixel's own part of them.

    Sheets after the first with which there are more than ``most_faces`` triangles are left out.
    """
    there = _corners(sheet > 0)  # [K, H - 1, W - 1, 4] clockwise
    whole = there.all(dim=-1) & (crossed == 0)
    part = there & ~whole[..., None]
    triangles = 2 * (whole.flatten(1).sum(dim=1) + part.flatten(1).sum(dim=1))
    fits = torch.cat([triangles.new_zeros(1), triangles.cumsum(0)[:-1]]) <= most_faces
    whole, part = whole & fits[:, None, None], part & fits[:, None, None, None]
    size, width = sheet[0].numel(), sheet.shape[2]
    steps = torch.tensor([0, 1, width + 1, width], device=sheet.device)
    quads = _first_pixels(whole, size, width)[:, None] + steps  # [Q, 4] pixels, counted over all sheets
    used = torch.zeros(sheet.numel(), dtype=torch.bool, device=sheet.device)
    used[quads.flatten()] = True
    slots, pixels = used.cumsum(0) - 1, used.nonzero()[:, 0]
    quads = slots[quads].int()
    rays, shown = [_rays(pixels, size, width, lenses)], [pixels]
    faces, start = [quads[:, [3, 0, 1]], quads[:, [3, 1, 2]]], len(pixels)
    for n in range(4):  # the quarter next to the n-th corner
        corner = _first_pixels(part[..., n], size, width)[:, None] + steps
        places = _rays(corner, size, width, lenses)  # [N, 4, 2]
        here, along, back = (places[:, (n + d) % 4] for d in (0, 1, 3))
        rays.append(torch.stack([here, (here + along) / 2, places.mean(dim=1), (here + back) / 2], dim=1).flatten(0, 1))
        shown.append(corner[:, n].repeat_interleave(4))
        first = start + 4 * torch.arange(len(corner), dtype=torch.int32, device=sheet.device)[:, None]
        faces += [first + torch.tensor(each, dtype=torch.int32, device=sheet.device) for each in ([3, 0, 1], [3, 1, 2])]
        start += 4 * len(corner)
    return _in_world(torch.cat(rays), torch.cat(shown), depth, colour, poses, torch.cat(faces))


def _corners(mask: Tensor) -> Tensor:  # [K, H, W] -> [K, H - 1, W - 1, 4]
    return torch.stack([mask[:, :-1, :-1], mask[:, :-1, 1:], mask[:, 1:, 1:], mask[:, 1:, :-1]], dim=-1)


def _first_pixels(quads: Tensor, size: int, width: int) -> Tensor:  # [K, H - 1, W - 1] -> [N]
    """The upper left pixel of each marked quad."""
    k, row, column = quads.nonzero().unbind(dim=1)
    return k * size + row * width + column


def _rays(pixels: Tensor, size: int, width: int, lenses: Tensor) -> Tensor:  # [..., 2] float64
    """x and y of pixels at depth 1."""
    lens, at = lenses[pixels // size], pixels % size
    place = torch.stack([at % width, at // width], dim=-1).double()
    return (place - lens[..., 2:]) / lens[..., :2]


def _in_world(
    rays: Tensor, shown: Tensor, depth: Tensor, colour: Tensor, poses: Tensor, faces: Tensor
) -> Remembered:  # [V, 2], [V] pixels
    z = depth.flatten()[shown].double()[:, None]
    points = torch.cat([rays * z, z], dim=1).float().double()
    pose = poses[shown // depth[0].numel()]
    world = (pose[:, :3, :3] * points[:, None]).sum(dim=2) + pose[:, :3, 3]
    opaque = torch.full_like(colour.view(-1, 3)[:1], 255)[:, :1].expand(len(shown), 1)
    return Remembered(world.float(), torch.cat([colour.view(-1, 3)[shown], opaque], dim=1), faces)
