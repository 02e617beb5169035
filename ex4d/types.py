"""The library's nouns, as frozen dataclasses with their shapes.

Axes are OpenCV's everywhere (x right, y down, z forward); the world is the source camera of frame 0. Continuous
image coordinates have their origin at the top-left *corner* of the image, so the centre of pixel (row i, column j)
is at (j + 0.5, i + 0.5) and the middle of a W x H image is (W / 2, H / 2). Blender's axes exist only in the add-on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ex4d.errors import DepthError, SettingError, ShapeError, TrajectoryError

UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Int8 = NDArray[np.int8]

# EX-4D uses 500 px whatever the size; ours is an angle, so that it does not change with resolution.
DEFAULT_FOV_DEG = 54.22
"""Horizontal field of view assumed when nothing is known: EX-4D's 500 px at its usual 512 px width."""


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole camera, in pixels. ``cx, cy`` are continuous coordinates (image middle = width / 2, height / 2)."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    source: str = "given"
    """Where the focal length came from, for people: "given", "metadata", "estimator", "default 54.22 deg"."""

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(math.isfinite(v) for v in values):
            raise TrajectoryError(f"Intrinsics must be finite, got fx, fy, cx, cy = {values}.")
        if self.fx <= 0 or self.fy <= 0:
            raise TrajectoryError(f"Focal lengths must be positive pixels, got fx={self.fx}, fy={self.fy}.")
        if self.width < 2 or self.height < 2:
            raise ShapeError(f"An image of {self.width}x{self.height} pixels is too small; at least 2x2 is needed.")

    @classmethod
    def from_fov(
        cls, width: int, height: int, fov_deg: float = DEFAULT_FOV_DEG, source: str | None = None
    ) -> Intrinsics:
        """Square pixels, centred, with the given horizontal field of view in degrees (0..180, exclusive)."""
        if not 0.0 < fov_deg < 180.0:
            raise SettingError(f"A horizontal field of view must lie between 0 and 180 degrees, got {fov_deg}.")
        f = 0.5 * width / math.tan(math.radians(fov_deg) / 2)
        return cls(f, f, width / 2, height / 2, width, height, source or f"default {fov_deg:g} deg")

    @classmethod
    def from_focal(cls, width: int, height: int, focal_px: float, source: str = "given") -> Intrinsics:
        """Square pixels, centred, with the given focal length in pixels."""
        return cls(focal_px, focal_px, width / 2, height / 2, width, height, source)

    @property
    def fov_deg(self) -> float:
        """Horizontal field of view in degrees."""
        return math.degrees(2 * math.atan(self.width / 2 / self.fx))

    @property
    def matrix(self) -> Float64:  # [3, 3]
        """K, for continuous coordinates with the origin at the image corner."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def resized(self, width: int, height: int) -> Intrinsics:
        """The same camera for the same picture at another size."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
            width=width,
            height=height,
        )


@dataclass(frozen=True)
class Clip:
    """A source video with its depth and intrinsics."""

    frames: UInt8  # [T, H, W, 3] RGB
    depth: Float32  # [T, H, W] distance along +z, any unit, positive and finite
    intrinsics: Intrinsics
    fps: float = 15.0
    name: str = "clip"
    depth_source: str = "file"
    """Where the depth came from: "file" or an estimator's name."""
    depth_licence: str = ""
    world_from_camera: Float64 | None = None
    """[T, 4, 4] rigid poses of the source camera, where its motion is known, in the depth's unit. Moves are relative to
    the source camera of the same moment in any case; this is for what joins several frames."""

    def __post_init__(self) -> None:
        f, d = self.frames, self.depth
        if f.ndim != 4 or f.shape[3] != 3 or f.dtype != np.uint8:
            raise ShapeError(f"Frames must be [T, H, W, 3] uint8, got {f.shape} {f.dtype}.")
        if d.shape != f.shape[:3]:
            raise DepthError(
                f"Depth of shape {d.shape} does not fit the clip's frames {f.shape[:3]} (length, height, width)."
            )
        if d.dtype != np.float32:
            raise ShapeError(f"Depth must be float32, got {d.dtype}.")
        if (self.intrinsics.width, self.intrinsics.height) != (f.shape[2], f.shape[1]):
            raise ShapeError(
                f"Intrinsics are for {self.intrinsics.width}x{self.intrinsics.height}, "
                f"frames are {f.shape[2]}x{f.shape[1]}."
            )

        if self.world_from_camera is not None:
            if len(self.world_from_camera) != len(f):
                raise TrajectoryError(
                    f"The source camera has {len(self.world_from_camera)} poses but the clip {len(f)} frames; "
                    "give the camera of exactly these frames."
                )
            _check_rigid(self.world_from_camera)

    @property
    def num_frames(self) -> int:
        """T."""
        return self.frames.shape[0]

    @property
    def height(self) -> int:
        """H in pixels."""
        return self.frames.shape[1]

    @property
    def width(self) -> int:
        """W in pixels."""
        return self.frames.shape[2]


