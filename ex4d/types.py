"""The library's nouns, as frozen dataclasses with their shapes; axes and pixels as in :mod:`ex4d_ground.cameras`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ex4d.colour import View
from ex4d.frames.store import FrameStore
from ex4d.sky import SKY_FROM
from ex4d_ground.arrays import Bool, Float32, Float64, Int32, UInt8
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import DepthError, ShapeError, TrajectoryError
from ex4d_ground.footage import Footage
from ex4d_ground.poses import inverse
from ex4d_ground.remedies import larger_clip
from ex4d_ground.source_camera import SourceCamera
from ex4d_ground.stereo import Eyes
from ex4d_ground.takes import TakeInfo


@dataclass(frozen=True)
class Plate:
    """The source's frames in their own depth and colour space, where 8 bits of sRGB are less."""

    frames: NDArray | FrameStore  # [T, H, W, 3] uint16 (65535 is white), float16 or float32
    view: View
    """What the numbers mean, and how a clip's 8-bit frames show them."""

    def __post_init__(self) -> None:
        f = self.frames
        if f.ndim != 4 or f.shape[3] != 3 or f.dtype not in (np.uint16, np.float16, np.float32):
            raise ShapeError(f"A plate must be [T, H, W, 3] uint16, float16 or float32, got {f.shape} {f.dtype}.")


@dataclass(frozen=True)
class SetClip:
    """Another clip of the place that a clip shows, for that one's world memory."""

    clip: "Clip"
    """Its depth has the unit of the clip it is for; its own sets are not looked at."""
    place: Float64  # [4, 4] brings its world, that of its first frame, into the world of the clip it is for


def check_clip_size(height: int, width: int) -> None:
    """Raise ShapeError for a clip without pixels inside its border, of which no mesh or move can be made."""
    if min(height, width) < 3:
        raise ShapeError(f"A clip of {width}x{height} pixels is too small.", remedy=larger_clip(3, 3))


@dataclass(frozen=True)
class Clip:
    """A source video with its depth and intrinsics. Of long ones frames come from a disk (:mod:`ex4d.frames`)."""

    frames: UInt8 | FrameStore  # [T, H, W, 3] RGB
    depth: Float32 | FrameStore  # [T, H, W] distance along +z, any unit, positive and finite
    intrinsics: Intrinsics
    fps: float = 15.0
    name: str = "clip"
    depth_source: str = "file"
    """Where the depth came from: "file" or an estimator's name."""
    depth_licence: str = ""
    source_camera: SourceCamera | None = None
    """How the camera that filmed it moved and zoomed, where that is known, in the depth's unit; None: it stood still.
    Its lens at frame 0 is ``intrinsics``. :func:`ex4d.clip.with_source_camera` fits one to a clip."""
    sky_from: float = SKY_FROM
    """Depth from which on pixels are sky, which a mesh puts in front of its border (:mod:`ex4d.sky`)."""
    plate: Plate | None = None
    """What ``frames`` are the 8-bit view of; None where they are all there is."""
    view: View | None = None
    """What the source's numbers mean, and how the frames show them; None where nothing is known."""
    footage: Footage = field(default_factory=Footage)
    """What else the shot carries."""
    sound: Path | None = None
    """The file that holds its sound; None where there is none."""
    sets: tuple[SetClip, ...] = ()
    """Other clips of the same place, which world memory (``MeshOptions.world_memory``) remembers as well."""

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

        if self.plate is not None and self.plate.frames.shape != f.shape:
            raise ShapeError(f"A plate of {self.plate.frames.shape} does not fit frames of {f.shape}.")
        if self.source_camera is not None:
            _check_source_camera(self.source_camera, self.intrinsics, len(f))

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

    @cached_property
    def moving_camera(self) -> SourceCamera | None:
        """The source camera where it moves or zooms; None where it stands still, as far as is known."""
        camera = self.source_camera
        return None if camera is None or camera.is_still else camera

    def lens(self, t: int) -> Intrinsics:
        """The lens through which frame ``t`` was filmed."""
        camera = self.moving_camera
        if camera is None or np.array_equal(camera.intrinsics[t], camera.intrinsics[0]):
            return self.intrinsics
        return replace(camera.frame_intrinsics(t), source=self.intrinsics.source)

    @property
    def world_from_camera(self) -> Float64:  # [T, 4, 4]
        """Where the camera stood that filmed each frame; at the origin, as far as is known."""
        moving = self.moving_camera
        return np.tile(np.eye(4), (self.num_frames, 1, 1)) if moving is None else moving.world_from_camera

    def camera_at(self, source_time: float) -> tuple[Intrinsics, Float64]:  # [4, 4]
        """Lens and pose in the world of the camera that filmed the frame that a move shows at ``source_time``."""
        if self.moving_camera is None:
            return self.intrinsics, np.eye(4)
        t = min(max(math.floor(source_time + 0.5), 0), self.num_frames - 1)
        return self.lens(t), self.moving_camera.world_from_camera[t]

    def seen_by_source(self, move: Trajectory) -> Trajectory:
        """A move in the world as the meshes of the frames it shows see it: in the axes of the camera that filmed each.

        Whoever looks at a frame's mesh, depth or picture with a camera of a move uses this. It is ``move`` itself where
        the source camera stands still. Raises TrajectoryError for a source time outside the clip.
        """
        return move if self.moving_camera is None else self.moving_camera.seen_by_source(move)

    def mesh_from_world(self, t: int) -> Float64 | None:  # [4, 4]
        """Brings points of the world into the axes of frame ``t``'s mesh; None where they are the same."""
        if self.moving_camera is None or np.array_equal(self.moving_camera.world_from_camera[t], np.eye(4)):
            return None
        return inverse(self.moving_camera.world_from_camera[t])


