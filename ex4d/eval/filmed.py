"""Rooms of textured planes, filmed by a camera that moves: pictures with true depth, poses, lens and matte.

What a solver of cameras is judged by. Every plane's picture is a homography and its inverse depth is affine in the
picture, so that OpenCV draws them exactly and fast, on any machine. Axes are x right, y down, z forward, lengths are
metres, and the world is the camera of frame 0. Which room, what stands in it and how the camera shakes is drawn from
a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ex4d.eval.filmed_moves import FPS, MOVES, PARTS, Motion
from ex4d.trajectory.metrics import rotation_angles
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError
from ex4d_ground.poses import inverse
from ex4d_ground.source_camera import SourceCamera

FOV_DEG = 58.0
NEAR = 0.05
GRAIN = 1.5
"""Standard deviation of each pixel's noise, in levels of 255, so that a still picture is not the same twice."""
SHUTTER = 0.5
"""Share of a frame's time during which the shutter is open."""
_BLUR_STEP_PX = 3.0
_MOST_EXPOSURES = 11


@dataclass(frozen=True)
class Plane:
    """A textured rectangle. Its half sides stand at right angles to each other."""

    centre: Float64  # [3]
    side: Float64  # [3] from the centre to the middle of the right rim
    down: Float64  # [3] from the centre to the middle of the lower rim
    texture: UInt8  # [h, w, 3]
    speed: Float64  # [3] metres in the time of the clip, in whose middle it is at its place; not zero: it moves
    with_camera: bool = False
    """Whether it goes where the camera goes, as what is followed does."""

    @property
    def moves(self) -> bool:
        """Whether it is no part of the steady world."""
        return self.with_camera or bool(self.speed.any())


@dataclass(frozen=True)
class Filmed:
    """What was filmed, and what is true of it."""

    name: str
    clip: Clip
    camera: SourceCamera
    matte: Bool  # [T, H, W] true where something moves by itself
    planes: tuple[Plane, ...]
    path: SourceCamera
    """The camera at ``PARTS`` moments a frame."""

    def locked_off(self, t: int) -> UInt8:  # [H, W, 3]
        """What a camera that stayed where it was at frame 0 would have seen at frame ``t``, without noise and blur."""
        lens = self.camera.frame_intrinsics(0)
        return _drawn(_at(self.planes, t, self.path), np.eye(4), lens, oversample=2)[0]


def film(move: str, *, seed: int = 1, width: int = 512, height: int = 384, frames: int = 49) -> Filmed:
    """A room filmed by the camera move ``move``, one of ``MOVES``. The same arguments give the same pictures.

    Raises SettingError for a move that does not exist.
    """
    if move not in MOVES:
        raise SettingError(f"There is no filmed move {move!r}; choose one of {', '.join(MOVES)}.")
    chance = np.random.default_rng([seed, list(MOVES).index(move)])
    motion = MOVES[move](frames, chance)
    lens = Intrinsics.from_fov(width, height, FOV_DEG, "given")
    rows = np.array([lens.fx, lens.fy, lens.cx, lens.cy]) * np.ones((len(motion.zoom), 1))
    rows[:, :2] *= motion.zoom[:, None]
    path = SourceCamera.of(motion.world_from_camera, rows, size=(width, height))
    camera = SourceCamera.of(path.world_from_camera[::PARTS], path.intrinsics[::PARTS], size=(width, height))
    planes = tuple(_room(chance, width / 512) + _things(chance, width / 512, motion))
    pictures, depths, mattes = [], [], []
    for t in range(frames):
        here = _at(planes, t, path)
        _, depth, which = _drawn(here, camera.world_from_camera[t], camera.frame_intrinsics(t), oversample=1)
        pictures.append(_exposed(planes, path, t, chance))
        depths.append(depth)
        mattes.append(np.array([p.moves for p in planes])[which])
    clip = Clip(np.stack(pictures), np.stack(depths), lens, fps=FPS, name=move)
    return Filmed(move, clip, camera, np.stack(mattes), planes, path)


def _at(planes: Sequence[Plane], time: float, path: SourceCamera) -> list[Plane]:
    """Where everything is at a moment, in frames."""
    last = max((len(path) - 1) / PARTS, 1)
    eye = path.at([time * PARTS])[0][0, :3, 3]
    return [
        replace(p, centre=p.centre + p.speed * (time / last - 0.5) + (eye if p.with_camera else 0.0)) for p in planes
    ]


