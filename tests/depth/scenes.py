"""Ray-cast clips with exact depth: a textured room, a ball that moves, and a camera that may move."""

from dataclasses import dataclass

import numpy as np

from ex4d_ground.cameras import Intrinsics


@dataclass(frozen=True)
class Scene:
    name: str
    camera_step: tuple[float, float, float]  # world units a frame
    ball_step: tuple[float, float, float]
    seed: int = 0
    ball_tint: tuple[float, float, float] = (0.12, 0.12, 0.12)


SCENES = (
    Scene("still camera", (0, 0, 0), (0.05, 0, 0.02), 1),
    Scene("dolly in", (0, 0, 0.08), (0.0, 0.02, 0), 2),
    Scene("strafe", (0.06, 0.01, 0), (0.0, 0, 0.0), 3, (0.45, -0.25, -0.35)),
)


def render(scene, *, frames=16, height=144, width=192):
    """frames [T, H, W, 3] uint8, z-depth [T, H, W] float32, intrinsics."""
    lens = Intrinsics.from_fov(width, height, 60.0)
    rng = np.random.default_rng(scene.seed)
    texture = rng.normal(size=(24, 3)) * 7.0, rng.uniform(0, 2 * np.pi, 24), rng.uniform(0, 1, (24, 3))
    j, i = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(j - lens.cx) / lens.fx, (i - lens.cy) / lens.fy, np.ones_like(j)], -1)
    colours, depths = [], []
    for t in range(frames):
        eye = np.array(scene.camera_step) * t
        depth = np.full((height, width), 9.0 - eye[2])  # back wall at z = 9
        for axis, where in ((1, 2.0), (0, -3.5)):  # floor below, wall on the left
            with np.errstate(divide="ignore", invalid="ignore"):
                s = (where - eye[axis]) / rays[..., axis]
            depth = np.where((s > 0) & (s < depth), s, depth)
        centre = np.array([0.4, 0.6, 4.5]) + np.array(scene.ball_step) * t
        to_ball = centre - eye
        b, a = rays @ to_ball, (rays**2).sum(-1)
        disc = b**2 - a * (to_ball @ to_ball - 0.9**2)
        hit = disc > 0
        s = (b - np.sqrt(np.where(hit, disc, 0))) / a
        hit &= s < depth
        depth = np.where(hit, s, depth)
        points = eye + rays * depth[..., None]
        local = np.where(hit[..., None], (points - centre) * 1.7 + 11.0, points)
        waves = np.sin(local @ texture[0].T + texture[1])
        colour = 0.5 + (waves[..., None] * (texture[2] - 0.5)).sum(-2) * 0.13
        colours.append((np.clip(colour + hit[..., None] * np.array(scene.ball_tint), 0, 1) * 255).astype(np.uint8))
        depths.append(depth.astype(np.float32))
    return np.stack(colours), np.stack(depths), lens
