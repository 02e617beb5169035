"""World memory on the device: voted on there, and taken by many frames at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import triton
from torch import Tensor
from torch.nn.functional import max_pool2d

from ex4d.dwmesh import memory, memory_kernels, moving_backdrop
from ex4d.dwmesh.gpu import memory_kernels as kernels
from ex4d.dwmesh.gpu.remembered import Remembered, mesh_of
from ex4d.dwmesh.memory import Memory
from ex4d.dwmesh.mesh import DWMesh
from ex4d.dwmesh.moving_backdrop import SAME_COLOUR, SAME_DEPTH
from ex4d_ground.arrays import Float64

BLOCK = 256  # vertices, faces or pixels a program
VOTERS = 4  # pixels a program of the vote, each with all frames beside it;
VOTERS_IN_TURN = 64  # more where programs run one after the other


@dataclass(frozen=True)
class Chosen:
    """What the frames of a batch take of the memory."""

    slots: Tensor  # [B, V] int32 used vertices up to and with each
    places: Tensor  # [B, F] int32 chosen faces up to and with each

    @property
    def counts(self) -> Tensor:  # [B, 2] int32 vertices and faces
        """How much that is."""
        return torch.stack([self.slots[:, -1], self.places[:, -1]], dim=1)


class DeviceMemory:
    """What :class:`ex4d.dwmesh.memory.WorldMemory` is, on a device.

    The frames that vote are uploaded and asked round by round, each twice as fine as the one before: all pixels of a
    round's frames, and all frames about each, in one launch. A batch of frames then takes its parts of the memory in a
    fixed number of launches. The operations are the CPU's; sheets come in another order. A ``given`` memory is taken
    as it is.
    """

    def __init__(self, mesh: DWMesh, device: torch.device, given: Memory | None = None) -> None:
        assert mesh.solid is not None and mesh.solid.memory is not None
        self._device, self._host = device, mesh.solid.memory
        of = self._host.witnesses
        self.numbers = self._upload(numbers())
        self.count, self.height, self.width = of.depths.shape
        self.depths, self.crossed = self._upload(of.depths), self._upload(of.crossed.view(np.uint8))
        self.nearest, self.lenses = self._upload(of.nearest), self._upload(of.lenses)
        poses = self._host.poses
        back = np.linalg.inv(of.poses)
        self.walls = self._upload(back[None] @ poses[:, None])  # [T, K, 4, 4]
        self._from_world = self._upload(np.linalg.inv(poses))
        self._lens = self._upload(self._host.lens)
        self.mesh = self._voted() if given is None else Remembered.of(given, device)

    def bytes_per_frame(self, pixels: int) -> int:
        """Device memory that a frame's part of the memory takes while it is looked for."""
        return 6 * self.mesh.num_vertices + 5 * self.mesh.num_faces + 4 * pixels

    def chosen(self, times: Tensor, own: Tensor, crossed: Tensor) -> Chosen:
        """What frames ``times`` [B] int32 that show ``own`` [B, H, W] take.

        ``crossed`` [B, H + 1, W + 1] has the quads of their ringed grids that an edge crosses.
        """
        batch, found = len(times), self.mesh
        state = self._empty((batch, found.num_vertices))
        self._place(times, own, own, crossed, state, None)
        taken, used = self._empty((batch, found.num_faces)), torch.zeros_like(state)
        kernels.choose_faces[(triton.cdiv(found.num_faces, BLOCK), batch)](
            found.faces, state, taken, used, found.num_vertices, found.num_faces, BLOCK=BLOCK
        )
        slots, places = (torch.cumsum(each, dim=1, dtype=torch.int32) for each in (used, taken))
        return Chosen(slots, places)

    def lay(
        self,
        chosen: Chosen,
        times: Tensor,
        own: Tensor,
        crossed: Tensor,
        starts: Tensor,  # [2, B] int32 first vertex and first face of each frame's part
        surface: tuple[Tensor, Tensor, Tensor],  # vertices [B, V, 3], colours [B, V, 4] and faces [B, N, 3], written
    ) -> None:
        """Put what was chosen behind the frames' own surfaces."""
        vertices, colors, faces = surface
        self._place(times, own, _widest(own, 1), crossed, chosen.slots, (chosen.slots, starts, vertices, colors))
        kernels.lay_faces[(triton.cdiv(self.mesh.num_faces, BLOCK), len(times))](
            self.mesh.faces, chosen.places, chosen.slots, starts, faces,
            self.mesh.num_vertices, self.mesh.num_faces, faces.shape[1], BLOCK=BLOCK,
        )  # fmt: skip

    def _place(
        self,
        times: Tensor,
        own: Tensor,
        farthest: Tensor,
        crossed: Tensor,
        state: Tensor,
        to: tuple[Tensor, Tensor, Tensor, Tensor] | None,
    ) -> None:
        batch, height, width = own.shape
        found, line = self.mesh, width + 1
        slots, starts, vertices, colors = to or (state, state, found.vertices[None], found.colors)
        kernels.place_vertices[(triton.cdiv(found.num_vertices, BLOCK), batch)](
            times, found.vertices, self._from_world, self._lens, own, farthest, crossed.flatten()[line + 1 :],
            self.numbers, state, slots, starts, found.colors.view(torch.int32), vertices,
            colors.view(torch.int32), found.num_vertices, height, width, line, line * (height + 1), vertices.shape[1],
            PLACE=to is not None, BLOCK=BLOCK, enable_fp_fusion=False,
        )  # fmt: skip

    def _voted(self) -> Remembered:
        """The memory, from all frames."""
        of, shape = self._host.witnesses, (self.count, self.height, self.width)
        colours = self._upload(of.colours)
        poses = self._upload(np.stack([of.seen_from(k) for k in range(self.count)]))
        held, sheet = (torch.zeros(shape, dtype=torch.uint8, device=self._device) for _ in range(2))
        depth, colour, around = self.depths.clone(), colours.clone(), _levels_around(colours)
        done: list[int] = []
        voters = VOTERS_IN_TURN if self._device.type == "cpu" else VOTERS
        for together in self._host.rounds:
            frames = torch.tensor(together, dtype=torch.int32, device=self._device)
            covered = self._covered(frames, [done] * len(together), held, poses)
            wanted = _grown(1 - covered)
            votes = self._empty(covered.shape)
            kernels.vote[(triton.cdiv(self.height * self.width, voters), len(together))](
                frames, wanted, self.depths, self.crossed, self.nearest, colours, *around, poses, self.lenses,
                self.numbers, votes, depth, colour, self.count, self.height, self.width,
                BLOCK=voters, COUNT=max(2, triton.next_power_of_2(self.count)), enable_fp_fusion=False,
            )  # fmt: skip
            still = 1 - _moved(self.depths[frames.long()], votes == memory_kernels.CONTRADICTED)
            kept = (votes == memory_kernels.CONFIRMED).to(torch.uint8) * still
            held[frames.long()] = kept | (covered * still)
            before = [together[:n] for n in range(len(together))]
            covered |= self._covered(frames, before, held, poses)
            sheet[frames.long()] = kept * _grown(1 - covered)
            done += together
        order = torch.tensor(done, device=self._device)
        places = self._upload(of.poses)
        parts = sheet[order], depth[order], colour[order], self.crossed[order], self.lenses[order], places[order]
        return mesh_of(*parts, most_faces=memory.MOST_FACES)

    def _covered(self, frames: Tensor, asked: list[list[int]], held: Tensor, poses: Tensor) -> Tensor:  # [N, H, W]
        """Pixels of ``frames`` whose surface the frames that each may ask put into the memory."""
        may = np.zeros((len(asked), self.count), np.uint8)
        for n, others in enumerate(asked):
            may[n, others] = 1
        out = self._empty((len(asked), self.height, self.width))
        kernels.mark_covered[(triton.cdiv(self.height * self.width, BLOCK), len(asked))](
            frames, self.depths, self.crossed, held, self._upload(may), poses, self.lenses, self.numbers, out,
            self.count, self.height, self.width, BLOCK=BLOCK, enable_fp_fusion=False,
        )  # fmt: skip
        return out

    def _empty(self, shape: tuple[int, ...] | torch.Size) -> Tensor:
        return torch.empty(tuple(shape), dtype=torch.uint8, device=self._device)

    def _upload(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def numbers() -> Float64:
    """The settings that the kernels share, at the places they name."""
    vote = [SAME_DEPTH, SAME_COLOUR, moving_backdrop.LOOKED_THROUGH, memory.REMEMBERED_DEPTH, memory.COARSER]
    wall = [memory.WALL_MOVES, memory.WALL_DEPTH, memory.WALL_FRAMES, memory.SEAM_PX, memory_kernels.LEAST_INVERSE]
    return np.array([*vote, memory_kernels.BEHIND, *wall], np.float64)


def _widest(values: Tensor, pixels: int) -> Tensor:  # [B, H, W] floating point
    """The greatest of all values within so many pixels of each."""
    return max_pool2d(values[:, None], 2 * pixels + 1, stride=1, padding=pixels)[:, 0]


def _levels_around(colours: Tensor) -> tuple[Tensor, Tensor]:  # [K, H, W, 3] uint8
    """The least and the most levels of the nine pixels around each, a frame at a time."""
    least, most = torch.empty_like(colours), torch.empty_like(colours)
    for picture, low, high in zip(colours, least, most, strict=True):
        levels = picture.permute(2, 0, 1).float()
        low.copy_((255 - _widest(255 - levels, 1)).permute(1, 2, 0))
        high.copy_(_widest(levels, 1).permute(1, 2, 0))
    return least, most


def _moved(depth: Tensor, contradicted: Tensor) -> Tensor:  # [N, H, W] float32, bool -> uint8
    """What goes with places that are looked through: all around them that does not lie behind them."""
    around = _widest(torch.where(contradicted, depth, 0.0), memory.GROWN_PX)
    return (depth <= (1 + SAME_DEPTH) * around).to(torch.uint8)


def _grown(mask: Tensor) -> Tensor:  # [B, H, W] uint8
    return _widest(mask.float(), memory.GROWN_PX).to(torch.uint8)