def _exposed(planes: Sequence[Plane], path: SourceCamera, t: int, chance: np.random.Generator) -> UInt8:
    """The picture of frame ``t``: what moves while the shutter is open is smeared evenly around the frame's moment."""
    inner = 0 < t < (len(path) - 1) // PARTS  # before the first frame and after the last nothing is known
    half = SHUTTER / 2 if inner else 0.0
    ends = path.at([(t - half) * PARTS, (t + half) * PARTS])[0]
    way = float(rotation_angles(ends[:1, :3, :3], ends[1:, :3, :3])[0]) * path.intrinsics[t * PARTS, 0]
    count = min(int(np.ceil(way / _BLUR_STEP_PX)) | 1, _MOST_EXPOSURES)
    total = np.zeros((path.height, path.width, 3), np.float32)
    for moment in t + half * np.linspace(-1, 1, count) if count > 1 else [float(t)]:
        poses, rows = path.at([moment * PARTS])
        fx, fy, cx, cy = (float(v) for v in rows[0])
        lens = Intrinsics(fx, fy, cx, cy, path.width, path.height)
        total += _drawn(_at(planes, moment, path), poses[0], lens, oversample=2)[0]
    noise = chance.standard_normal(total.shape, dtype=np.float32) * GRAIN
    return np.clip(total / count + noise + 0.5, 0, 255).astype(np.uint8)


