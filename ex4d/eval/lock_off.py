"""A locked-off new camera over footage whose camera moved: how near its guides come to what it would have seen."""

from __future__ import annotations

import numpy as np

from ex4d.clip import with_source_camera
from ex4d.eval.filmed import Filmed
from ex4d.eval.metrics import psnr
from ex4d.guides import render_guides
from ex4d.types import Clip
from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.source_camera import SourceCamera

FRAMES = 9
"""Frames, spread over the clip, that are drawn."""


def locked_off_psnr(filmed: Filmed, clip: Clip, estimate: SourceCamera) -> dict[str, float]:
    """Mean PSNR of the guides of a camera that stays at frame 0's against the true picture, where guides show anything.

    ``psnr_still`` places every frame's mesh as if the camera had stood still, ``psnr_true`` by the true poses,
    ``psnr_estimated`` by the estimate's. ``clip`` is what was filmed with the depth to use.
    """
    truth = filmed.camera
    still = SourceCamera.still(len(truth), truth.frame_intrinsics(0))
    cameras = {"still": still, "true": truth, "estimated": estimate}
    times = np.array(sorted({round(i) for i in np.linspace(1, len(truth) - 1, FRAMES)}), np.float64)
    pictures = [filmed.locked_off(int(t)) for t in times]
    return {f"psnr_{name}": _mean(clip, camera, times, pictures) for name, camera in cameras.items()}


def _mean(clip: Clip, camera: SourceCamera, times: Float64, pictures: list[np.ndarray]) -> float:
    count = len(times)
    poses, lens = np.tile(np.eye(4), (count, 1, 1)), np.tile(camera.intrinsics[0], (count, 1))
    stay = Trajectory(poses, lens, times, clip.width, clip.height, "locked off")
    guides = render_guides(with_source_camera(clip, camera), stay, rasterizer="cpu")
    shown = zip(guides.colour, pictures, guides.mask, strict=True)
    return float(np.mean([psnr(np.asarray(a), b, np.asarray(mask)) for a, b, mask in shown if mask.any()]))
