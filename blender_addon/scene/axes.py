"""Between EX-4D's camera space and Blender's, in numpy alone.

EX-4D uses OpenCV axes (x right, y down, z forward) and continuous pixel coordinates whose origin is the image's
top-left corner. Blender's cameras look along -z with y up. A shot's Empty carries the turn between the two worlds
(OpenCV (x, y, z) -> Blender (x, z, -y), that is -90 degrees about X), so everything parented to it stays in
EX-4D's space and its own matrices need only the camera's half turn below.
"""

import math
from dataclasses import dataclass

import numpy as np

from ex4d_ground.arrays import Float32, Float64
from ex4d_ground.grids import Grid, grid_of

from ..work.errors import AddonError

SHOT_EULER = (-math.pi / 2, 0.0, 0.0)
"""XYZ rotation of a shot's Empty: OpenCV (x, y, z) becomes Blender (x, z, -y)."""

BLENDER_CAMERA_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""Half a turn about x: an OpenCV camera's axes as a Blender camera's, and back."""


@dataclass(frozen=True)
class Lens:
    """A Blender camera's lens settings, for sensor fit HORIZONTAL."""

    lens_mm: float
    sensor_width_mm: float
    shift_x: float
    shift_y: float


def lens_from_intrinsics(
    intrinsics: tuple[float, float, float, float],  # fx, fy, cx, cy in pixels
    *,
    width: int,
    height: int,
    sensor_width_mm: float = 36.0,
) -> Lens:
    """The lens with these intrinsics (500 px at 512 px is 35.156 mm), given the pixel aspect ``fx / fy``.

    A shift is counted in image widths and moves the image, so its sign is opposite to the principal point's.
    """
    fx, fy, cx, cy = intrinsics
    return Lens(
        lens_mm=fx * sensor_width_mm / width,
        sensor_width_mm=sensor_width_mm,
        shift_x=(width / 2 - cx) / width,
        shift_y=(cy - height / 2) / width * (fx / fy),
    )


def intrinsics_from_projection(
    projection: Float64,  # [4, 4] OpenGL clip matrix, as Object.calc_matrix_camera gives it
    *,
    width: int,
    height: int,
) -> tuple[float, float, float, float]:
    """``fx, fy, cx, cy`` in pixels of an image of ``width`` x ``height``."""
    p = projection
    return (
        float(p[0, 0] * width / 2),
        float(p[1, 1] * height / 2),
        float((1.0 - p[0, 2]) * width / 2),
        float((1.0 + p[1, 2]) * height / 2),
    )


def rigid(matrix: Float64, *, what: str) -> Float64:  # [4, 4] -> [4, 4]
    """``matrix`` with its scale stripped.

    Raises AddonError, naming ``what``, if it holds NaN or infinity, is mirrored, or is sheared.
    """
    if not np.isfinite(matrix).all():
        raise AddonError(f"{what} holds NaN or infinity in its transform; check its keyframes and drivers.")
    columns = matrix[:3, :3]
    scale = np.linalg.norm(columns, axis=0)
    if (scale < 1e-12).any():
        raise AddonError(f"{what} has a scale of zero; set its scale to 1.")
    rotation = columns / scale
    if np.linalg.det(rotation) < 0:
        raise AddonError(f"{what} is mirrored by a negative scale; make its scale positive.")
    shear = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if shear > 1e-4:
        raise AddonError(
            f"{what} is sheared by an uneven scale of a parent (deviation {shear:.2g}); apply the parent's scale."
        )
    # Blender's matrices are float32: the nearest rotation keeps the error from growing downstream.
    u, _, vt = np.linalg.svd(rotation)
    out = np.eye(4)
    out[:3, :3] = u @ vt
    out[:3, 3] = matrix[:3, 3]
    return out


def pose_from_blender(
    camera_matrix_world: Float64, shot_matrix_world: Float64, *, what: str = "The camera"
) -> Float64:  # [4, 4]
    """world_from_camera in OpenCV axes, expressed in the shot's space; scale stripped. Raises AddonError."""
    if not np.isfinite(camera_matrix_world).all():
        raise AddonError(f"{what} holds NaN or infinity in its transform; check its keyframes and drivers.")
    if abs(np.linalg.det(shot_matrix_world[:3, :3])) < 1e-18:
        raise AddonError("The shot's Empty has a scale of zero; set its scale to 1.")
    return rigid(np.linalg.inv(shot_matrix_world) @ camera_matrix_world, what=what) @ BLENDER_CAMERA_FLIP


def blender_from_pose(world_from_camera: Float64) -> Float64:  # [..., 4, 4] -> [..., 4, 4]
    """A Blender camera's matrix in the shot's space (to be its local matrix below the shot's Empty)."""
    return world_from_camera @ BLENDER_CAMERA_FLIP


def grid_uv(width: int, height: int, side: int = 0) -> Float32:  # [grid vertices, 2]
    """UV of every grid vertex, row by row: each sits on the centre of its texel; v points up."""
    return uv_of(grid_of(width, height, side), width=width, height=height)


def uv_of(grid: Grid, *, width: int, height: int) -> Float32:  # [grid vertices, 2]
    """As :func:`grid_uv`, of any choice of the pixels' columns and rows."""
    v, u = np.meshgrid(1.0 - (grid.rows + 0.5) / height, (grid.columns + 0.5) / width, indexing="ij")
    return np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32)