def _drawn(
    planes: Sequence[Plane], world_from_camera: Float64, lens: Intrinsics, *, oversample: int
) -> tuple[UInt8, Float32, np.ndarray]:  # [H, W, 3], [H, W], [H, W] which plane
    """Colour, depth at the pixel centres (where ``oversample`` is odd), and the plane that each pixel shows."""
    width, height = lens.width * oversample, lens.height * oversample
    colour = np.zeros((height, width, 3), np.uint8)
    nearness = np.zeros((height, width), np.float32)
    which = np.zeros((height, width), np.int16)
    pixels = np.linalg.inv(lens.resized(width, height).matrix) @ np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    camera_from_world = inverse(world_from_camera)
    turn, shift = camera_from_world[:3, :3], camera_from_world[:3, 3]
    for index, plane in enumerate(planes):
        centre, side, down = turn @ plane.centre + shift, turn @ plane.side, turn @ plane.down
        normal = np.cross(side, down)
        distance = float(normal @ centre)
        polygon = _polygon(centre, side, down, pixels)
        if polygon is None or distance <= 0:  # planes are seen from their front alone
            continue
        x0, y0 = np.maximum(np.floor(polygon.min(axis=0)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(polygon.max(axis=0)).astype(int) + 1, [width, height])
        if x0 >= x1 or y0 >= y1:
            continue
        box = np.s_[y0:y1, x0:x1]
        row = (normal / distance) @ pixels  # 1 / z of a pixel
        near = (row[0] * np.arange(x0, x1) + (row[1] * np.arange(y0, y1) + row[2])[:, None]).astype(np.float32)
        inside = np.zeros(near.shape, np.uint8)
        corners = np.clip((polygon - [x0, y0]) * 16, -(2**28), 2**28)
        cv2.fillConvexPoly(inside, np.round(corners).astype(np.int32), (1,), shift=4)
        nearer = inside.astype(bool) & (near > nearness[box])
        size = np.array([plane.texture.shape[1], plane.texture.shape[0]])
        local = np.stack([(distance * a - (centre @ a) * normal) / (a @ a) for a in (side, down)])
        texels = np.vstack([(local + normal) * size[:, None] / 2 - 0.5 * normal, normal])
        place = texels @ pixels @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpPerspective(
            plane.texture, place, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        colour[box][nearer], nearness[box][nearer], which[box][nearer] = drawn[nearer], near[nearer], index
    small = cv2.resize(colour, (lens.width, lens.height), interpolation=cv2.INTER_AREA)
    middle = np.s_[oversample // 2 :: oversample, oversample // 2 :: oversample]
    depth = (1 / np.maximum(nearness[middle], 1e-3)).astype(np.float32)
    return np.asarray(small, np.uint8), depth, which[middle]


def _polygon(centre: Float64, side: Float64, down: Float64, pixels: Float64) -> Float64 | None:  # [P, 2]
    """The rectangle's outline in pixels, cut off before the camera; None where it lies behind."""
    corners = [centre + a * side + b * down for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    kept = []
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (b - a) * (NEAR - a[2]) / (b[2] - a[2]))
    if len(kept) < 3:
        return None
    projected = np.array(kept) @ np.linalg.inv(pixels).T
    return projected[:, :2] / projected[:, 2:]


def _room(chance: np.random.Generator, fineness: float) -> list[Plane]:
    """Floor, ceiling and four walls, seen from within."""
    left, right = chance.uniform(2.6, 4.0, 2)
    floor, ceiling = chance.uniform(1.1, 1.5), chance.uniform(1.6, 2.4)
    back, behind = chance.uniform(6.5, 9.0), 4.0
    x, y, z = (right - left) / 2, (floor - ceiling) / 2, (back - behind) / 2
    a, b, c = (left + right) / 2, (floor + ceiling) / 2, (back + behind) / 2
    walls = [
        ([x, y, back], [a, 0, 0], [0, b, 0]),
        ([x, y, -behind], [-a, 0, 0], [0, b, 0]),
        ([-left, y, z], [0, 0, c], [0, b, 0]),
        ([right, y, z], [0, 0, -c], [0, b, 0]),
        ([x, floor, z], [a, 0, 0], [0, 0, -c]),
        ([x, -ceiling, z], [a, 0, 0], [0, 0, c]),
    ]
    return [_plane(chance, fineness, *wall) for wall in walls]


def _things(chance: np.random.Generator, fineness: float, motion: Motion) -> list[Plane]:
    """Boxes that stand about, and one that moves by itself where the camera follows nothing."""
    planes: list[Plane] = []
    for n in range(6):
        half = chance.uniform([0.2, 0.25, 0.2], [0.45, 0.6, 0.45])
        z = chance.uniform(3.4, 5.5)
        centre = np.array([(n - 2.5) / 2.5 * 0.55 * z + chance.uniform(-0.3, 0.3), 1.0 - half[1], z])
        centre[1] -= chance.uniform(0, 1.2) * (n % 2)
        planes += _box(chance, fineness, centre, half, chance.uniform(0, np.pi), np.zeros(3))
    if motion.follows:
        planes += _box(chance, fineness, np.array([0.1, 0.15, 2.2]), np.array([0.55, 0.85, 0.25]), 0.15,
                       np.zeros(3), with_camera=True)  # fmt: skip
    else:
        speed = np.array([chance.choice([-1, 1]) * chance.uniform(0.5, 0.9), 0.0, 0.0])
        planes += _box(chance, fineness, np.array([0.0, 0.55, 2.5]), np.array([0.25, 0.38, 0.18]), 0.3, speed)
    return planes


def _box(
    chance: np.random.Generator,
    fineness: float,
    centre: Float64,
    half: Float64,
    turn: float,
    speed: Float64,
    *,
    with_camera: bool = False,
) -> list[Plane]:
    """The six sides of a box that is turned about the vertical."""
    c, s = np.cos(turn), np.sin(turn)
    axes = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T * half  # columns: the half sides
    axes = [axes[:, i] for i in range(3)]
    planes = []
    for i in range(3):
        out, side, down = axes[i], axes[(i + 1) % 3], axes[(i + 2) % 3]
        for sign in (1.0, -1.0):  # the front is where the normal points away from the eye
            face = _plane(chance, fineness, centre + sign * out, -sign * side, down)
            planes.append(Plane(face.centre, face.side, face.down, face.texture, speed, with_camera))
    return planes


def _plane(
    chance: np.random.Generator, fineness: float, centre: Sequence[float] | Float64, side: object, down: object
) -> Plane:
    a, b = np.asarray(side, np.float64), np.asarray(down, np.float64)
    width, height = (max(8, round(2 * float(np.linalg.norm(v)) * 110 * fineness)) for v in (a, b))
    return Plane(np.asarray(centre, np.float64), a, b, _texture(chance, width, height, fineness), np.zeros(3))


def _texture(chance: np.random.Generator, width: int, height: int, fineness: float) -> UInt8:
    """Soft noise of several sizes, blotches and lines in two colours: what can be followed, and some of what cannot."""
    field = np.zeros((height, width), np.float32)
    for cell, strength in ((96, 1.0), (40, 0.8), (16, 0.7), (7, 0.5)):
        step = max(cell * fineness, 2.5)
        coarse = chance.standard_normal((int(height / step) + 3, int(width / step) + 3)).astype(np.float32)
        field += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(max(2, width * height // int(6000 * fineness**2))):
        x, y = (int(v) for v in chance.integers(0, [width, height]))
        size = int(chance.uniform(3, 14) * fineness) + 1
        cv2.rectangle(
            field, (x, y), (x + size, y + int(size * chance.uniform(0.4, 2))), (float(chance.uniform(-3, 3)),), -1
        )
    share = 1 / (1 + np.exp(-1.1 * cv2.GaussianBlur(field, (0, 0), 0.8)))[..., None]
    dark, light = chance.uniform(15, 110, 3), chance.uniform(120, 240, 3)
    return (dark + share * (light - dark)).astype(np.uint8)
