"""Solid occluders: depth edges closed by walls of finite thickness, instead of sheets that reach the background.

The surface of one frame, around the editable grid and in the same axes:

- *Grid*: the clip's pixels inside a ring one pixel outside the picture, which lies at the border depth; the two caps
  join the ring's corners. Quads that a depth edge crosses are dropped, so every pixel keeps its own square.
- *Pieces and walls* (:mod:`ex4d.dwmesh.walls`) fill the dropped quads up to the edge and close the nearer side behind.
- *Bridges* (:mod:`ex4d.dwmesh.bridges`) carry on under a nearer object what is seen beside it.

The surface is one-sided: seen from behind, the front blocks and shows nothing, so that it is its own back. A ray that
enters an object between its walls from behind is stopped by the front; no copy of the front is needed for that.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ex4d.dwmesh.bridges import STRIP_FACES, STRIP_VERTICES, bridge_rows, count_row_cuts
from ex4d.dwmesh.edges import (
    apply_flags,
    column_thickness,
    cut_rows,
    quad_cuts,
    row_thickness,
    settle_thickness,
)
from ex4d.dwmesh.kernels import fill_ringed_colors, lift_rows
from ex4d.dwmesh.sharpen import is_smeared, sharpened
from ex4d.dwmesh.walls import QUAD_FACES, SIDE_FACES, SIDE_VERTICES, build_pieces, count_cuts
from ex4d.errors import SettingError, ShapeError
from ex4d.raster.bands import Split
from ex4d.raster.base import QUAD_DROP, Surface
from ex4d.types import Bool, Clip, Float32, Float64, Int8, Int32, Int64, MeshOptions, UInt8

# Found on rendered scenes with known visibility (see ex4d.eval), and checked on others.
DEPTH_PER_WIDTH = 1.0
"""How deep a thing is taken to be, from its nearest point on, for its smaller extent across the picture."""
LEAST_PER_WIDTH = 0.2
"""What a wall has of that extent at least."""
PARTLY_COVERED_PX = 0.7
"""Pixels that a run counts too many: those at its ends are covered in part."""
LARGEST_SHARE = 0.3
"""No estimate is more than this share of the depth."""
CROWD_PX = 9
"""Side of the window in which cut pixels are counted, and the thickness, in pixels, where they are dense (foliage)."""
CROWD_SHARES = (0.3, 0.5)
"""Share of cut pixels in the window at which a thicket begins, and is complete."""
RIM_PX = 0.4
"""How far, in pixel widths, a surface turns away between its last pixel and its rim."""
SAME_SURFACE = 0.1
"""Share of the inverse depth by which two ends of a covered surface may miss each other."""


class SolidBuilder:
    """Builds the solid surfaces of one clip. Safe to use from several threads.

    ``thickness_map`` overrides the options' thickness where it is not NaN: [H, W] for all frames or [T, H, W], lengths
    in the depth's unit. Raises ShapeError or SettingError for a map that does not fit or holds negative values.
    """

    def __init__(self, clip: Clip, options: MeshOptions, thickness_map: Float32 | None = None) -> None:
        self._clip, self._options = clip, options
        self._map = None if thickness_map is None else _checked_map(clip, thickness_map)
        edges = options.sharpen_edges
        self._smeared = edges == "on" or (edges == "auto" and is_smeared(clip.depth))
        k = clip.intrinsics
        self._pitch = np.array([1 / k.fx, 1 / k.fy])
        anchor = 0.5 if options.pixel_anchor == "center" else 0.0
        self._ray_x = ((np.arange(clip.width + 2) - 1 + anchor - k.cx) / k.fx).astype(np.float32)
        self._ray_y = ((np.arange(clip.height + 2) - 1 + anchor - k.cy) / k.fy).astype(np.float32)
        tan = math.tan(math.radians(options.min_angle_deg))
        # A step dz over a pixel of width z * pitch is steep where pitch * z / dz < tan; the same in inverse depth.
        self._steep = self._pitch / (tan + self._pitch)
        height, width = clip.height + 2, clip.width + 2
        last = height * width - 1
        self._caps = np.array([[width - 1, 0, last], [last, 0, last - width + 1]], np.int32)

    def cuts(self, t: int, edited: Float32 | None, flags: Int8 | None, split: Split) -> UInt8:  # [H + 2, W + 2]
        """Depth edges of frame ``t`` as :func:`ex4d.dwmesh.edges.cut_rows` marks them."""
        return self._cuts(np.float32(1) / self._depth(t, edited), flags, split)

    def surface(
        self,
        t: int,
        hidden: Bool | None,  # [H * W] pixels that show nothing
        edited: Float32 | None,  # [H * W, 3] vertices in place of the lifted depth
        flags: Int8 | None,  # [F] FACE_* values
        split: Split,
    ) -> Surface:
        """Frame ``t`` as a rasterizer takes it; ``split`` shares the rows among threads, the result is the same."""
        height, width = len(self._ray_y), len(self._ray_x)
        depth = self._depth(t, edited)
        inverse = np.float32(1) / depth
        cuts = self._cuts(inverse, flags, split)
        quads = np.empty((height - 1, width - 1), np.uint8)
        counts = np.empty((height - 1, 2), np.int64)

        def find_quads(first: int, last: int) -> None:
            quad_cuts(cuts, first, last, quads)
            count_cuts(quads, first, last, counts)

        split(height - 1, find_quads)
        strips = np.zeros(height, np.int64)
        count_row_cuts(cuts, 1, height - 1, strips)
        vertex_at, vertex_end = _starts(SIDE_VERTICES * counts[:, 0], height * width)
        face_at, face_end = _starts(SIDE_FACES * counts[:, 0] + QUAD_FACES * counts[:, 1], len(self._caps))
        strip_vertex_at, vertex_total = _starts(STRIP_VERTICES * strips, vertex_end)
        strip_face_at, face_total = _starts(STRIP_FACES * strips, face_end)

        # Strips that turn out not to be needed stay without area; all are hidden, so their colours stay zero.
        vertices, colors = np.empty((vertex_total, 3), np.float32), np.empty((vertex_total, 4), np.uint8)
        faces = np.empty((face_total, 3), np.int32)
        vertices[vertex_end:], colors[vertex_end:] = (0, 0, self._options.border_depth), 0
        self._fill_grid(t, depth, hidden, edited, vertices, colors, split)
        faces[: len(self._caps)], faces[face_end:] = self._caps, 0
        thickness = self._thickness(t, inverse, cuts, split)
        rim = 1.0 + RIM_PX * float(self._pitch.mean())
        split(
            height - 1,
            lambda a, b: build_pieces(quads, thickness, rim, a, b, vertex_at, face_at, vertices, colors, faces),
        )
        self._bridge(inverse, cuts, strip_vertex_at, strip_face_at, vertices, faces, split)
        dropped = (quads != 0).astype(np.uint8).ravel() * np.uint8(QUAD_DROP)
        return Surface(vertices, colors, faces, height, width, dropped, one_sided=True)

    def _depth(self, t: int, edited: Float32 | None) -> Float32:  # [H + 2, W + 2]
        """Depth of every vertex of the grid, the ring's included."""
        depth = np.full((len(self._ray_y), len(self._ray_x)), self._options.border_depth, np.float32)
        given = self._clip.depth[t]
        depth[1:-1, 1:-1] = sharpened(given) if self._smeared else given
        if edited is not None:
            changed = self._changed(edited)
            depth[1:-1, 1:-1][changed] = edited.reshape(*changed.shape, 3)[changed, 2]
        return depth

    def _changed(self, edited: Float32) -> Bool:  # [H, W]
        """Which edited vertices count: the editable grid's own ring lies at the border; here it keeps its depth."""
        border = self._options.border_depth
        changed = np.abs(edited[:, 2] - border).reshape(self._clip.height, self._clip.width) > 1e-6 * border
        changed[1:-1, 1:-1] = True
        return changed

    def _fill_grid(
        self,
        t: int,
        depth: Float32,
        hidden: Bool | None,
        edited: Float32 | None,
        vertices: Float32,
        colors: UInt8,
        split: Split,
    ) -> None:
        """Vertices and colours of the ringed grid."""
        height, width = depth.shape
        frame, none = self._clip.frames[t], np.empty(0, np.bool_)

        def work(first: int, last: int) -> None:
            lift_rows(depth, self._ray_x, self._ray_y, self._options.border_depth, first, last, vertices)
            fill_ringed_colors(frame, none if hidden is None else hidden, first, last, colors)

        split(height, work)
        if edited is not None:
            changed = self._changed(edited)
            inner = vertices[: height * width].reshape(height, width, 3)[1:-1, 1:-1]
            inner[changed] = edited.reshape(*changed.shape, 3)[changed]

    def _cuts(self, inverse: Float32, flags: Int8 | None, split: Split) -> UInt8:
        cuts = np.empty(inverse.shape, np.uint8)
        jump, (steep_x, steep_y) = self._options.edge_jump, self._steep
        split(len(inverse), lambda a, b: cut_rows(inverse, jump, steep_x, steep_y, a, b, cuts))
        if flags is not None:
            apply_flags(flags, self._clip.height, self._clip.width, cuts)
        return cuts

    def _thickness(self, t: int, inverse: Float32, cuts: UInt8, split: Split) -> Float32:  # [H + 2, W + 2]
        given = self._options.thickness
        if isinstance(given, str):
            thickness = self._estimate(inverse, cuts, split)
        elif self._options.thickness_unit == "share":
            thickness = np.float32(given) / inverse
        else:
            thickness = np.full(inverse.shape, given, np.float32)
        if self._map is not None:
            painted = self._map[t] if self._map.ndim == 3 else self._map
            inner = thickness[1:-1, 1:-1]
            inner[...] = np.where(np.isnan(painted), inner, painted)
        return thickness

    def _estimate(self, inverse: Float32, cuts: UInt8, split: Split) -> Float32:
        height, width = inverse.shape
        pitch_x, pitch_y = (float(p) for p in self._pitch)
        thickness = np.empty(inverse.shape, np.float32)
        factor, least = DEPTH_PER_WIDTH, LEAST_PER_WIDTH
        split(height, lambda a, b: row_thickness(inverse, cuts, pitch_x, factor, least, a, b, thickness))
        split(width, lambda a, b: column_thickness(inverse, cuts, pitch_y, factor, least, a, b, thickness))
        area = CROWD_PX**2
        crowd = cv2.boxFilter((cuts != 0).astype(np.uint8), -1, (CROWD_PX, CROWD_PX), normalize=False)
        limits = np.array(
            [PARTLY_COVERED_PX, LARGEST_SHARE, CROWD_SHARES[0] * area, CROWD_SHARES[1] * area, CROWD_PX], np.float64
        )
        split(height, lambda a, b: settle_thickness(inverse, crowd, pitch_x, limits, a, b, thickness))
        return thickness

    def _bridge(
        self,
        inverse: Float32,
        cuts: UInt8,
        vertex_at: Int64,
        face_at: Int64,
        vertices: Float32,
        faces: Int32,
        split: Split,
    ) -> None:
        x, y = self._ray_x, self._ray_y
        rays: Float64 = np.array([x[0], self._pitch[0], y[0], self._pitch[1]], np.float64)

        def work(first: int, last: int) -> None:
            bridge_rows(inverse, cuts, SAME_SURFACE, rays, first + 1, last + 1, vertex_at, face_at, vertices, faces)

        split(len(y) - 2, work)


def _starts(sizes: Int64, first: int) -> tuple[Int64, int]:
    """Where each of several parts begins behind ``first``, and where the last ends."""
    ends = first + np.cumsum(sizes)
    return ends - sizes, int(ends[-1])


def _checked_map(clip: Clip, thickness: Float32) -> Float32:
    wanted = clip.depth.shape
    if thickness.shape not in (wanted, wanted[1:]):
        raise ShapeError(f"The thickness map must be {wanted[1:]} or {wanted}, got {thickness.shape}.")
    bad = int((np.isinf(thickness) | (thickness < 0)).sum())
    if bad:
        raise SettingError(
            f"The thickness map is negative or infinite at {bad} pixels; use NaN to leave a pixel alone."
        )
    return np.ascontiguousarray(thickness, np.float32)