def _check_source_camera(camera: SourceCamera, lens: Intrinsics, num_frames: int) -> None:
    if len(camera) != num_frames:
        raise TrajectoryError(
            f"The source camera has {len(camera)} poses but the clip {num_frames} frames; give the camera of exactly "
            "these frames."
        )
    first = camera.frame_intrinsics(0)
    values = [(k.width, k.height, k.fx, k.fy, k.cx, k.cy) for k in (first, lens)]
    if not np.allclose(*values, rtol=1e-6, atol=1e-6 * lens.width):
        raise TrajectoryError(
            f"The source camera's lens at frame 1 is {first.fx:.1f} px for {first.width}x{first.height} pixels, the "
            f"clip's {lens.fx:.1f} px for {lens.width}x{lens.height}; with_source_camera fits one to the other."
        )


class KnownFrame(NamedTuple):
    """What the clip itself shows of one frame of a move where its guide shows nothing."""

    where: Int32  # [n] indices of these pixels in the picture read row by row, ascending
    colour: UInt8  # [n, 3] RGB
    depth: Float32  # [h, w] of :func:`working_size`: z-depth in the frame's camera of all that is seen, 0 where hidden


@dataclass(frozen=True)
class Known:
    """Everything that the clip itself can show of a move beside its guides (:mod:`ex4d.guides.known`).

    For previews alone: it is no part of the guides that a model gets.
    """

    count: int
    of: Callable[[int], KnownFrame]
    """The layer of a frame, 0-based; drawn or read when it is asked for, from any thread."""

    def __len__(self) -> int:
        return self.count

    def part(self, first: int) -> "Known":
        """The layer from frame ``first`` on."""
        return Known(self.count - first, lambda i: self.of(i + first))

    def in_memory(self) -> "Known":
        """The same, drawn once, for who asks several times."""
        frames = [self.of(i) for i in range(self.count)]
        return Known(self.count, frames.__getitem__)


