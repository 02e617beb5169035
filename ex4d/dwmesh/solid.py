"""Solid occluders: depth edges closed by walls of finite thickness, instead of sheets that reach the background.

The surface of one frame, around the editable grid and in the same axes:

- *Grid*: the clip's pixels inside a ring one pixel outside the picture, which lies at the border depth; the two caps
  join the ring's corners. Quads that a depth edge crosses are dropped, so every pixel keeps its own square.
- *Pieces and walls* (:mod:`ex4d.dwmesh.walls`) fill the dropped quads up to the edge and close the nearer side behind.
- *Bridges* (:mod:`ex4d.dwmesh.bridges`) carry on under a nearer object what is seen beside it.

The surface is one-sided: seen from behind, the front blocks and shows nothing, so that it is its own back. A ray that
enters an object between its walls from behind is stopped by the front; no copy of the front is needed for that.
"""

import copy
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from msgspec import structs

from ex4d.bands import Split
from ex4d.compiled.arrays import plain
from ex4d.dwmesh import edges
from ex4d.dwmesh.backdrop import Backdrop
from ex4d.dwmesh.bridges import STRIP_FACES, STRIP_VERTICES, bridge_rows, count_row_cuts
from ex4d.dwmesh.frame_views import FrameViews
from ex4d.dwmesh.kernels import fill_ringed_colors, lift_rows
from ex4d.dwmesh.memory import WorldMemory
from ex4d.dwmesh.sharpen import is_smeared, roughness, sharpened, smear_px
from ex4d.dwmesh.still import SteadyDepth, wavers
from ex4d.dwmesh.thickness import BUSH_PX, REMEMBERED_BUSH_PX, checked_map, estimated
from ex4d.dwmesh.walls import QUAD_FACES, SIDE_FACES, SIDE_VERTICES, build_pieces, count_cuts
from ex4d.surface import QUAD_DROP, Surface, SurfacePair, cap_faces
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float32, Float64, Int8, Int32, Int64, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.options import MeshOptions

# Found on rendered scenes with known visibility (see ex4d.eval), and checked on others.
RIM_PX = 0.6
"""How far, in pixel widths, a surface turns away between its last pixel and its rim."""
SMEARED_JUMP = 0.03
"""The least jump at an edge of depth that was smeared: its surfaces are not quite smooth once it is sharp again."""
ROUGH_JUMP = 4.0
"""The least jump at an edge, in terms of the depth's own roughness."""
BEHIND_BACKDROP = 1.06
"""Factor on the depth of bridges where other frames show what is there."""
SAME_SURFACE = 0.085
"""Share of the inverse depth by which two ends of a covered surface may miss each other."""

_Vertices = tuple[Float32, UInt8]  # [V, 3], and their colours [V, 4]


class Optics(NamedTuple):
    """What a lens makes of the ringed grid."""

    ray_x: Float32  # [W + 2] x at depth 1
    ray_y: Float32  # [H + 2] y at depth 1
    pitch: Float64  # [2] width and height of a pixel at depth 1
    steep: Float64  # [2] steps of the inverse depth, as a share, from which on a slope is an edge

    @classmethod
    def of(cls, k: Intrinsics, options: MeshOptions) -> "Optics":
        """Those of the lens ``k``."""
        pitch = np.array([1 / k.fx, 1 / k.fy])
        anchor = 0.5 if options.pixel_anchor == "center" else 0.0
        x = ((np.arange(k.width + 2) - 1 + anchor - k.cx) / k.fx).astype(np.float32)
        y = ((np.arange(k.height + 2) - 1 + anchor - k.cy) / k.fy).astype(np.float32)
        tan = math.tan(math.radians(options.min_angle_deg))
        # A step dz over a pixel of width z * pitch is steep where pitch * z / dz < tan; the same in inverse depth.
        return cls(x, y, pitch, pitch / (tan + pitch))

    @property
    def inner(self) -> tuple[Float32, Float32]:  # [W], [H]
        """The rays without the ring's."""
        return self.ray_x[1:-1], self.ray_y[1:-1]


