"""The library's nouns, as frozen dataclasses with their shapes; axes and pixels as in :mod:`ex4d_ground.cameras`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ex4d.sky import SKY_FROM
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.cameras import Intrinsics, Trajectory, check_rigid
from ex4d_ground.errors import DepthError, ShapeError, TrajectoryError
from ex4d_ground.takes import TakeInfo


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
    sky_from: float = SKY_FROM
    """Depth from which on pixels are sky, which a mesh puts in front of its border (:mod:`ex4d.sky`)."""

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
            check_rigid(self.world_from_camera)

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


@dataclass(frozen=True)
class Guides:
    """What the moved camera sees of the source, and where it sees nothing."""

    colour: UInt8  # [N, H, W, 3] RGB, zero where the mask is false
    mask: Bool  # [N, H, W] true where the source really shows this pixel
    depth: Float32 | None = None
    """[N, H, W] z-depth of the visible surface in each frame's own camera, 0 where hidden; only on request."""
    rasterizer: str = ""
    """Name of the rasterizer that drew them; empty where that is not known."""

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
    details: TakeInfo | None = None
    """What else its description says: rasterizer, lead-in, mesh and raster options, note; None: nothing."""