OccluderMode = Literal["endless", "solid"]
PixelAnchor = Literal["center", "corner"]
HiddenBy = Literal["vertex", "face"]
ThicknessUnit = Literal["share", "depth"]


@dataclass(frozen=True)
class MeshOptions:
    """How a DW-mesh is built from depth. Defaults are ours; :meth:`ex4d_parity` is the published program."""

    mode: OccluderMode = "endless"
    """"endless": occluded faces stretch to the background and block (published). "solid": finite thickness."""
    border_depth: float = 100.0
    """Depth of the outermost rows and columns, which close the mesh behind the scene."""
    min_angle_deg: float = 2.5
    """A face whose smallest interior angle is below this is occluded."""
    pixel_anchor: PixelAnchor = "center"
    """Where in its pixel a vertex sits: "center" makes the source view exact, "corner" is the published one."""
    blank_occluded_colors: bool = False
    """Published: an occluded vertex's colour becomes zero, which darkens the rim of every hole by interpolation.
    Ours keeps the colour and clears alpha alone."""
    hide_caps: bool = True
    """Count the two caps as occluded: they close the mesh and show nothing of the source. Published: by angle."""
    hidden_by: HiddenBy = "vertex"
    """How an occluded face of an endless mesh hides: with all its vertices (published; the hole grows by a pixel), or
    alone."""
    thickness: float | Literal["auto"] = "auto"
    """How far solid occluders reach behind their rim: estimated from what is seen of each, or one number for all."""
    thickness_unit: ThicknessUnit = "share"
    """What a number for ``thickness`` means: a share of the depth at the rim, or a length in the depth's unit."""
    edge_jump: float = 0.01
    """Share of the depth by which a solid mesh's neighbouring pixels may miss each other's surface and still be one."""
    sharpen_edges: Literal["auto", "on", "off"] = "auto"
    """Whether a solid mesh first undoes smeared depth edges: "auto" looks at the clip; sharp depth is left alone."""
    steady_depth: Literal["auto", "on", "off"] = "auto"
    """Whether a solid mesh first steadies the depth of what does not change before a camera that stands still: "auto"
    looks at the clip; depth that does not waver is left alone."""
    other_frames: bool = False
    """Whether a solid mesh shows, behind what is nearer, the background that other frames saw: of a still camera, or of
    one whose motion the clip knows (``Clip.world_from_camera``)."""

    def __post_init__(self) -> None:
        if self.mode not in ("endless", "solid"):
            raise SettingError(f"Occluder mode must be 'endless' or 'solid', got {self.mode!r}.")
        if self.pixel_anchor not in ("center", "corner"):
            raise SettingError(f"Pixel anchor must be 'center' or 'corner', got {self.pixel_anchor!r}.")
        if not (math.isfinite(self.border_depth) and self.border_depth > 0):
            raise SettingError(f"Border depth must be positive and finite, got {self.border_depth}.")
        if not 0 <= self.min_angle_deg < 60:
            raise SettingError(
                f"The smallest angle of a visible face must be in 0..60 degrees, got {self.min_angle_deg}."
            )

        if self.hidden_by not in ("vertex", "face"):
            raise SettingError(f"Occluded faces hide by 'vertex' or 'face', got {self.hidden_by!r}.")
        if self.thickness_unit not in ("share", "depth"):
            raise SettingError(f"The thickness unit must be 'share' or 'depth', got {self.thickness_unit!r}.")
        if self.sharpen_edges not in ("auto", "on", "off"):
            raise SettingError(f"Depth edges are sharpened 'auto', 'on' or 'off', got {self.sharpen_edges!r}.")
        if self.steady_depth not in ("auto", "on", "off"):
            raise SettingError(f"Depth is steadied 'auto', 'on' or 'off', got {self.steady_depth!r}.")
        if self.other_frames and self.mode != "solid":
            raise SettingError("Other frames fill in behind solid occluders only; use mode 'solid' or leave them off.")
        self._check_thickness()
        if not 0 < self.edge_jump < 1:
            raise SettingError(f"The jump that makes a depth edge must be in 0..1 of the depth, got {self.edge_jump}.")

    def _check_thickness(self) -> None:
        t = self.thickness
        if isinstance(t, str):
            if t != "auto":
                raise SettingError(f"Thickness must be 'auto' or a number, got {t!r}.")
        elif not (math.isfinite(t) and t >= 0):
            raise SettingError(f"Thickness must be 0 or more and finite, got {t}; or use 'auto'.")

    @classmethod
    def ex4d_parity(cls) -> MeshOptions:
        """Exactly what EX-4D's published code does (commit b456a41)."""
        return cls(mode="endless", pixel_anchor="corner", blank_occluded_colors=True, hide_caps=False)


