"""What the tables do not say about solid meshes: is the thickness steady, and is what other frames fill in right?"""

import math
from dataclasses import dataclass

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.eval.dataset import ANGLES_DEG, Scene
from ex4d.eval.metrics import known_mean, psnr
from ex4d.progress import CancelToken, check
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer
from ex4d.types import Clip
from ex4d_ground.errors import SettingError
from ex4d_ground.options import MeshOptions

SAME_SURFACE = 0.03
"""Share of the depth by which what is filled in may miss the true surface and still show it."""


@dataclass(frozen=True)
class Extras:
    """One scene's numbers; NaN where there was nothing to measure."""

    scene: str
    thickness_spread: float
    """Median over the pixels that stay at a depth edge of the estimate's standard deviation over time, as a share of
    its mean."""
    filled: float
    """Share of the picture that other frames fill in (orbit frames at the table's angles)."""
    filled_right: float
    """Share of the filled pixels whose true surface is the one shown."""
    filled_psnr: float
    """PSNR of the filled pixels against the truth, dB."""
    unavailable: str = ""
    """Why nothing could be filled in."""


def scene_extras(scene: Scene, *, cancel: CancelToken | None = None) -> Extras:
    """Measure one scene. Raises Cancelled."""
    spread = thickness_spread(scene.clip, MeshOptions(mode="solid"), cancel=cancel)
    try:
        filled = DWMesh(scene.clip, MeshOptions(mode="solid", other_frames=True))
    except SettingError as reason:
        return Extras(scene.name, spread, math.nan, math.nan, math.nan, str(reason))
    shares, right, quality = [], [], []
    alone, rasterizer = DWMesh(scene.clip, MeshOptions(mode="solid")), CpuRasterizer()
    for target in scene.targets:
        for i in target.frames_at(*ANGLES_DEG):
            check(cancel)
            t, camera = math.floor(target.trajectory.source_time[i] + 0.5), Camera.of(target.trajectory, i)
            _, before = rasterizer.draw(alone.surface(t), camera)
            colour, after = rasterizer.draw(filled.surface(t), camera)
            new = after & ~before
            shares.append(float(new.mean()))
            quality.append(psnr(colour, target.frames[i], new))
            if target.depth is not None and new.any():
                miss = np.abs(1 - rasterizer.inverse_depth * target.depth[i])
                right.append(float((miss[new] < SAME_SURFACE).mean()))
    return Extras(scene.name, spread, known_mean(shares), known_mean(right), known_mean(quality))


def thickness_spread(clip: Clip, options: MeshOptions, *, cancel: CancelToken | None = None) -> float:
    """How much the thickness of what stays at a depth edge changes over time, as a share. NaN for a single frame."""
    mesh = DWMesh(clip, options)
    layers = []
    for t in range(clip.num_frames):
        check(cancel)
        layers.append(mesh.thickness(t))
    thickness = np.stack(layers)
    always = np.isfinite(thickness).all(axis=0)
    if clip.num_frames < 2 or not always.any():
        return math.nan
    values = thickness[:, always]
    return float(np.median(values.std(axis=0) / np.maximum(values.mean(axis=0), 1e-9)))
