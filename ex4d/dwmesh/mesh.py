"""DWMesh: a clip's depth as one watertight grid mesh per frame, with the topology shared by all frames."""

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
from msgspec import structs

from ex4d.bands import Split, serial
from ex4d.compiled.arrays import plain
from ex4d.dwmesh.edges import quad_cuts
from ex4d.dwmesh.kernels import fill_colors, lift_rows, thin_grid_faces, visible_grid_rows
from ex4d.dwmesh.solid import SolidBuilder
from ex4d.frames import Frames, FrameStore, MappedFrames, bounds_of
from ex4d.sky import before_border, has_sky
from ex4d.surface import QUAD_HIDE_LOWER, QUAD_HIDE_UPPER, Surface, SurfacePair, cap_faces, grid_faces
from ex4d.types import Clip, check_clip_size
from ex4d_ground import remedies
from ex4d_ground.arrays import Bool, Float32, Int8, Int32, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import DepthError, SettingError, ShapeError
from ex4d_ground.options import MeshOptions

FACE_AUTO, FACE_VISIBLE, FACE_OCCLUDED = 0, 1, 2
"""Values of ``face_flags``: decide by angle, always visible, always occluded."""


class DWMesh:
    """Depth Watertight Mesh (EX-4D, section 3.1), built frame by frame when asked; nothing per frame is kept.

    Vertex ``row * width + column`` is the pixel's centre (or corner, see ``MeshOptions.pixel_anchor``) lifted to its
    depth, in the axes of the camera that filmed the frame (x right, y down, z forward), through its lens; where that
    camera moves, :meth:`ex4d.types.Clip.seen_by_source` brings a move into them. The outermost rows and columns lie at
    ``options.border_depth`` and two caps close the surface there.

    This grid is what people see and edit, and the same in both modes; :meth:`surface` is what cameras see. "endless":
    the grid itself; an occluded face hides what is behind it, and the vertices it touches are not visible. "solid":
    occluded faces (those that a depth edge crosses) give way to what :mod:`ex4d.dwmesh.solid` says; only what
    ``face_flags`` calls occluded hides its vertices. ``thickness_map`` (painted, in the depth's unit) overrides
    ``options.thickness`` where it is not NaN.

    Raises DepthError for depth that is not positive and finite, SettingError for a thickness map without solid
    occluders, ShapeError for overrides, flags or a map that do not fit. All methods are safe to call from several
    threads.
    """

    def __init__(
        self,
        clip: Clip,
        options: MeshOptions = MeshOptions(),
        *,
        vertex_overrides: Mapping[int, Float32] = {},  # frame -> [H * W, 3]
        face_flags: Mapping[int, Int8] = {},  # frame -> [F] FACE_*
        thickness_map: Float32 | None = None,  # [H, W] or [T, H, W], NaN where the options decide
    ) -> None:
        if options.mode == "solid":
            check_clip_size(*clip.depth.shape[1:3])
        clip = _with_sky(clip, options.border_depth)
        _check_depth(clip.depth)
        self.clip = clip
        self.options = options
        self.solid = SolidBuilder(clip, options, thickness_map) if options.mode == "solid" else None
        if self.solid is None and thickness_map is not None:
            raise SettingError("A thickness map needs solid occluders; use mode 'solid' or drop the map.")
        self.vertex_overrides: Mapping[int, Float32] = {
            t: self._checked_override(t, v) for t, v in vertex_overrides.items()
        }
        self.face_flags = {t: self._checked_flags(t, f) for t, f in face_flags.items()}
        self.ray_x, self.ray_y = self._rays(clip.intrinsics)
        self.tan_sq = math.tan(math.radians(options.min_angle_deg)) ** 2

    def _rays(self, k: Intrinsics) -> tuple[Float32, Float32]:  # [W], [H]
        anchor = 0.5 if self.options.pixel_anchor == "center" else 0.0
        x, y = np.arange(self.width) + anchor - k.cx, np.arange(self.height) + anchor - k.cy
        return (x / k.fx).astype(np.float32), (y / k.fy).astype(np.float32)

    def rays(self, t: int) -> tuple[Float32, Float32]:  # [W], [H]
        """x and y at depth 1 of the vertices of frame ``t``, by column and row."""
        lens = self.clip.lens(t)
        return (self.ray_x, self.ray_y) if lens is self.clip.intrinsics else self._rays(lens)

    def with_frames(self, frames: UInt8) -> "DWMesh":  # [T, H, W, 3]
        """The same mesh with the colours of other frames, edits and all; background of other moments keeps its own."""
        other = copy.copy(self)
        other.clip = replace(self.clip, frames=frames, plate=None)
        other.solid = None if self.solid is None else self.solid.with_clip(other.clip)
        return other

    def with_other_frames(self) -> "DWMesh":
        """The same solid mesh with the background that other frames saw, of a camera that stands still.

        Raises SettingError for an endless mesh, and for a camera that moves.
        """
        if self.solid is None or self.clip.moving_camera is not None:
            raise SettingError("Other frames join a solid mesh as it is only where the camera stands still.")
        other = copy.copy(self)
        other.options = structs.replace(self.options, other_frames=True, world_memory=True)
        other.solid = self.solid.with_other_frames()
        return other

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
        faces = np.concatenate([grid_faces(self.height, self.width), cap_faces(self.height, self.width)])
        faces.setflags(write=False)
        return faces

    def vertices(self, t: int, split: Split = serial) -> Float32:  # [H * W, 3]
        """Vertices of frame ``t`` in the source camera's axes, in the depth's unit; edits included."""
        self.check_frame(t)
        if t in self.vertex_overrides:
            return self.vertex_overrides[t].copy()
        return self.lifted(t, split)

    def lifted(self, t: int, split: Split = serial) -> Float32:  # [H * W, 3]
        """Vertices of frame ``t`` without edits."""
        self.check_frame(t)
        out = np.empty((self.height * self.width, 3), np.float32)
        (x, y), depth, border = self.rays(t), plain(self.clip.depth[t]), float(self.options.border_depth)
        split(self.height, lambda a, b: lift_rows(depth, x, y, border, a, b, out))
        return out

    def face_occluded(self, t: int) -> Bool:  # [F]
        """Whether each face of frame ``t`` is occluded, by the rule of ``options.mode`` or as ``face_flags`` says.

        Endless: its smallest angle is below the limit. Solid: a depth edge crosses its quad.
        """
        if self.solid is None:
            return self._face_occluded(t, self.vertices(t), serial)
        self.check_frame(t)
        return self._crossed_faces(self.solid, t)

    def vertex_visible(self, t: int) -> Bool:  # [H * W]
        """Whether each vertex of frame ``t`` shows its pixel: by the rule of ``options.mode`` and ``hidden_by``."""
        return self._vertex_visible(t, self.face_occluded(t), serial)

    def colors(self, t: int) -> UInt8:  # [H * W, 4]
        """RGBA per vertex of frame ``t``: the pixel's colour, alpha 255 where visible and 0 elsewhere."""
        return self._colors(t, self.vertex_visible(t), serial)

    def thickness(self, t: int) -> Float32:  # [H, W]
        """How far a solid mesh's pixels at depth edges reach back, in the depth's unit; NaN at all others.

        Raises SettingError for an endless mesh.
        """
        return self._require_solid(t).thickness(t, self.vertex_overrides.get(t), self.face_flags.get(t), serial)

    def near_sides(self, t: int) -> Bool:  # [H, W]
        """Pixels of a solid mesh's frame ``t`` that a wall stands behind: those at the nearer side of a depth edge.

        Raises SettingError for an endless mesh.
        """
        return self._require_solid(t).near_sides(t, self.vertex_overrides.get(t), self.face_flags.get(t), serial)

    def drawn_depth(self, t: int) -> Float32:  # [H, W]
        """Depth of frame ``t`` as a solid mesh's surface has it, with edits. Raises SettingError for an endless one."""
        return self._require_solid(t).depth(t, self.vertex_overrides.get(t))

    def edge_limits(self, t: int) -> tuple[float, float, float]:
        """From where on a solid mesh's neighbouring pixels of frame ``t`` are apart.

        Shares of the nearer inverse depth: what neither side's continuation may miss, and steps to the right and down.
        Raises SettingError for an endless mesh.
        """
        solid = self._require_solid(t)
        right, down = solid.optics(t).steep
        return solid.jump, float(right), float(down)

    def bridges(self, t: int) -> Float32:  # [N, 4, 3]
        """The strips by which a solid mesh's frame ``t`` goes on, hidden, under nearer things; one pixel high each.

        Corners are left and right above, then below, in the axes of :meth:`vertices`. Raises SettingError for an
        endless mesh.
        """
        return self._require_solid(t).bridges(t, self.vertex_overrides.get(t), self.face_flags.get(t), serial)

    def _require_solid(self, t: int) -> SolidBuilder:
        self.check_frame(t)
        if self.solid is None:
            raise SettingError("An endless mesh has neither thickness nor bridges; use mode 'solid'.")
        return self.solid

    def surface(self, t: int, split: Split = serial) -> Surface:
        """Frame ``t`` as a rasterizer takes it, vertices and colours built in one pass.

        ``split`` shares the rows among threads; the result is the same. The grid of a solid surface is one vertex
        larger on each side than the clip.
        """
        if self.solid is not None:
            self.check_frame(t)
            hidden, edited = self.hidden_by_flags(t, split), self.vertex_overrides.get(t)
            return self.solid.surface(t, hidden, edited, self.face_flags.get(t), split)
        vertices = self.vertices(t, split)
        occluded = self._face_occluded(t, vertices, split)
        colors = self._colors(t, self._vertex_visible(t, occluded, split), split)
        hidden = None
        if self.options.hidden_by == "face":
            half = self.num_grid_faces // 2
            upper, lower = occluded[:half].view(np.uint8), occluded[half : 2 * half].view(np.uint8)
            hidden = upper * np.uint8(QUAD_HIDE_UPPER) | lower * np.uint8(QUAD_HIDE_LOWER)
        return Surface(vertices, colors, self.faces[-2:], self.height, self.width, hidden)

    def surface_beside(self, other: "DWMesh", t: int, split: Split = serial) -> SurfacePair:
        """Frame ``t`` of this mesh and of ``other``, which is :meth:`with_other_frames` of it, built once."""
        if self.solid is None or other.solid is None:
            raise SettingError("Two surfaces are built at once of solid meshes alone.")
        self.check_frame(t)
        hidden, edited = self.hidden_by_flags(t, split), self.vertex_overrides.get(t)
        return self.solid.surface_beside(other.solid, t, hidden, edited, self.face_flags.get(t), split)

    def _face_occluded(self, t: int, vertices: Float32, split: Split) -> Bool:
        occluded = np.empty(self.num_grid_faces + 2, np.bool_)
        h, w = self.height, self.width
        split(h - 1, lambda a, b: thin_grid_faces(vertices, h, w, self.tan_sq, a, b, occluded))
        occluded[-2:] = self.options.hide_caps or self._thin_caps(vertices)
        return self._flagged(t, occluded)

    def _crossed_faces(self, solid: SolidBuilder, t: int) -> Bool:
        cuts = solid.cuts(t, self.vertex_overrides.get(t), self.face_flags.get(t), serial)
        quads = np.empty((self.height + 1, self.width + 1), np.uint8)
        quad_cuts(cuts, 0, self.height + 1, quads)
        crossed = quads[1:-1, 1:-1] != 0
        crossed[[0, -1]], crossed[:, [0, -1]] = True, True  # in this grid the ring lies at the border depth
        return self._flagged(t, np.concatenate([crossed.ravel(), crossed.ravel(), [True, True]]))

    def _flagged(self, t: int, occluded: Bool) -> Bool:
        flags = self.face_flags.get(t)
        if flags is not None:
            occluded[flags == FACE_VISIBLE] = False
            occluded[flags == FACE_OCCLUDED] = True
        return occluded

    def _thin_caps(self, vertices: Float32) -> Bool:  # [2]
        corner = vertices[self.faces[-2:]].astype(np.float64)  # [2, 3, 3]
        edge = np.roll(corner, -1, axis=1) - corner
        normal_sq = (np.cross(edge[:, 0], -edge[:, 2]) ** 2).sum(axis=1)
        largest_dot = -(edge * np.roll(edge, 1, axis=1)).sum(axis=2).min(axis=1)
        return normal_sq < self.tan_sq * largest_dot**2

    def _vertex_visible(self, t: int, occluded: Bool, split: Split) -> Bool:
        """Published: touches no occluded face. By face: all but hidden caps' corners. Solid: inside and not painted."""
        if self.solid is not None:
            visible = np.zeros((self.height, self.width), np.bool_)
            visible[1:-1, 1:-1] = True
            hidden = self.hidden_by_flags(t, split)
            if hidden is not None:
                visible &= ~hidden.reshape(visible.shape)
            return visible.ravel()
        if self.options.hidden_by == "face":
            visible = np.ones(self.height * self.width, np.bool_)
        else:
            visible = ~self._touched(occluded, split)
        visible[self.faces[-2:][occluded[-2:]]] = False
        return visible

    def hidden_by_flags(self, t: int, split: Split = serial) -> Bool | None:  # [H * W]
        """Vertices of faces that ``face_flags`` call occluded, or None where frame ``t`` has no flags."""
        flags = self.face_flags.get(t)
        return None if flags is None else self._touched(flags == FACE_OCCLUDED, split)

    def _touched(self, occluded: Bool, split: Split) -> Bool:  # [H * W]
        """Vertices of occluded grid faces."""
        visible = np.empty(self.height * self.width, np.bool_)
        h, w = self.height, self.width
        split(h, lambda a, b: visible_grid_rows(occluded, h, w, a, b, visible))
        return np.logical_not(visible, out=visible)

    def _colors(self, t: int, visible: Bool, split: Split) -> UInt8:
        colors = np.empty((self.height * self.width, 4), np.uint8)
        frame, blank = plain(self.clip.frames[t]).reshape(-1, 3), self.options.blank_occluded_colors
        split(len(visible), lambda a, b: fill_colors(frame, visible, blank, a, b, colors))
        return colors

    def check_frame(self, t: int) -> None:
        """Raise SettingError for a frame that the clip does not have."""
        if not 0 <= t < self.num_frames:
            raise SettingError(f"Frame {t + 1} does not exist; the clip has {self.num_frames} frames.")

    def _checked_override(self, t: int, vertices: Float32) -> Float32:
        self.check_frame(t)
        wanted = (self.height * self.width, 3)
        if vertices.shape != wanted:
            raise ShapeError(
                f"Edited vertices of frame {t + 1} must be {wanted}, got {vertices.shape}; keep the faces."
            )
        if not np.isfinite(vertices).all():
            bad = int((~np.isfinite(vertices)).any(axis=1).sum())
            raise ShapeError(f"Edited vertices of frame {t + 1} hold NaN or infinity at {bad} vertices; undo it.")
        return np.ascontiguousarray(vertices, np.float32)

    def _checked_flags(self, t: int, flags: Int8) -> Int8:
        self.check_frame(t)
        wanted = (self.num_grid_faces + 2,)
        if flags.shape != wanted:
            raise ShapeError(f"Face flags of frame {t + 1} must be {wanted}, got {flags.shape}; keep the faces.")
        if ((flags < FACE_AUTO) | (flags > FACE_OCCLUDED)).any():
            raise SettingError(f"Face flags are 0 (auto), 1 (visible) or 2 (occluded); frame {t + 1} has others.")
        return np.ascontiguousarray(flags, np.int8)


def _with_sky(clip: Clip, border_depth: float) -> Clip:
    """The clip with its sky just in front of the border, where it is seen."""
    depth, begins = clip.depth, clip.sky_from
    if not has_sky(depth, border_depth, begins):
        return clip
    if isinstance(depth, FrameStore):
        return replace(clip, depth=MappedFrames(depth, lambda frame: before_border(frame, border_depth, begins)))
    return replace(clip, depth=before_border(depth, border_depth, begins))


def _check_depth(depth: Frames) -> None:
    bounds = bounds_of(depth)
    low, high = float(bounds[:, 0].min()), float(bounds[:, 1].max())  # NaN shows up in both
    if not (low > 0 and math.isfinite(high)):
        bad = sum(int((~(np.isfinite(frame) & (frame > 0))).sum()) for frame in depth)
        raise DepthError(
            f"Depth must be positive and finite, but {bad} of {depth.size} pixels are not.",
            remedy=remedies.fill_invalid(),
        )
