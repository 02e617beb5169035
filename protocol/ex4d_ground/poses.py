"""Rigid-pose mathematics: look-at, quaternions, and geodesics of SE(3).

Poses are [4, 4] float64 and named ``a_from_b``. OpenCV axes: x right, y down, z forward.
"""

import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.errors import TrajectoryError

_SMALL = 1e-9

# Upstream's view rows are (right, up, forward) with right = -x; see the module's functions.
_VIEW_SIGNS = np.array([-1.0, 1.0, 1.0, 1.0])
# Upstream saves the view after flipping rows 0..2 in place.
_SAVED_SIGNS = np.array([-1.0, -1.0, -1.0, 1.0])


def rotation_x(angle_rad: Float64) -> Float64:  # [...] -> [..., 3, 3]
    """Rotation about x, right-handed (turns y towards z)."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    o, i = np.zeros_like(c), np.ones_like(c)
    return np.stack([i, o, o, o, c, -s, o, s, c], axis=-1).reshape((*c.shape, 3, 3))


def rotation_y(angle_rad: Float64) -> Float64:  # [...] -> [..., 3, 3]
    """Rotation about y, right-handed (turns z towards x)."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    o, i = np.zeros_like(c), np.ones_like(c)
    return np.stack([c, o, s, o, i, o, -s, o, c], axis=-1).reshape((*c.shape, 3, 3))


def pose(rotation: Float64, translation: Float64) -> Float64:  # [N, 4, 4]
    """Poses from rotations [N, 3, 3] (or one [3, 3]) and translations [N, 3]."""
    translation = np.atleast_2d(np.asarray(translation, np.float64))
    out = np.tile(np.eye(4), (len(translation), 1, 1))
    out[:, :3, :3] = rotation
    out[:, :3, 3] = translation
    return out


def inverse(poses: Float64) -> Float64:  # [..., 4, 4]
    """Inverse of rigid poses, by transposing the rotation (exact where a general inverse would round)."""
    out = np.zeros_like(poses)
    rotation = np.swapaxes(poses[..., :3, :3], -1, -2)
    out[..., :3, :3] = rotation
    out[..., :3, 3] = -(rotation @ poses[..., :3, 3:])[..., 0]
    out[..., 3, 3] = 1.0
    return out


def look_at(
    eye: Float64,  # [N, 3]
    target: Float64,  # [3]
    *,
    down: Float64 | None = None,  # [3], world y (down) if not given
) -> Float64:  # [N, 4, 4] world_from_camera
    """Cameras at ``eye`` whose z axis points at ``target`` and whose picture keeps ``down`` pointing downwards.

    Raises TrajectoryError if an eye lies on the target or looks straight along ``down``.
    """
    down = np.array([0.0, 1.0, 0.0]) if down is None else np.asarray(down, np.float64)
    eye = np.atleast_2d(np.asarray(eye, np.float64))
    forward = np.asarray(target, np.float64) - eye
    distance = np.linalg.norm(forward, axis=1, keepdims=True)
    if (distance < _SMALL).any():
        frame = int(np.argmin(distance))
        raise TrajectoryError(f"The camera of frame {frame + 1} stands on its own target; move it or the target.")
    forward = forward / distance
    right = np.cross(down, forward)
    length = np.linalg.norm(right, axis=1, keepdims=True)
    if (length < 1e-6).any():
        frame = int(np.argmin(length))
        raise TrajectoryError(
            f"The camera of frame {frame + 1} looks straight up or down, where its roll is undefined; use an orbit "
            "instead."
        )
    right = right / length
    rotation = np.stack([right, np.cross(forward, right), forward], axis=-1)
    return pose(rotation, eye)


def quaternion_from_rotation(rotation: Float64) -> Float64:  # [3, 3] -> [4] (w, x, y, z)
    """Unit quaternion with w >= 0, by the largest of the four squared components (stable everywhere)."""
    m = np.asarray(rotation, np.float64)
    trace = np.trace(m)
    squares = np.array([1 + trace, *(1 + 2 * np.diag(m) - trace)]) / 4
    k = int(np.argmax(squares))
    q = np.empty(4)
    q[k] = np.sqrt(squares[k])
    scale = 1 / (4 * q[k])
    odd = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    if k == 0:
        q[1:] = odd * scale
    else:
        i, j, n = k - 1, k % 3, (k + 1) % 3
        q[0] = odd[i] * scale
        q[1 + j] = (m[j, i] + m[i, j]) * scale
        q[1 + n] = (m[n, i] + m[i, n]) * scale
    q /= np.linalg.norm(q)
    return -q if q[0] < 0 else q


