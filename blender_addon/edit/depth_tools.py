"""Repairs of a depth map on a selection, in numpy alone. Vertices only slide along their viewing rays.

Everything works on disparity (1 / depth) or on depth ratios, so results do not depend on the clip's unit. The
outermost rows and columns are the mesh's border, far away on purpose: they are never changed and never looked at.
"""

from dataclasses import dataclass

import numpy as np

from ex4d_ground.arrays import Bool, Float32, Float64, Int64

from ..work.errors import AddonError

NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))
MAX_PLANE_RATIO = 1000.0
"""A plane that moves a vertex by more than this factor leaves the selection's view: it is refused."""

COLLINEAR = 1e-5
"""Relative singular value below which rays count as lying in a row: above float32 noise, below neighbouring pixels."""


@dataclass(frozen=True)
class Patch:
    """What a repair works on."""

    depth: Float64  # [H, W]
    selected: Bool  # [H, W]
    positions: Float32  # [V, 3], V = H * W


def depth_grid(positions: Float32, *, width: int, height: int) -> Float64:  # [V, 3] -> [H, W]
    """Depth of every vertex. Raises AddonError if any is not positive: no viewing ray leads there."""
    depth = positions[:, 2].astype(np.float64).reshape(height, width)
    behind = int((~(depth > 0)).sum())
    if behind:
        raise AddonError(f"{behind} vertices lie behind the source camera; undo what moved them there.")
    return depth


def slide(positions: Float32, depth: Float64, *, selected: Bool) -> Float32:  # [V, 3], [H, W], [H, W] -> [V, 3]
    """``positions`` with the selected vertices moved along their viewing rays to ``depth``."""
    out = positions.copy()
    chosen = selected.ravel()
    ratio = depth.ravel()[chosen] / positions[chosen, 2].astype(np.float64)
    out[chosen] = positions[chosen] * ratio[:, None].astype(np.float32)
    return out


def inner(selected: Bool) -> Bool:  # [H, W] -> [H, W]
    """The selection without the mesh's border. Raises AddonError if nothing is left."""
    out = selected.copy()
    out[[0, -1]] = False
    out[:, [0, -1]] = False
    if not out.any():
        raise AddonError("No vertex of the picture is selected; select some in Edit Mode (the border does not count).")
    return out


def smooth(patch: Patch, *, iterations: int, strength: float, edge_ratio: float) -> Float64:  # [H, W]
    """Average disparity with the four neighbours, ``iterations`` times, without crossing depth edges.

    A neighbour whose depth differs by more than the factor ``edge_ratio`` does not count. Vertices outside the
    selection stay and are averaged with, so that the selection joins them smoothly.
    """
    chosen = inner(patch.selected)
    disparity = 1.0 / patch.depth
    limit = np.log(edge_ratio)
    for _ in range(iterations):
        total, weight = np.zeros_like(disparity), np.zeros_like(disparity)
        for rows, columns in NEIGHBOURS:
            beside = _shifted(disparity, rows, columns)
            counts = np.abs(np.log(beside / disparity)) <= limit
            total += np.where(counts, beside, 0.0)
            weight += counts
        mean = np.where(weight > 0, total / np.maximum(weight, 1), disparity)
        disparity = np.where(chosen, disparity + strength * (mean - disparity), disparity)
    return np.where(chosen, 1.0 / disparity, patch.depth)


def flatten(patch: Patch, *, strength: float) -> Float64:  # [H, W]
    """Bring the selection to the plane that fits it best.

    A plane in space is a plane in disparity over the viewing rays (1/z = a x/z + b y/z + c), so the fit is linear, and
    outliers (a stray patch in the selection) are weighed down in a few rounds. Raises AddonError if fewer than three
    vertices are selected, if they lie in a row, or if the plane does not stand before the camera.
    """
    chosen = inner(patch.selected)
    if chosen.sum() < 3:
        raise AddonError(f"A plane needs three selected vertices, got {int(chosen.sum())}; select more.")
    points = patch.positions.reshape(*patch.depth.shape, 3)[chosen].astype(np.float64)
    rays = np.column_stack([points[:, 0] / points[:, 2], points[:, 1] / points[:, 2], np.ones(len(points))])
    disparity = 1.0 / points[:, 2]
    plane = _robust_fit(rays, disparity)
    fitted = rays @ plane
    ratio = disparity / np.where(fitted > 0, fitted, np.nan)
    if not (np.isfinite(ratio).all() and ratio.max() < MAX_PLANE_RATIO and ratio.min() > 1 / MAX_PLANE_RATIO):
        raise AddonError(
            "The plane through the selection runs past the camera; select a patch that is seen less edge-on."
        )
    out = patch.depth.copy()
    out[chosen] = 1.0 / (disparity + strength * (fitted - disparity))
    return out


