"""How well holes are filled: finished previews against true pictures, in the holes of the guides alone."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.engines import get_engine
from ex4d.engines.base import GenerateRequest
from ex4d.eval.dataset import Scene, Target
from ex4d.eval.metrics import known_mean, psnr, ssim
from ex4d.eval.perturb import perturbed
from ex4d.eval.stability import Flow, backward_flows, flow_stability
from ex4d.guides import render_guides, render_known
from ex4d.progress import CancelToken, check
from ex4d.types import Clip, Guides, Known
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.options import MeshOptions, OccluderMode

PATCH = 7
"""Side of the patches that are compared as a crowd."""
PROJECTIONS = 96
"""Directions along which the crowds are compared."""
MOST_PATCHES = 4096
"""Patches drawn from one frame's holes."""
_SEED = 18


@dataclass(frozen=True)
class Filling:
    """One way to fill: settings of the preview engine, and whether it gets what the clip shows beside the guides."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    known: bool = False


@dataclass(frozen=True)
class FillScore:
    """One move filled in one way, over the holes of its guides; NaN where there are none."""

    scene: str
    target: str
    mode: str
    filling: str
    psnr: float
    ssim: float
    patch_distance: float
    """Sliced Wasserstein distance between the patches of the fill and of the truth, in levels of 255."""
    sharpness: float
    """Size of the fill's gradients as a share of the truth's."""
    moved_error: float
    """Mean difference, in levels, between a frame and the one before it moved as the true pictures move."""
    hole_share: float
    seconds: float
    """Of processor time, for the fill alone."""


@dataclass(frozen=True)
class FilledMove:
    """What was judged, for pictures."""

    target: Target
    guides: Guides
    filled: UInt8  # [N, H, W, 3]
    score: FillScore


def fill_scores(
    scene: Scene,
    fillings: Sequence[Filling],
    modes: Sequence[OccluderMode],
    *,
    perturbation: str = "",
    cancel: CancelToken | None = None,
) -> Iterator[FilledMove]:
    """Every orbit of ``scene`` filled in every way, on guides of each mode. Raises what meshes and the engine raise."""
    clip = scene.clip
    if perturbation:
        clip = replace(clip, depth=perturbed(np.asarray(clip.depth), perturbation))
    for target in scene.targets:
        if target.kind != "orbit":
            continue
        flows = backward_flows(target.frames)
        camera, move = clip.moving_camera, target.trajectory
        target = replace(target, trajectory=move if camera is None else camera.in_world(move))
        for mode in modes:
            mesh = DWMesh(clip, MeshOptions(mode=mode))
            guides = render_guides(mesh, target.trajectory, rasterizer="cpu", cancel=cancel)
            known = None
            if any(f.known for f in fillings):
                known = render_known(mesh, target.trajectory, guides, cancel=cancel).in_memory()
            for filling in fillings:
                check(cancel)
                yield _judged(scene.name, mode, clip, target, guides, known, filling, flows)


def _judged(
    name: str,
    mode: str,
    clip: Clip,
    target: Target,
    guides: Guides,
    known: Known | None,
    filling: Filling,
    flows: Sequence[Flow],
) -> FilledMove:
    engine, started = get_engine("preview"), time.process_time()
    settings = engine.info().validated(dict(filling.settings))
    given = guides.with_known(known if filling.known else None)
    filled = np.asarray(engine.generate(GenerateRequest(given, target.trajectory, clip, settings)))
    took, holes = time.process_time() - started, ~np.asarray(guides.mask)
    frames = range(1, len(filled))  # the first is the source's own view
    score = FillScore(
        name,
        target.name,
        mode,
        filling.name,
        psnr=known_mean(psnr(filled[i], target.frames[i], holes[i]) for i in frames),
        ssim=known_mean(ssim(filled[i], target.frames[i], holes[i]) for i in frames),
        patch_distance=known_mean(patch_distance(filled[i], target.frames[i], holes[i]) for i in frames),
        sharpness=known_mean(sharpness(filled[i], target.frames[i], holes[i]) for i in frames),
        moved_error=flow_stability(filled, mask=holes, reference=target.frames, flows=flows).warped_error,
        hole_share=float(holes[1:].mean()),
        seconds=took,
    )
    return FilledMove(target, given, filled, score)


def patch_distance(a: UInt8, b: UInt8, where: Bool) -> float:  # [H, W, 3], [H, W]
    """Sliced Wasserstein distance between the patches around the pixels of ``where``, in levels; NaN without any.

    Each crowd of patches is looked at along random directions, where the mean distance of the sorted values says how
    far one must be moved to become the other (Rabin et al. 2011). Directions and patches are the same on every call.
    """
    reach, rng = PATCH // 2, np.random.default_rng(_SEED)
    rows, columns = np.nonzero(where[reach:-reach, reach:-reach])
    if not len(rows):
        return float("nan")
    chosen = rng.choice(len(rows), min(MOST_PATCHES, len(rows)), replace=False)
    rows, columns = rows[chosen], columns[chosen]
    directions = rng.standard_normal((PATCH * PATCH * 3, PROJECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    ours, true = (np.sort(_patches(image, rows, columns) @ directions, axis=0) for image in (a, b))
    return float(np.abs(ours - true).mean())


def _patches(image: UInt8, rows: np.ndarray, columns: np.ndarray) -> Float32:  # [P, 3 * PATCH * PATCH]
    windows = np.lib.stride_tricks.sliding_window_view(image, (PATCH, PATCH, 3))[:, :, 0]
    return windows[rows, columns].transpose(0, 3, 1, 2).reshape(len(rows), -1).astype(np.float32)


def sharpness(a: UInt8, b: UInt8, where: Bool) -> float:
    """Mean size of the gradients of ``a`` over ``where``, less its rim, as a share of those of ``b``; NaN without."""
    inside = cv2.erode(where.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if not inside.any():
        return float("nan")
    ours, true = (_gradient(image)[inside].mean() for image in (a, b))
    return float(ours / max(true, 1e-6))


def _gradient(image: UInt8) -> Float32:  # [H, W]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)).astype(np.float32)