class _Built(NamedTuple):
    """A surface, and how much of it no backdrop changes: all but the bridges, which come last."""

    surface: Surface
    own_vertices: int
    own_faces: int


class SolidBuilder:
    """Builds the solid surfaces of one clip. Safe to use from several threads.

    ``thickness_map`` overrides the options' thickness where it is not NaN: [H, W] for all frames or [T, H, W], lengths
    in the depth's unit. Raises ShapeError or SettingError for a map that does not fit or holds negative values.
    """

    def __init__(self, clip: Clip, options: MeshOptions, thickness_map: Float32 | None = None) -> None:
        self._clip, self._options = clip, options
        self.thickness_map = None if thickness_map is None else checked_map(clip, thickness_map)
        sharpen = options.sharpen_edges
        self._smeared = sharpen == "on" or (sharpen == "auto" and is_smeared(clip.depth))
        self._smear_px = smear_px(clip.depth) if self._smeared else 0.0
        steady = options.steady_depth == "on" or (options.steady_depth == "auto" and wavers(clip))
        self.depth_at = SteadyDepth(clip, self._sharp).at if steady else self._sharp
        self.prepares_depth = steady or self._smeared
        self.jump = max(options.edge_jump, SMEARED_JUMP if self._smeared else 0.0, ROUGH_JUMP * roughness(clip.depth))
        self.first_optics = Optics.of(clip.intrinsics, options)
        """Those of frame 0, and of every frame where the camera does not zoom."""
        self.memory: WorldMemory | None = None
        self.backdrop: Backdrop | WorldMemory | None = None
        if options.other_frames:
            if options.world_memory and (clip.moving_camera is not None or clip.sets):
                alone = structs.replace(options, other_frames=False, world_memory=False)
                sets = [(each, SolidBuilder(each.clip, alone).views) for each in clip.sets]
                self.memory = WorldMemory(clip, self.views, sets)
            self.backdrop = self.memory or Backdrop(clip, self.views)
        self.bush_px = BUSH_PX if self.memory is None else REMEMBERED_BUSH_PX
        self._caps = cap_faces(clip.height + 2, clip.width + 2)

    @property
    def views(self) -> FrameViews:
        """The frames, for who joins several."""
        return FrameViews(self.depth_at, lambda t: self.optics(t).inner, lambda t: (self.jump, self.optics(t).steep))

    def optics(self, t: int) -> "Optics":
        """What the lens makes of the grid of frame ``t``."""
        lens = self._clip.lens(t)
        return self.first_optics if lens is self._clip.intrinsics else Optics.of(lens, self._options)

    def with_other_frames(self) -> "SolidBuilder":
        """The same with the background that other frames saw, of a camera that stands still. Raises SettingError."""
        other = copy.copy(self)
        other.backdrop = Backdrop(self._clip, self.views)
        return other

    def with_clip(self, clip: Clip) -> "SolidBuilder":
        """The same with the colours of another clip of the same depth."""
        other = copy.copy(self)
        other._clip = clip
        return other

    def cuts(self, t: int, edited: Float32 | None, flags: Int8 | None, split: Split) -> UInt8:  # [H + 2, W + 2]
        """Depth edges of frame ``t`` as :func:`ex4d.dwmesh.edges.cut_rows` marks them."""
        return self._cuts(t, np.float32(1) / self._depth(t, edited), flags, split)

    def thickness(self, t: int, edited: Float32 | None, flags: Int8 | None, split: Split) -> Float32:  # [H, W]
        """How far each pixel at a depth edge reaches back, in the depth's unit; NaN at all others."""
        inverse = np.float32(1) / self._depth(t, edited)
        cuts = self._cuts(t, inverse, flags, split)
        thickness = self._thickness(t, inverse, cuts, split)
        return np.where(edges.at_cuts(cuts), thickness, np.float32(np.nan))[1:-1, 1:-1]

    def near_sides(self, t: int, edited: Float32 | None, flags: Int8 | None, split: Split) -> Bool:  # [H, W]
        """Pixels at the nearer side of a depth edge."""
        inverse = np.float32(1) / self._depth(t, edited)
        return edges.near_sides(self._cuts(t, inverse, flags, split), inverse)[1:-1, 1:-1]

    def depth(self, t: int, edited: Float32 | None) -> Float32:  # [H, W]
        """Depth of every pixel as the surface has it: sharpened, steadied and edited."""
        return self._depth(t, edited)[1:-1, 1:-1]

    def bridges(self, t: int, edited: Float32 | None, flags: Int8 | None, split: Split) -> Float32:  # [N, 4, 3]
        """Corners of the hidden strips under nearer things, each one pixel high: left and right above, then below."""
        inverse = np.float32(1) / self._depth(t, edited)
        cuts = self._cuts(t, inverse, flags, split)
        strips = np.zeros(len(inverse), np.int64)
        count_row_cuts(cuts, 1, len(inverse) - 1, strips)
        (vertex_at, vertices), (face_at, faces) = _starts(STRIP_VERTICES * strips, 0), _starts(STRIP_FACES * strips, 0)
        out = np.zeros((vertices, 3), np.float32)
        self._bridge(t, inverse, cuts, (vertex_at, face_at), out, np.zeros((faces, 3), np.int32), split)
        corners = out.reshape(-1, STRIP_VERTICES, 3)
        return corners[corners[:, 0, 2] > 0]

    def surface(
        self,
        t: int,
        hidden: Bool | None,  # [H * W] pixels that show nothing
        edited: Float32 | None,  # [H * W, 3] vertices in place of the lifted depth
        flags: Int8 | None,  # [F] FACE_* values
        split: Split,
    ) -> Surface:
        """Frame ``t`` as a rasterizer takes it; ``split`` shares the rows among threads, the result is the same."""
        return self._finished(t, self._built(t, hidden, edited, flags, split), self.backdrop)

    def surface_beside(
        self,
        other: "SolidBuilder",
        t: int,
        hidden: Bool | None,  # [H * W]
        edited: Float32 | None,  # [H * W, 3]
        flags: Int8 | None,  # [F]
        split: Split,
    ) -> SurfacePair:
        """The surface, and that of ``other``, which is :meth:`with_other_frames` of this one."""
        built = self._built(t, hidden, edited, flags, split)
        one, two = (self._finished(t, built, each.backdrop) for each in (self, other))
        return SurfacePair(one, two, built.own_vertices, built.own_faces)

    def _built(self, t: int, hidden: Bool | None, edited: Float32 | None, flags: Int8 | None, split: Split) -> "_Built":
        depth = self._depth(t, edited)
        height, width = depth.shape
        inverse = np.float32(1) / depth
        cuts = self._cuts(t, inverse, flags, split)
        quads = np.empty((height - 1, width - 1), np.uint8)
        counts = np.empty((height - 1, 2), np.int64)

        def find_quads(first: int, last: int) -> None:
            edges.quad_cuts(cuts, first, last, quads)
            count_cuts(quads, first, last, counts)

        split(height - 1, find_quads)
        strips = np.zeros(height, np.int64)
        count_row_cuts(cuts, 1, height - 1, strips)
        vertex_at, vertex_end = _starts(SIDE_VERTICES * counts[:, 0], height * width)
        face_at, face_end = _starts(SIDE_FACES * counts[:, 0] + QUAD_FACES * counts[:, 1], len(self._caps))
        strip_vertex_at, vertex_total = _starts(STRIP_VERTICES * strips, vertex_end)
        strip_face_at, face_total = _starts(STRIP_FACES * strips, face_end)

        thickness = self._thickness(t, inverse, cuts, split)  # before there is room for the rest: it takes much itself
        # Strips that turn out not to be needed stay without area; all are hidden, so their colours stay zero.
        vertices, colors = np.empty((vertex_total, 3), np.float32), np.empty((vertex_total, 4), np.uint8)
        faces = np.empty((face_total, 3), np.int32)
        vertices[vertex_end:], colors[vertex_end:] = (0, 0, self._options.border_depth), 0
        self._fill_grid(t, depth, edited, hidden, (vertices, colors), split)
        faces[: len(self._caps)], faces[face_end:] = self._caps, 0
        del depth
        rim = 1.0 + RIM_PX * float(self.optics(t).pitch.mean())
        out = vertex_at, face_at, vertices, colors, faces
        split(height - 1, lambda a, b: build_pieces(quads, cuts, thickness, rim, a, b, *out))
        self._bridge(t, inverse, cuts, (strip_vertex_at, strip_face_at), vertices, faces, split)
        dropped = (quads != 0).view(np.uint8).ravel()
        dropped *= np.uint8(QUAD_DROP)
        return _Built(Surface(vertices, colors, faces, height, width, dropped, one_sided=True), vertex_end, face_end)

    def _finished(self, t: int, built: "_Built", backdrop: Backdrop | WorldMemory | None) -> Surface:
        """The surface with what ``backdrop`` shows behind it; the one without stays as it is."""
        surface = built.surface
        if backdrop is None:
            return surface
        own, strips = np.split(surface.vertices, [built.own_vertices])
        strips = strips.copy()
        if isinstance(backdrop, WorldMemory):
            sheet = backdrop.behind(t)
            backdrop.drop_bridges(t, strips)
        else:
            hidden, sheet = backdrop.behind(t)
            self._push_bridges(t, strips, hidden)
        return replace(
            surface,
            vertices=np.concatenate([own, strips, sheet.vertices]),
            colors=np.concatenate([surface.colors, sheet.colors]),
            faces=np.concatenate([surface.faces, sheet.faces + np.int32(len(surface.vertices))]),
        )

    def _depth(self, t: int, edited: Float32 | None) -> Float32:  # [H + 2, W + 2]
        """Depth of every vertex of the grid, the ring's included."""
        size = self._clip.height + 2, self._clip.width + 2
        depth = np.empty(size, np.float32)
        depth[[0, -1]], depth[:, [0, -1]] = self._options.border_depth, self._options.border_depth
        depth[1:-1, 1:-1] = self.depth_at(t)
        if edited is not None:
            changed = self.changed(t, edited)
            depth[1:-1, 1:-1][changed] = edited.reshape(*changed.shape, 3)[changed, 2]
        return depth

    def _sharp(self, t: int) -> Float32:  # [H, W]
        """The clip's depth with its edges sharpened where they are smeared."""
        given = plain(self._clip.depth[t])
        return sharpened(given, self._smear_px) if self._smeared else given

    def changed(self, t: int, edited: Float32) -> Bool:  # [H, W]
        """Which vertices were edited: those not where the editable grid, with its ring at the border, has them."""
        z = self._clip.depth[t].copy()
        z[[0, -1]], z[:, [0, -1]] = self._options.border_depth, self._options.border_depth
        x, y = self.optics(t).inner
        given = np.stack([x * z, y[:, None] * z, z], axis=-1)
        return (np.abs(edited.reshape(given.shape) - given) > 1e-6 * z[..., None]).any(axis=-1)

    def _fill_grid(
        self, t: int, depth: Float32, edited: Float32 | None, hidden: Bool | None, built: _Vertices, split: Split
    ) -> None:
        """Vertices and colours of the ringed grid."""
        (height, width), (vertices, colors) = depth.shape, built
        frame, none = plain(self._clip.frames[t]), np.empty(0, np.bool_)
        border, of = float(self._options.border_depth), self.optics(t)

        def work(first: int, last: int) -> None:
            lift_rows(depth, of.ray_x, of.ray_y, border, first, last, vertices)
            fill_ringed_colors(frame, none if hidden is None else hidden, first, last, colors)

        split(height, work)
        if edited is not None:
            changed = self.changed(t, edited)
            inner = vertices[: height * width].reshape(height, width, 3)[1:-1, 1:-1]
            inner[changed] = edited.reshape(*changed.shape, 3)[changed]

    def _cuts(self, t: int, inverse: Float32, flags: Int8 | None, split: Split) -> UInt8:
        cuts = np.empty(inverse.shape, np.uint8)
        jump, (steep_x, steep_y) = float(self.jump), (float(s) for s in self.optics(t).steep)
        split(len(inverse), lambda a, b: edges.cut_rows(inverse, jump, steep_x, steep_y, a, b, cuts))
        if flags is not None:
            edges.apply_flags(flags, self._clip.height, self._clip.width, cuts)
        return cuts

    def _thickness(self, t: int, inverse: Float32, cuts: UInt8, split: Split) -> Float32:  # [H + 2, W + 2]
        given = self._options.thickness
        if isinstance(given, str):
            thickness = estimated(inverse, cuts, self.optics(t).pitch, self.bush_px, split)
            if self.memory is not None:
                self._limit(self.memory, t, inverse, cuts, thickness, split)
        elif self._options.thickness_unit == "share":
            thickness = np.float32(given) / inverse
        else:
            thickness = np.full(inverse.shape, given, np.float32)
        if self.thickness_map is not None:
            painted = self.thickness_map[t] if self.thickness_map.ndim == 3 else self.thickness_map
            inner = thickness[1:-1, 1:-1]
            inner[...] = np.where(np.isnan(painted), inner, painted)
        return thickness

    def _limit(
        self, memory: WorldMemory, t: int, inverse: Float32, cuts: UInt8, thickness: Float32, split: Split
    ) -> None:
        """Let walls whose thickness is a guess end where other frames look through them."""
        rim, inner = edges.at_cuts(cuts)[1:-1, 1:-1].copy(), thickness[1:-1, 1:-1].copy()
        memory.limit_thickness(t, np.float32(1) / inverse[1:-1, 1:-1], rim, inner, split)
        thickness[1:-1, 1:-1] = inner

    def _bridge(
        self,
        t: int,
        inverse: Float32,
        cuts: UInt8,
        at: tuple[Int64, Int64],
        vertices: Float32,
        faces: Int32,
        split: Split,
    ) -> None:
        x, y, pitch, _ = self.optics(t)
        rays: Float64 = np.array([x[0], pitch[0], y[0], pitch[1]], np.float64)

        def work(first: int, last: int) -> None:
            bridge_rows(inverse, cuts, SAME_SURFACE, rays, first + 1, last + 1, *at, vertices, faces)

        split(len(y) - 2, work)

    def _push_bridges(self, t: int, strips: Float32, hidden: Bool) -> None:  # [4 * N, 3], [H, W]
        """Guesses give way to what was seen: strips under the middle of which the backdrop shows move behind it."""
        x, y = (strips[:, :2] / strips[:, 2:]).reshape(-1, 4, 2).mean(axis=1).T
        ray_x, ray_y, pitch, _ = self.optics(t)
        row = np.rint((y - ray_y[1]) / pitch[1]).astype(int).clip(0, hidden.shape[0] - 1)
        column = np.rint((x - ray_x[1]) / pitch[0]).astype(int).clip(0, hidden.shape[1] - 1)
        strips[np.repeat(hidden[row, column], 4)] *= BEHIND_BACKDROP


def _starts(sizes: Int64, first: int) -> tuple[Int64, int]:
    """Where each of several parts begins behind ``first``, and where the last ends."""
    ends = first + np.cumsum(sizes)
    return ends - sizes, int(ends[-1])
