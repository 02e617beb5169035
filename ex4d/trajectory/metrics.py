"""How far one camera move is from another: rotation and translation error, as camera-control papers report them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import SettingError, ShapeError
from ex4d_ground.poses import inverse

ScaleMode = Literal["none", "unit", "fit"]


@dataclass(frozen=True)
class TrajectoryErrors:
    """Errors per frame, and the numbers papers print."""

    rotation_rad: Float64  # [N] angle between the two cameras' rotations
    translation: Float64  # [N] distance between the two cameras' positions, after scaling

    @property
    def rot_err(self) -> float:
        """RotErr: mean rotation error in radians."""
        return float(self.rotation_rad.mean())

    @property
    def rot_err_deg(self) -> float:
        """Mean rotation error in degrees."""
        return float(np.degrees(self.rotation_rad).mean())

    @property
    def trans_err(self) -> float:
        """TransErr: mean distance between positions."""
        return float(self.translation.mean())


def rotation_angles(a: Float64, b: Float64) -> Float64:  # [N, 3, 3] x2 -> [N] radians
    """Angle of the rotation between each pair.

    By atan2 of its sine and cosine: the usual arccos of the trace loses half of the digits near zero.
    """
    r = np.swapaxes(a, -1, -2) @ b
    odd = np.stack([r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], -1)
    return np.arctan2(np.linalg.norm(odd, axis=-1), np.trace(r, axis1=-2, axis2=-1) - 1)


def trajectory_errors(
    reference: Trajectory, estimate: Trajectory, *, relative: bool = True, scale: ScaleMode = "unit"
) -> TrajectoryErrors:
    """Compare two moves of the same length, frame by frame.

    ``relative`` first expresses each move from its own first camera, so that their worlds need not agree. ``scale``
    removes the unknown unit: "unit" divides each move by its farthest distance from its first camera, "fit" scales the
    estimate to the reference by least squares, "none" compares as they are. Raises ShapeError for different lengths.
    """
    if len(reference) != len(estimate):
        raise ShapeError(f"Moves of {len(reference)} and {len(estimate)} frames cannot be compared; trim one.")
    a, b = reference.world_from_camera, estimate.world_from_camera
    if relative:
        a, b = inverse(a[0]) @ a, inverse(b[0]) @ b
    position_a, position_b = a[:, :3, 3], b[:, :3, 3]
    if scale == "unit":
        position_a, position_b = _unit(position_a), _unit(position_b)
    elif scale == "fit":
        energy = float((position_b**2).sum())
        position_b = position_b * (float((position_a * position_b).sum()) / energy if energy > 0 else 1.0)
    elif scale != "none":
        raise SettingError(f"Scale must be 'none', 'unit' or 'fit', got {scale!r}.")
    return TrajectoryErrors(
        rotation_angles(a[:, :3, :3], b[:, :3, :3]), np.linalg.norm(position_a - position_b, axis=1)
    )


def _unit(positions: Float64) -> Float64:  # [N, 3]
    farthest = float(np.linalg.norm(positions - positions[0], axis=1).max())
    return positions / farthest if farthest > 1e-9 else positions
