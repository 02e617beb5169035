"""Solid surfaces of many frames at once, built on the device from a clip that is kept there."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import triton
from torch import Tensor

from ex4d.dwmesh import bridges, edges, solid, walls
from ex4d.dwmesh import thickness as guess
from ex4d.dwmesh.gpu import bridge_kernels, piece_kernels, solid_kernels, thickness_kernels
from ex4d.dwmesh.gpu.parts import Parts
from ex4d.dwmesh.gpu.solid_memory import SolidMemory
from ex4d.dwmesh.mesh import DWMesh
from ex4d.surface.batch import SurfaceBatch
from ex4d_ground.arrays import Bool, Float32, Float64, Int64, UInt8

BLOCK = 256  # lanes a program in the passes over vertices, and columns that a pass over a row looks at together
QUAD_BLOCK = 64  # cut quads a program: each needs many registers
BRIDGE_BLOCK = max(64, triton.next_power_of_2(bridges.MAX_RUN))  # columns that a row's one warp looks at together
CORNER_BLOCK = 64  # cut quads a program of the thickness estimate
LINES = 32  # rows or columns that a warp steps along
COUNTED_FRAMES = 16  # whose edges are counted together
CAPS = 2


class DeviceSolid:
    """Builds the solid surfaces of a mesh's clip as :class:`ex4d.dwmesh.solid.SolidBuilder` does, many at a time.

    Vertices, colours and faces have the CPU's values in the CPU's order. Behind those of a frame that has fewer than
    its batch's largest come hidden vertices at the border depth and faces without area. Nothing is done frame by frame:
    a batch takes a fixed number of launches, and the host waits for none of them. What it has to know beforehand, how
    many edges each frame has, is counted when the clip is uploaded. What the CPU does well and the camera does not
    change is done then as well: smeared edges sharpened, wavering depth steadied, the world's memory voted on.

    Of backdrops from other frames only a memory (``MeshOptions.world_memory``) is built here.
    """

    def __init__(self, mesh: DWMesh, device: torch.device, depth: Tensor, frames: Tensor) -> None:
        """``depth`` [T, H * W] and ``frames`` [T, H * W, 3] are the clip's, on ``device``."""
        assert mesh.solid is not None
        builder = self._builder = mesh.solid
        self._mesh, self._device, self._frames = mesh, device, frames
        self.height, self.width = mesh.height + 2, mesh.width + 2
        self._grid = self.height * self.width
        self._ray_x, self._ray_y = (self._upload(ray) for ray in builder.first_optics[:2])
        self._numbers = self._upload(numbers(mesh))
        self._times = torch.arange(mesh.num_frames, dtype=torch.int32, device=device)
        slots = np.full((2, mesh.num_frames), -1, np.int32)
        slots[0, list(mesh.vertex_overrides)] = np.arange(len(mesh.vertex_overrides))
        slots[1, list(mesh.face_flags)] = np.arange(len(mesh.face_flags))
        self._slots = self._upload(slots)
        changed = {t: builder.changed(t, edited).reshape(-1) for t, edited in mesh.vertex_overrides.items()}
        moved = [
            np.where(changed[t][:, None], edited, np.float32(np.nan)) for t, edited in mesh.vertex_overrides.items()
        ]
        self._edits = self._upload(np.stack(moved)) if moved else None
        marks = [_marks(mesh, t) for t in mesh.face_flags]
        self._marks = self._upload(np.stack(marks)) if marks else None
        self._map = None if builder.thickness_map is None else self._upload(builder.thickness_map)
        self._depth = depth if not (builder.prepares_depth or moved) else self._upload(_prepared(mesh, changed))
        self._counts = self._counted()
        self._memory: SolidMemory | None = None
        if builder.memory is not None:
            # The memory knows nothing of edits and flags.
            plain = self._upload(_prepared(mesh, {})) if moved else self._depth
            self._memory = SolidMemory(mesh, device, plain, self._crossed_without_edits, edited=bool(moved or marks))

    def surfaces(self, times: list[int]) -> SurfaceBatch:
        """The surfaces of source frames ``times`` (any order, repeats allowed)."""
        parts = self.parts(times)
        self.build_pieces(parts, self.thickness(parts))
        self.build_bridges(parts)
        if self._memory is not None:
            vertices, faces = self._sizes_alone(times)
            self._memory.join(parts, self._on_device(np.stack([vertices + self._grid, faces + CAPS])))
        return SurfaceBatch(
            parts.vertices, parts.colors, parts.faces, self.height, self.width, parts.dropped, one_sided=True
        )

    def sizes(self, times: list[int] | None = None) -> tuple[int, int]:
        """Vertices, and faces beside the grid's, of the largest of ``times`` (by default of all frames)."""
        vertices, faces = self._sizes_alone(times)
        if self._memory is not None:
            more = self._memory.counts if times is None else self._memory.counts[times]
            vertices, faces = vertices + more[:, 0], faces + more[:, 1]
        return self._grid + int(vertices.max()), CAPS + int(faces.max())

    def _sizes_alone(self, times: list[int] | None) -> tuple[Int64, Int64]:  # [B], [B]
        """Vertices and faces of walls and bridges."""
        sides, quads, strips = (self._counts if times is None else self._counts[times]).T
        vertices = walls.SIDE_VERTICES * sides + bridges.STRIP_VERTICES * strips
        return vertices, walls.SIDE_FACES * sides + walls.QUAD_FACES * quads + bridges.STRIP_FACES * strips

    def bytes_per_frame(self) -> int:
        """Device memory that building the largest frame takes besides its surface."""
        most = int(self._counts.max())
        own = self._grid * (4 + 1 + 1 + 4 * 4) + 4 * (3 * self.height + 8 * most)
        return own + (0 if self._memory is None else self._memory.bytes_per_frame())

    def parts(self, times: list[int]) -> Parts:
        """The grids with their vertices, colours and depth edges; all else hidden and without area."""
        batch, size = len(times), self.height * self.width
        count, num_faces = self.sizes(times)
        most = np.maximum(self._counts[times].max(axis=0), 1)
        vertices, colors = self._empty((batch, count, 3)), self._empty((batch, count, 4), torch.uint8)
        faces = self._empty((batch, num_faces, 3), torch.int32)
        inverse, cuts = self._empty((batch, size)), self._empty((batch, size), torch.uint8)
        dropped = self._empty((batch, (self.height - 1) * (self.width - 1)), torch.uint8)
        at = self._frames_on_device(times)
        self._lay_grid(at, cuts, inverse, vertices, colors)
        ends = torch.cumsum(self._count(cuts, dropped), dim=2, dtype=torch.int32)
        quads = self._empty((batch, int(most[1]), 2), torch.int32)
        strips = self._empty((batch, int(most[2])), torch.int32)
        solid_kernels.list_cuts[(self.height, batch)](
            cuts, ends, quads, strips, self.height, self.width, quads.shape[1], strips.shape[1], BLOCK=BLOCK
        )
        piece_kernels.blank_rest[(triton.cdiv(max(count - size, num_faces), BLOCK), batch)](
            self._numbers, vertices, colors.view(torch.int32), faces, size, count, num_faces, self.width, BLOCK=BLOCK
        )
        return Parts(at, vertices, colors, faces, inverse, cuts, dropped, ends, quads, strips)

    def thickness(self, parts: Parts) -> Tensor:  # [B, H * W] float32, or [B, most, 4]
        """How far things reach back, in the depth's unit: of every vertex, or of the corners of ``parts.quads``."""
        options = self._mesh.options
        if isinstance(options.thickness, str):
            estimate = self._estimated(parts)
            if self._memory is not None:
                self._memory.limit_thickness(parts, estimate, self._ray_x, self._ray_y)
            return self._painted_corners(parts, estimate)
        if options.thickness_unit == "share":
            thickness = self._numbers[-1].float() / parts.inverse
        else:
            thickness = torch.full_like(parts.inverse, options.thickness)
        if self._map is not None:
            inner, painted = thickness.view(-1, self.height, self.width)[:, 1:-1, 1:-1], self._painted(parts)
            inner.copy_(torch.where(painted.isnan(), inner, painted))
        return thickness

    def build_pieces(self, parts: Parts, thickness: Tensor) -> None:
        """Fill the dropped quads up to their depth edges and close the nearer sides behind."""
        batch, most = parts.quads.shape[:2]
        piece_kernels.build_pieces[(triton.cdiv(most, QUAD_BLOCK), batch)](
            parts.cuts, parts.ends, parts.quads, thickness, self._numbers,
            parts.vertices, parts.colors.view(torch.int32), parts.faces,
            self.height, self.width, parts.vertices.shape[1], parts.faces.shape[1], most,
            AT_CORNERS=thickness.ndim == 3, BLOCK=QUAD_BLOCK, num_warps=QUAD_BLOCK // 32, enable_fp_fusion=False,
        )  # fmt: skip

    def build_bridges(self, parts: Parts) -> None:
        """Continue under nearer objects what is seen beside them."""
        batch, most = parts.bridges.shape
        bridge_kernels.bridge_rows[(self.height - 2, batch)](
            parts.inverse, parts.cuts, parts.ends, parts.bridges, torch.empty_like(parts.bridges), self._numbers,
            parts.vertices, parts.faces,
            self.height, self.width, parts.vertices.shape[1], parts.faces.shape[1], most,
            BLOCK=BRIDGE_BLOCK, num_warps=1, enable_fp_fusion=False,
        )  # fmt: skip

    def _crossed_without_edits(self, times: Tensor, depth: Tensor) -> Tensor:  # [B, (H - 1) * (W - 1)] uint8
        """Quads that an edge of the given depth [T, H * W] crosses."""
        cuts = self._empty((len(times), self._grid), torch.uint8)
        dropped = self._empty((len(times), (self.height - 1) * (self.width - 1)), torch.uint8)
        self._lay_grid(times, cuts, without_edits=depth)
        self._count(cuts, dropped)
        return dropped

    def _lay_grid(self, times: Tensor, cuts: Tensor, *targets: Tensor, without_edits: Tensor | None = None) -> None:
        """``targets``: inverse depth, vertices and colours, or none of them."""
        none, size = self._numbers, self.height * self.width
        inverse, vertices, colors = targets or (none, none, none)
        plain = without_edits is None
        solid_kernels.lay_grid[(triton.cdiv(size, BLOCK), len(times))](
            times, self._depth if plain else without_edits, self._frames, self._ray_x, self._ray_y, self._slots,
            none if self._edits is None else self._edits, none if self._marks is None else self._marks, self._numbers,
            inverse, cuts, vertices, colors.view(torch.int32) if targets else none,
            self._mesh.num_frames, self.height, self.width, vertices.shape[1] if targets else 0,
            HAS_EDITS=plain and self._edits is not None, HAS_MARKS=plain and self._marks is not None,
            ONLY_CUTS=not targets,
            BLOCK=BLOCK, enable_fp_fusion=False,
        )  # fmt: skip

    def _count(self, cuts: Tensor, dropped: Tensor | None) -> Tensor:  # [B, 3, H] int32
        counts = self._empty((len(cuts), 3, self.height), torch.int32)
        solid_kernels.count_rows[(self.height, len(cuts))](
            cuts, counts, cuts if dropped is None else dropped, self.height, self.width,
            ONLY_COUNT=dropped is None, BLOCK=BLOCK,
        )  # fmt: skip
        return counts

    def _counted(self) -> np.ndarray:  # [T, 3] int64 cut sides, cut quads and possible bridges of every frame
        counts = []
        for times in self._times.split(COUNTED_FRAMES):
            cuts = self._empty((len(times), self.height * self.width), torch.uint8)
            self._lay_grid(times, cuts)
            counts.append(self._count(cuts, None).sum(dim=2))
        return torch.cat(counts).cpu().numpy()

    def _estimated(self, parts: Parts) -> Tensor:  # [B, most, 4] float32
        height, width = self.height, self.width
        rows = self._runs(parts, height, width, width, 1, edges.CUT_RIGHT)
        columns = self._runs(parts, width, height, 1, width, edges.CUT_DOWN)
        batch, most = parts.quads.shape[:2]
        thickness = self._empty((batch, most, 4))
        thickness_kernels.corner_thickness[(triton.cdiv(most, CORNER_BLOCK), batch)](
            parts.inverse, parts.cuts, *rows, *columns, parts.ends, parts.quads, self._numbers, thickness,
            height, width, most, width.bit_length(), height.bit_length(),
            BLOCK=CORNER_BLOCK, num_warps=CORNER_BLOCK // 32, enable_fp_fusion=False,
        )  # fmt: skip
        return thickness

    def _runs(self, parts: Parts, lines: int, length: int, line_step: int, step: int, bit: int) -> tuple[Tensor, ...]:
        batch, size = parts.inverse.shape
        ends, maxima = self._empty((batch, size), torch.int32), self._empty((batch, size))
        counts = self._empty((batch, lines), torch.int32)
        thickness_kernels.line_runs[(triton.cdiv(lines, LINES), batch)](
            parts.inverse, parts.cuts, ends, maxima, counts, lines, length, line_step, step,
            BIT=bit, LINES=LINES, num_warps=1,
        )  # fmt: skip
        return ends, maxima, counts

    def _painted(self, parts: Parts) -> Tensor:  # [B or 1, H - 2, W - 2] float32, NaN where nothing was painted
        assert self._map is not None
        return self._map[parts.times.long()] if self._map.ndim == 3 else self._map[None]

    def _painted_corners(self, parts: Parts, thickness: Tensor) -> Tensor:  # [B, most, 4]
        """``thickness`` but where the map says otherwise; entries behind a frame's last quad mean nothing."""
        if self._map is None:
            return thickness
        ringed = torch.nn.functional.pad(self._painted(parts), (1, 1, 1, 1), value=float("nan")).flatten(1)
        corners = torch.tensor([0, 1, self.width + 1, self.width], device=self._device)
        vertex = parts.quads[..., 0].clamp(0, ringed.shape[1] - self.width - 2).long()[..., None] + corners
        painted = ringed.expand(len(vertex), -1).gather(1, vertex.flatten(1)).view_as(thickness)
        return torch.where(painted.isnan(), thickness, painted)

    def _frames_on_device(self, times: list[int]) -> Tensor:  # [B] int32
        if times == list(range(times[0], times[0] + len(times))):
            return self._times[times[0] : times[0] + len(times)]  # the usual case: nothing to copy
        return self._on_device(times)

    def _on_device(self, values: list[int] | Int64) -> Tensor:  # int32
        """A few numbers, without waiting for what the device has yet to do."""
        # From a list: tensors made of arrays cannot be pinned.
        host = torch.tensor(np.asarray(values).tolist(), dtype=torch.int32, pin_memory=self._device.type == "cuda")
        return host.to(self._device, non_blocking=True)

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self._device)

    def _upload(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def numbers(mesh: DWMesh) -> Float64:
    """The settings that the kernels share, at the places they name."""
    builder, options = mesh.solid, mesh.options
    assert builder is not None
    area = guess.CROWD_PX**2
    optics = builder.first_optics  # a clip that zooms is built on the host
    x, y = (float(ray[0]) for ray in optics[:2])
    pitch_x, pitch_y = (float(p) for p in optics.pitch)
    grid = [options.border_depth, builder.jump, *optics.steep, x, pitch_x, y, pitch_y]
    runs = [guess.DEPTH_PER_WIDTH, guess.LEAST_PER_WIDTH, guess.PER_COVERED_END, guess.PARTLY_COVERED_PX]
    crowd = [guess.LARGEST_SHARE, guess.CROWD_SHARES[0] * area, guess.CROWD_SHARES[1] * area, builder.bush_px]
    rim = [1.0 + solid.RIM_PX * float(optics.pitch.mean()), walls.LEAST_END, walls.HALF]
    turn = [*walls.ROUND, walls.ROUND_START, walls.ROUND_GAIN, *walls.ROUND_LIMITS]
    given = 0.0 if isinstance(options.thickness, str) else options.thickness
    down = guess.COLUMN_RATIO * pitch_y
    return np.array([*grid, *runs, *crowd, down, *rim, *turn, solid.SAME_SURFACE, bridges.CLEARANCE, given], np.float64)


def _prepared(mesh: DWMesh, changed: dict[int, Bool]) -> Float32:  # [T, H * W]
    """Depth of every frame as the CPU builds from it: sharpened, steadied, edited."""
    assert mesh.solid is not None
    with ThreadPoolExecutor(min(mesh.num_frames, os.cpu_count() or 1)) as pool:
        depth = np.stack(list(pool.map(mesh.solid.depth_at, range(mesh.num_frames))))
    depth = depth.reshape(mesh.num_frames, -1)
    for t, at in changed.items():
        depth[t, at] = mesh.vertex_overrides[t][at, 2]
    return depth


def _marks(mesh: DWMesh, t: int) -> UInt8:  # [(H + 2) * (W + 2)]
    """What frame ``t``'s flags leave of depth edges, and which pixels they hide."""
    flags = mesh.face_flags[t]
    marks = np.full((mesh.height + 2, mesh.width + 2), edges.CUT_RIGHT | edges.CUT_DOWN, np.uint8)
    edges.apply_flags(flags, mesh.height, mesh.width, marks)
    hidden = mesh.hidden_by_flags(t)
    assert hidden is not None
    marks[1:-1, 1:-1] |= hidden.reshape(mesh.height, mesh.width).astype(np.uint8) * np.uint8(solid_kernels.HIDDEN.value)
    return marks.reshape(-1)