def rotation_from_quaternion(quaternion: Float64) -> Float64:  # [4] (w, x, y, z) -> [3, 3]
    """Rotation of a quaternion of any length but zero. Raises TrajectoryError for a zero quaternion."""
    q = np.asarray(quaternion, np.float64)
    norm = np.linalg.norm(q)
    if not np.isfinite(norm) or norm < _SMALL:
        raise TrajectoryError(f"A rotation's quaternion must have a length, got {q.tolist()}.")
    w, x, y, z = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def so3_log(rotation: Float64) -> Float64:  # [3, 3] -> [3] axis * angle, radians
    """Rotation vector of the shorter way round; at exactly 180 degrees one of the two axes."""
    q = quaternion_from_rotation(rotation)
    sine = float(np.linalg.norm(q[1:]))
    if sine < _SMALL:
        return 2 * q[1:]
    return q[1:] * (2 * np.arctan2(sine, q[0]) / sine)


def so3_exp(vector: Float64) -> Float64:  # [3] -> [3, 3]
    """Rotation by |vector| radians about it."""
    angle = float(np.linalg.norm(vector))
    axis = np.asarray(vector, np.float64) * (0.5 * np.sinc(angle / (2 * np.pi)))
    return rotation_from_quaternion(np.array([np.cos(angle / 2), *axis]))


def _left_jacobian(vector: Float64) -> Float64:  # [3] -> [3, 3]
    angle = float(np.linalg.norm(vector))
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-4:
        # Series to second order: the closed form divides 0 by 0 here.
        return np.eye(3) + cross / 2 + cross @ cross / 6
    a, b = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return np.eye(3) + a * cross + b * (cross @ cross)


def se3_log(rigid: Float64) -> Float64:  # [4, 4] -> [6] (translation part, rotation vector)
    """Twist whose :func:`se3_exp` is ``rigid``."""
    w = so3_log(rigid[:3, :3])
    return np.concatenate([np.linalg.solve(_left_jacobian(w), rigid[:3, 3]), w])


def se3_exp(twist: Float64) -> Float64:  # [6] -> [4, 4]
    """Rigid motion of a twist: a screw, which for a rotation about a far point is an arc around that point."""
    out = np.eye(4)
    out[:3, :3] = so3_exp(twist[3:])
    out[:3, 3] = _left_jacobian(twist[3:]) @ twist[:3]
    return out


def interpolate(
    start: Float64,  # [4, 4]
    end: Float64,  # [4, 4]
    share: Float64,  # [N] 0 = start, 1 = end
) -> Float64:  # [N, 4, 4]
    """Poses along the SE(3) geodesic from ``start`` to ``end``.

    A screw motion rather than a straight line: the way to an orbited pose is the orbit itself, so the camera never
    cuts through the subject.
    """
    twist = se3_log(inverse(start) @ end)
    return np.stack([start @ se3_exp(twist * float(s)) for s in share])


def orthonormalised(poses: Float64) -> Float64:  # [N, 4, 4]
    """The nearest rigid poses (polar decomposition), for matrices that float32 or text files have rounded."""
    u, _, vt = np.linalg.svd(poses[:, :3, :3])
    out = poses.copy()
    out[:, :3, :3] = u @ vt
    return out


def view_from_poses(world_from_camera: Float64) -> Float64:  # [N, 4, 4]
    """EX-4D's view matrices: rows right, up, forward, where right is -x and up is +y on screen."""
    return _VIEW_SIGNS[:, None] * inverse(world_from_camera)


def poses_from_view(view: Float64) -> Float64:  # [N, 4, 4]
    """Inverse of :func:`view_from_poses`."""
    return inverse(_VIEW_SIGNS[:, None] * np.asarray(view, np.float64))


def saved_extrinsics(world_from_camera: Float64) -> Float64:  # [N, 4, 4]
    """What EX-4D writes into ``camera_*.npz``: the view matrices with rows 0..2 negated."""
    return _SAVED_SIGNS[:, None] * view_from_poses(world_from_camera)


def poses_from_saved(extrinsics: Float64) -> Float64:  # [N, 4, 4]
    """Inverse of :func:`saved_extrinsics`."""
    return poses_from_view(_SAVED_SIGNS[:, None] * np.asarray(extrinsics, np.float64))
