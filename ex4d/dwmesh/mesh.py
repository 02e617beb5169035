"""DWMesh: a clip's depth as one watertight grid mesh per frame, with the topology shared by all frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from ex4d.dwmesh.kernels import fill_colors, grid_faces, lift_rows, thin_grid_faces, visible_grid_rows
from ex4d.errors import DepthError, SettingError, ShapeError
from ex4d.raster.bands import Split, serial
from ex4d.raster.base import Surface
from ex4d.types import Bool, Clip, Float32, Int8, Int32, MeshOptions, UInt8

FACE_AUTO, FACE_VISIBLE, FACE_OCCLUDED = 0, 1, 2
"""Values of ``face_flags``: decide by angle, always visible, always occluded."""


class DWMesh:
    """Depth Watertight Mesh (EX-4D, section 3.1), built frame by frame when asked; nothing per frame is kept.

    Vertex ``row * width + column`` is the pixel's centre (or corner, see ``MeshOptions.pixel_anchor``) lifted to its
    depth, in the source camera's axes (x right, y down, z forward). The outermost rows and columns lie at
    ``options.border_depth`` and two caps close the surface there. Faces are never removed: an occluded face hides what
    is behind it, and the vertices it touches are not visible.

    Raises DepthError for depth that is not positive and finite, SettingError for a mode that cannot be built,
    ShapeError for overrides or flags that do not fit. All methods are safe to call from several threads.
    """

    def __init__(
        self,
        clip: Clip,
        options: MeshOptions = MeshOptions(),
        *,
        vertex_overrides: Mapping[int, Float32] = {},  # frame -> [H * W, 3]
        face_flags: Mapping[int, Int8] = {},  # frame -> [F] FACE_*
    ) -> None:
        if options.mode != "endless":
            raise SettingError(f"Occluder mode {options.mode!r} is not available in this version; use 'endless'.")
        _check_depth(clip.depth)
        self.clip = clip
        self.options = options
        self._overrides = {t: self._checked_override(t, v) for t, v in vertex_overrides.items()}
        self._flags = {t: self._checked_flags(t, f) for t, f in face_flags.items()}
        anchor = 0.5 if options.pixel_anchor == "center" else 0.0
        k = clip.intrinsics
        self._ray_x = ((np.arange(self.width) + anchor - k.cx) / k.fx).astype(np.float32)
        self._ray_y = ((np.arange(self.height) + anchor - k.cy) / k.fy).astype(np.float32)
        self._tan_sq = math.tan(math.radians(options.min_angle_deg)) ** 2

    @property
    def num_frames(self) -> int:
        """T."""
        return self.clip.num_frames

    @property
    def height(self) -> int:
        """Rows of vertices (the clip's height in pixels)."""
        return self.clip.height

    @property
    def width(self) -> int:
        """Columns of vertices (the clip's width in pixels)."""
        return self.clip.width

    @property
    def num_grid_faces(self) -> int:
        """Faces of the grid, without the two caps that follow them."""
        return 2 * (self.height - 1) * (self.width - 1)

    @cached_property
    def faces(self) -> Int32:  # [F, 3]
        """Vertex indices, the same for every frame: upper-left triangles, lower-right triangles, two caps."""
        faces = grid_faces(self.height, self.width)
        faces.setflags(write=False)
        return faces

    def vertices(self, t: int) -> Float32:  # [H * W, 3]
        """Vertices of frame ``t`` in the source camera's axes, in the depth's unit; edits included."""
        return self._vertices(t, serial)

    def face_occluded(self, t: int) -> Bool:  # [F]
        """Whether each face of frame ``t`` is occluded: by its smallest angle, or as ``face_flags`` says."""
        return self._face_occluded(t, self.vertices(t), serial)

    def vertex_visible(self, t: int) -> Bool:  # [H * W]
        """Whether each vertex of frame ``t`` touches visible faces only."""
        return self._vertex_visible(self.face_occluded(t), serial)

    def colors(self, t: int) -> UInt8:  # [H * W, 4]
        """RGBA per vertex of frame ``t``: the pixel's colour, alpha 255 where visible and 0 elsewhere."""
        return self._colors(t, self.vertex_visible(t), serial)

    def surface(self, t: int, split: Split = serial) -> Surface:
        """Frame ``t`` as a rasterizer takes it, vertices and colours built in one pass.

        ``split`` shares the rows among threads; the result is the same.
        """
        vertices = self._vertices(t, split)
        colors = self._colors(t, self._vertex_visible(self._face_occluded(t, vertices, split), split), split)
        return Surface(vertices, colors, self.faces[-2:], self.height, self.width)

    def _vertices(self, t: int, split: Split) -> Float32:
        self._check_frame(t)
        if t in self._overrides:
            return self._overrides[t].copy()
        out = np.empty((self.height * self.width, 3), np.float32)
        depth, border = self.clip.depth[t], self.options.border_depth
        split(self.height, lambda a, b: lift_rows(depth, self._ray_x, self._ray_y, border, a, b, out))
        return out

    def _face_occluded(self, t: int, vertices: Float32, split: Split) -> Bool:
        occluded = np.empty(self.num_grid_faces + 2, np.bool_)
        h, w = self.height, self.width
        split(h - 1, lambda a, b: thin_grid_faces(vertices, h, w, self._tan_sq, a, b, occluded))
        occluded[-2:] = self.options.hide_caps or self._thin_caps(vertices)
        flags = self._flags.get(t)
        if flags is not None:
            occluded[flags == FACE_VISIBLE] = False
            occluded[flags == FACE_OCCLUDED] = True
        return occluded

    def _thin_caps(self, vertices: Float32) -> Bool:  # [2]
        corner = vertices[self.faces[-2:]].astype(np.float64)  # [2, 3, 3]
        edge = np.roll(corner, -1, axis=1) - corner
        normal_sq = (np.cross(edge[:, 0], -edge[:, 2]) ** 2).sum(axis=1)
        largest_dot = -(edge * np.roll(edge, 1, axis=1)).sum(axis=2).min(axis=1)
        return normal_sq < self._tan_sq * largest_dot**2

    def _vertex_visible(self, occluded: Bool, split: Split) -> Bool:
        visible = np.empty(self.height * self.width, np.bool_)
        h, w = self.height, self.width
        split(h, lambda a, b: visible_grid_rows(occluded, h, w, a, b, visible))
        visible[self.faces[-2:][occluded[-2:]]] = False
        return visible

    def _colors(self, t: int, visible: Bool, split: Split) -> UInt8:
        colors = np.empty((self.height * self.width, 4), np.uint8)
        frame, blank = self.clip.frames[t].reshape(-1, 3), self.options.blank_occluded_colors
        split(len(visible), lambda a, b: fill_colors(frame, visible, blank, a, b, colors))
        return colors

    def _check_frame(self, t: int) -> None:
        if not 0 <= t < self.num_frames:
            raise SettingError(f"Frame {t} does not exist; the clip has frames 0 to {self.num_frames - 1}.")

    def _checked_override(self, t: int, vertices: Float32) -> Float32:
        self._check_frame(t)
        wanted = (self.height * self.width, 3)
        if vertices.shape != wanted:
            raise ShapeError(f"Edited vertices of frame {t} must be {wanted}, got {vertices.shape}; keep the topology.")
        if not np.isfinite(vertices).all():
            bad = int((~np.isfinite(vertices)).any(axis=1).sum())
            raise ShapeError(f"Edited vertices of frame {t} hold NaN or infinity at {bad} vertices; undo that edit.")
        return np.ascontiguousarray(vertices, np.float32)

    def _checked_flags(self, t: int, flags: Int8) -> Int8:
        self._check_frame(t)
        wanted = (self.num_grid_faces + 2,)
        if flags.shape != wanted:
            raise ShapeError(f"Face flags of frame {t} must be {wanted}, got {flags.shape}; keep the topology.")
        if ((flags < FACE_AUTO) | (flags > FACE_OCCLUDED)).any():
            raise SettingError(f"Face flags are 0 (auto), 1 (visible) or 2 (occluded); frame {t} has others.")
        return np.ascontiguousarray(flags, np.int8)


def _check_depth(depth: Float32) -> None:
    low, high = float(depth.min()), float(depth.max())  # NaN shows up in both
    if not (low > 0 and math.isfinite(high)):
        bad = int((~(np.isfinite(depth) & (depth > 0))).sum())
        raise DepthError(
            f"Depth must be positive and finite, but {bad} of {depth.size} pixels are not; "
            "fill them first (--fill-invalid does it while loading)."
        )