def grow_edge(patch: Patch, *, pixels: int, edge_ratio: float) -> Float64:  # [H, W]
    """Move the depth edges in the selection by ``pixels``: positive grows what is in front, negative what is behind.

    Only vertices within that distance of a neighbour across an edge (depths differing by more than the factor
    ``edge_ratio``) change, and each takes that neighbour's depth; surfaces between edges stay as they are.
    """
    chosen = inner(patch.selected)
    out = patch.depth.copy()
    choose, sign = (np.minimum, 1.0) if pixels > 0 else (np.maximum, -1.0)
    for _ in range(abs(pixels)):
        best = out
        for rows, columns in NEIGHBOURS:
            beside = _shifted(out, rows, columns)
            crosses = sign * np.log(out / beside) > np.log(edge_ratio)
            best = choose(best, np.where(crosses, beside, best))
        out = np.where(chosen, best, out)
    return out


def connected(depth: Float64, seeds: Bool, *, edge_ratio: float) -> Bool:  # [H, W], [H, W] -> [H, W]
    """What can be reached from the seeds without crossing a depth edge or entering the mesh's border.

    There is an edge between neighbours whose depths differ by more than the factor ``edge_ratio``.
    """
    out = inner(seeds)
    logs = np.log(depth)
    cut_x = np.abs(np.diff(logs, axis=1)) > np.log(edge_ratio)
    cut_y = np.abs(np.diff(logs, axis=0)) > np.log(edge_ratio)
    cut_x[:, [0, -1]], cut_y[[0, -1]] = True, True
    runs = _runs(cut_x), _runs(cut_y.T)
    count = -1
    while int(out.sum()) != count:
        count = int(out.sum())
        out = _whole_runs(out, runs[0])
        out = _whole_runs(out.T, runs[1]).T
    return inner(out)


def _runs(cut: Bool) -> Int64:  # [H, W - 1] -> [H, W]
    """A number per stretch of a row between cuts."""
    begins = np.ones((cut.shape[0], cut.shape[1] + 1), np.bool_)
    begins[:, 1:] = cut
    return np.cumsum(begins.ravel()).reshape(begins.shape) - 1


def _whole_runs(chosen: Bool, runs: Int64) -> Bool:  # [H, W], [H, W] -> [H, W]
    """Every stretch of which something is chosen."""
    return np.bincount(runs.ravel(), chosen.ravel())[runs] > 0


def _shifted(values: Float64, rows: int, columns: int) -> Float64:  # [H, W] -> [H, W]
    """Each vertex's neighbour in one direction; where that is the border or outside, the vertex itself."""
    out = values.copy()
    height, width = values.shape
    top, bottom = max(1, 1 - rows), min(height - 1, height - 1 - rows)
    left, right = max(1, 1 - columns), min(width - 1, width - 1 - columns)
    out[top:bottom, left:right] = values[top + rows : bottom + rows, left + columns : right + columns]
    return out


def _robust_fit(rays: Float64, disparity: Float64) -> Float64:  # [N, 3], [N] -> [3]
    """Least squares with Tukey's weights over the residuals' median. Raises AddonError for a selection in a row."""
    weights = np.ones(len(disparity))
    plane = np.zeros(3)
    for _ in range(10):
        root = np.sqrt(weights)[:, None]
        plane, _, rank, _ = np.linalg.lstsq(rays * root, disparity * root[:, 0], rcond=COLLINEAR)
        if rank < 3:
            raise AddonError("The selected vertices lie in a row, which fits any plane; select an area.")
        residual = np.abs(rays @ plane - disparity)
        scale = 4.685 * 1.4826 * float(np.median(residual))
        if scale <= 1e-12 * float(np.abs(disparity).max()):
            break
        kept = np.clip(1 - (residual / scale) ** 2, 0, None) ** 2
        if np.allclose(kept, weights, atol=1e-6):
            break
        weights = kept
    return plane
