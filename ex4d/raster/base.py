"""What every rasterizer takes and gives.

The rules all implementations share, so that they agree pixel for pixel:

- Image coordinates are continuous with the origin at the image's top-left corner; pixel (row i, column j) is sampled
  at its centre (j + 0.5, i + 0.5).
- Projected vertices are snapped to 1/256 pixel (halves go right and down). Coverage is then decided
  in integers with the top-left rule, so a sample on a shared edge or vertex belongs to exactly one triangle, and
  neighbouring triangles neither overlap nor leave a crack.
- Triangles are drawn whichever way round they are. The nearest wins, whether it shows colour or not.
- What lies nearer than ``near`` is cut away; samples farther than ``far`` are not drawn, and not blocked either.
- RGBA is interpolated perspective-correctly; a pixel is set where alpha > ``mask_threshold``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ex4d.surface import Surface
from ex4d_ground.arrays import Bool, Float64, UInt8
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import RasterError
from ex4d_ground.options import RasterOptions


@dataclass(frozen=True)
class Camera:
    """One view: a rigid pose and a pinhole (OpenCV axes: x right, y down, z forward)."""

    camera_from_world: Float64  # [4, 4]
    intrinsics: Intrinsics

    @classmethod
    def of(cls, trajectory: Trajectory, i: int) -> Camera:
        """The camera of output frame ``i``."""
        return cls(np.linalg.inv(trajectory.world_from_camera[i]), trajectory.frame_intrinsics(i))


class Rasterizer(Protocol):
    """Draws surfaces. An instance keeps scratch memory: use it from one thread at a time."""

    name: str

    def draw(
        self, surface: Surface, camera: Camera, options: RasterOptions = RasterOptions()
    ) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """Colour (zero outside the mask) and mask. Raises RasterError for planes that cannot be used."""
        ...


def check_planes(options: RasterOptions) -> None:
    """Raise RasterError unless 0 < near < far, both finite."""
    near, far = options.near, options.far
    if not (math.isfinite(near) and math.isfinite(far) and 0 < near < far):
        raise RasterError(f"Clipping planes must satisfy 0 < near < far, got near={near}, far={far}.")