@dataclass(frozen=True)
class Trajectory:
    """One camera per output frame.

    ``world_from_camera`` is a rigid 4x4 pose (OpenCV axes, world = source camera of frame 0); ``intrinsics`` holds
    fx, fy, cx, cy per frame for an image of ``width`` x ``height``; ``source_time`` says which source frame each
    output frame shows (fractions allowed, nearest frame is used), so freezes and retimes are part of the move.
    """

    world_from_camera: Float64  # [N, 4, 4]
    intrinsics: Float64  # [N, 4] fx, fy, cx, cy in pixels
    source_time: Float64  # [N] in source frames, 0-based
    width: int
    height: int
    name: str = "custom"

    def __post_init__(self) -> None:
        w, k, s = self.world_from_camera, self.intrinsics, self.source_time
        n = len(w)
        if w.shape != (n, 4, 4) or k.shape != (n, 4) or s.shape != (n,) or n == 0:
            raise ShapeError(
                f"A trajectory of {n} cameras needs poses [N, 4, 4], intrinsics [N, 4] and source_time [N], "
                f"got {w.shape}, {k.shape}, {s.shape}."
            )
        for what, values in (("pose", w.reshape(n, -1)), ("intrinsics", k), ("source time", s.reshape(n, 1))):
            bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
            if bad.size:
                raise TrajectoryError(
                    f"The camera {what} of frame {bad[0]} holds NaN or infinity ({bad.size} such frames)."
                )
        wrong = (k[:, :2] <= 0).any(axis=1)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise TrajectoryError(
                f"Focal lengths must be positive pixels; frame {i} has fx, fy = {k[i, 0]}, {k[i, 1]}."
            )
        _check_rigid(w)

    def __len__(self) -> int:
        return len(self.world_from_camera)

    @property
    def camera_from_world(self) -> Float64:  # [N, 4, 4]
        """Inverse poses."""
        return np.linalg.inv(self.world_from_camera)

    def frame_intrinsics(self, i: int) -> Intrinsics:
        """Intrinsics of output frame ``i``."""
        fx, fy, cx, cy = (float(v) for v in self.intrinsics[i])
        return Intrinsics(fx, fy, cx, cy, self.width, self.height)


def _check_rigid(poses: Float64) -> None:  # [N, 4, 4]
    """Raise TrajectoryError, naming the frame, for poses that do more than rotate and translate."""
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise TrajectoryError(f"Camera poses must be [N, 4, 4], got {poses.shape}.")
    r = poses[:, :3, :3]
    error = np.abs(r @ r.transpose(0, 2, 1) - np.eye(3)).reshape(len(poses), -1).max(axis=1)
    last_row = np.abs(poses[:, 3] - [0, 0, 0, 1]).max(axis=1)
    right = (error <= 1e-3) & (np.linalg.det(r) > 0) & (last_row <= 1e-6) & np.isfinite(poses).all(axis=(1, 2))
    if not right.all():
        i = int(np.argmin(right))
        raise TrajectoryError(
            f"The camera matrix of frame {i} is not rigid (deviation {error[i]:.3g}); only rotation and "
            "translation are allowed: remove scale, shear or mirroring."
        )


@dataclass(frozen=True)
class RasterOptions:
    """Clipping planes and the mask's threshold (published: near 0.001, far 1000, alpha > 125 of 255)."""

    near: float = 0.001
    far: float = 1000.0
    mask_threshold: int = 125
    round_colors_down: bool = False
    """Published: interpolated colours lose their fraction, half a level too dark on average. Ours rounds to nearest."""
    antialias: bool = False
    """Published: colour and alpha are blended over silhouette edges. Only the rasterizer "nvdiffrast" can; the others
    leave edges sharp, which moves the mask by less than a pixel."""

    @classmethod
    def ex4d_parity(cls) -> RasterOptions:
        """Exactly what EX-4D's published code does (commit b456a41)."""
        return cls(round_colors_down=True, antialias=True)


@dataclass(frozen=True)
class Guides:
    """What the moved camera sees of the source, and where it sees nothing."""

    colour: UInt8  # [N, H, W, 3] RGB, zero where the mask is false
    mask: Bool  # [N, H, W] true where the source really shows this pixel
    depth: Float32 | None = None
    """[N, H, W] z-depth of the visible surface in each frame's own camera, 0 where hidden; only on request."""

    @property
    def coverage(self) -> Float64:  # [N]
        """Share of each frame's pixels that the source shows (mean of the mask)."""
        return self.mask.reshape(len(self.mask), -1).mean(axis=1)

    @property
    def rgba(self) -> UInt8:  # [N, H, W, 4]
        """Colour with the mask as alpha 0/255."""
        return np.concatenate([self.colour, self.mask[..., None].astype(np.uint8) * np.uint8(255)], axis=-1)

    def empty_frames(self) -> list[int]:
        """Frames whose camera sees nothing of the source (coverage 0)."""
        return [int(i) for i in np.flatnonzero(self.coverage == 0)]


@dataclass(frozen=True)
class Take:
    """One generated result, with everything needed to make it again."""

    frames: UInt8  # [N, H, W, 3] RGB
    fps: float
    engine: str
    settings: dict[str, Any]
    seed: int
    trajectory: Trajectory
    coverage: Float64  # [N]
    metadata: dict[str, Any] = field(default_factory=dict)
    """Clip hash, versions, licences, timings: JSON-serialisable."""