def working_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the grid that holes are filled on: half each way, at least one pixel."""
    return max(1, (height + 1) // 2), max(1, (width + 1) // 2)


@dataclass(frozen=True)
class Guides:
    """What the moved camera sees of the source, and where it sees nothing."""

    colour: UInt8 | FrameStore  # [N, H, W, 3] RGB, zero where the mask is false
    mask: Bool | FrameStore  # [N, H, W] true where the source really shows this pixel
    depth: Float32 | FrameStore | None = None
    """[N, H, W] z-depth of the visible surface in each frame's own camera, 0 where hidden; only on request."""
    rasterizer: str = ""
    """Name of the rasterizer that drew them; empty where that is not known."""
    known: Known | None = None
    """What else the clip shows of the move; only on request. Mask and coverage know nothing of it."""

    @cached_property
    def coverage(self) -> Float64:  # [N]
        """Share of each frame's pixels that the source shows (mean of the mask)."""
        return np.array([mask.mean() for mask in self.mask], np.float64)

    def part(self, first: int) -> "Guides":
        """The guides from frame ``first`` on."""
        if not first:
            return self
        depth = None if self.depth is None else self.depth[first:]
        known = None if self.known is None else self.known.part(first)
        part = Guides(self.colour[first:], self.mask[first:], depth, self.rasterizer, known)
        if "coverage" in vars(self):
            part.know_coverage(self.coverage[first:])
        return part

    def with_known(self, known: Known | None) -> "Guides":
        """The same guides beside what else the clip shows."""
        other = Guides(self.colour, self.mask, self.depth, self.rasterizer, known)
        if "coverage" in vars(self):
            other.know_coverage(self.coverage)
        return other

    def know_coverage(self, coverage: Float64) -> None:
        """Spare looking through the masks, for whoever drew them."""
        vars(self)["coverage"] = coverage

    def in_memory(self) -> "Guides":
        """The same as arrays, for who needs all frames at once."""
        depth = None if self.depth is None else np.asarray(self.depth)
        return Guides(np.asarray(self.colour), np.asarray(self.mask), depth, self.rasterizer, self.known)

    @property
    def rgba(self) -> UInt8:  # [N, H, W, 4]
        """Colour with the mask as alpha 0/255."""
        return np.stack([self.rgba_of(i) for i in range(len(self.mask))])

    def rgba_of(self, i: int) -> UInt8:  # [H, W, 4]
        """One frame of ``rgba``."""
        return np.dstack([self.colour[i], self.mask[i].astype(np.uint8) * np.uint8(255)])

    def empty_frames(self) -> list[int]:
        """Frames whose camera sees nothing of the source (coverage 0)."""
        return [int(i) for i in np.flatnonzero(self.coverage == 0)]


class Layer(NamedTuple):
    """What lies under one 8-bit frame of a take."""

    colour: NDArray | None  # [H, W, 3] of the plate's dtype; None where the frame is all there is
    mask: Bool  # [H, W] true where the source shows this pixel
    depth: Float32  # [H, W] z-depth of what the source shows in the frame's camera, 0 elsewhere
    coverage: Float32  # [H, W] how much of the finished pixel is the source's own, 0 to 1


@dataclass(frozen=True)
class Layers:
    """What lies under a take's frames, made when it is asked for."""

    of: Callable[[int], Layer]
    """The layer of a frame, 0-based."""
    view: View | None
    """What the numbers of their colour mean; None where the layers have no colour."""


@dataclass(frozen=True)
class Sound:
    """The sound of a source, from a moment on, at the speed at which it was recorded."""

    path: Path
    """The file that holds it."""
    start: float = 0.0
    """Seconds of it that come before the first frame."""


@dataclass(frozen=True)
class Take:
    """One generated result, with everything needed to make it again."""

    frames: UInt8 | FrameStore  # [N, H, W, 3] RGB
    fps: float
    engine: str
    settings: dict[str, Any]
    seed: int
    trajectory: Trajectory
    coverage: Float64  # [N]
    metadata: dict[str, Any] = field(default_factory=dict)
    """Clip hash, versions, licences, timings: JSON-serialisable."""
    details: TakeInfo | None = None
    """What else its description says: rasterizer, lead-in, mesh and raster options, note; None: nothing."""
    layers: Layers | None = None
    """What lies under the frames, to be kept with them."""
    sound: Sound | None = None
    """What is heard with the frames."""
    right: "Take | None" = None
    """The right eye's, where this is a stereo take; ``eyes`` says where it stands."""
    eyes: Eyes | None = None
