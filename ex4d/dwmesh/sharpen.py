"""Smeared depth edges made sharp again, for the surface that cameras see.

Estimated, resized or compressed depth has a ramp where an object ends: pixels that float between it and what is
behind. A solid mesh would close each of them as a thing of its own. Ramps are told from sharp edges by their share
among all steps, once per clip, so that depth that is sharp already is not touched.

Each pixel of a ramp goes to one of its two sides. Where a Gaussian in inverse depth explains the ramps, of a width that
is estimated too, the sides' depths are corrected besides until the result, smeared again, gives what came in: thin
things had lost most of their nearness to what is behind them.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from ex4d.compiled.kernel import kernel
from ex4d.frames import Frames
from ex4d_ground.arrays import Bool, Float32

STEP = 0.15
"""Share of the inverse depth by which the neighbours left and right of a pixel differ at a step."""
BETWEEN = 0.15
"""A pixel at least this share of the step away from both its neighbours, and between them, is part of a ramp."""
RAMPS = 0.2
"""Share of ramps among the steps above which a clip's edges are smeared: sharp depth has 0.05, one pixel between the
sides 0.33, blurred depth 0.7 and more."""
RANGE, EXPLAINED_RANGE = 0.06, 0.03
"""Pixels whose 3 x 3 neighbourhood spans more than this share of the inverse depth may be part of a ramp: as long as
nobody knows how edges were smeared, and once that is known."""
CURVED = 0.15
"""A ramp bends at its ends, by this share of its 3 x 3 span at least; a plane, however steep, does not."""
SIGMAS_PX = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0)
"""Widths of the smear that are tried. The first is too narrow to tell from a single pixel between two sides."""
SAME_SIDE = 0.03
"""Pixels within this share of each other's inverse depth are on one side, and share a correction."""
TRIALS, CORRECTIONS = 2, 3
"""Corrections that tell whether a smear explains the ramps, and that undo it then."""
EXPLAINED = 0.2
"""Share of the misfit that may remain after correction: Gaussian smears leave 0.1 to 0.2, others 0.25 and more."""
LEAST = 1e-6
_WINDOW, _WIDE = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)


def is_smeared(depth: Frames) -> bool:  # [T, H, W]
    """Whether most depth steps of the clip's first, middle and last frame are ramps."""
    steps = ramps = 0
    for t in _samples(depth):
        inverse = np.float32(1) / depth[t]
        left, middle, right = inverse[:, :-2], inverse[:, 1:-1], inverse[:, 2:]
        low, high = np.minimum(left, right), np.maximum(left, right)
        size = high - low
        step = size > STEP * high
        ramp = step & (middle - low > BETWEEN * size) & (high - middle > BETWEEN * size)
        steps += int(step.sum())
        ramps += int(ramp.sum())
    return ramps > RAMPS * max(steps, 1)


def smear_px(depth: Frames) -> float:  # [T, H, W]
    """Standard deviation of the Gaussian, in pixels, that explains the clip's ramps by sharp steps; 0 if none does."""
    inverses = [np.float32(1) / depth[t] for t in _samples(depth)]
    pairs = [(inverse, _two_sided(_two_sided(inverse))) for inverse in inverses]
    misfits = [sum(_misfit(inverse, sharp, s) for inverse, sharp in pairs) for s in SIGMAS_PX]
    best = int(np.argmin(misfits))
    sigma = SIGMAS_PX[best]
    left = sum(_misfit(inverse, _unsmeared(inverse, sharp, sigma), sigma) for inverse, sharp in pairs)
    return sigma if best > 0 and left < EXPLAINED * misfits[best] else 0.0


def sharpened(depth: Float32, sigma_px: float) -> Float32:  # [H, W]
    """Depth whose edges were smeared by ``sigma_px`` (0: nobody knows how), with every pixel on one of their sides."""
    inverse = np.float32(1) / depth
    if sigma_px == 0:
        return np.float32(1) / _two_sided(_two_sided(inverse))
    clearer = inverse + (inverse - _smeared(inverse, sigma_px))  # one step back; more would raise noise
    clearer = np.clip(clearer, cv2.erode(inverse, _WINDOW), cv2.dilate(inverse, _WINDOW))
    sides = _two_sided(clearer, EXPLAINED_RANGE)
    result = sides
    for _ in range(CORRECTIONS):
        correction = np.empty_like(sides)
        _mean_of_side(sides, inverse - _smeared(result, sigma_px), np.float32(SAME_SIDE), correction)
        result = result + correction
    return np.float32(1) / np.maximum(result, np.float32(LEAST))


def roughness(depth: Frames) -> float:  # [T, H, W]
    """Median over the pixels of how far one is from the middle of its neighbours in a row, as a share of the depth.

    In inverse depth, where planes are straight: 0 for smooth depth, 0.8 of the standard deviation for noise.
    """
    shares = []
    for t in _samples(depth):
        inverse = np.float32(1) / depth[t][::4]
        middle = np.float32(0.5) * (inverse[:, :-2] + inverse[:, 2:])
        shares.append(np.median(np.abs(middle - inverse[:, 1:-1]) / inverse[:, 1:-1]))
    return float(np.mean(shares))


def _misfit(inverse: Float32, sharp: Float32, sigma_px: float) -> float:
    """Mean share by which ``sharp``, smeared, misses ``inverse`` near its edges."""
    span = cv2.dilate(sharp, _WINDOW) - cv2.erode(sharp, _WINDOW)
    near = cv2.dilate((span > STEP * sharp).astype(np.uint8), _WIDE) > 0
    return float((np.abs(inverse - _smeared(sharp, sigma_px)) / inverse)[near].mean()) if near.any() else 0.0


def _unsmeared(inverse: Float32, sharp: Float32, sigma_px: float) -> Float32:
    """``sharp`` corrected pixel by pixel towards what gives ``inverse`` when smeared: exact if the smear was one."""
    for _ in range(TRIALS):
        sharp = sharp + (inverse - _smeared(sharp, sigma_px))
    return sharp


def _samples(depth: Frames) -> Sequence[int]:
    return sorted({0, len(depth) // 2, len(depth) - 1})


def _smeared(inverse: Float32, sigma_px: float) -> Float32:
    return np.asarray(cv2.GaussianBlur(inverse, (0, 0), sigma_px), np.float32)


def _two_sided(inverse: Float32, least: float = RANGE) -> Float32:
    """Each pixel of a ramp at the nearer of its neighbourhood's two ends."""
    high, low = cv2.dilate(inverse, _WINDOW), cv2.erode(inverse, _WINDOW)
    span = high - low
    side = np.where(inverse - low > high - inverse, high, low)
    return np.where((span > least * high) & _bends(inverse, span), side, inverse)


def _bends(inverse: Float32, span: Float32) -> Bool:
    """Where a surface is bent within two pixels: second differences, however the inverse depth slopes."""
    bend = np.zeros_like(inverse)
    bend[:, 1:-1] = np.abs(inverse[:, 2:] + inverse[:, :-2] - 2 * inverse[:, 1:-1])
    np.maximum(bend[1:-1], np.abs(inverse[2:] + inverse[:-2] - 2 * inverse[1:-1]), out=bend[1:-1])
    return cv2.dilate(bend, _WIDE) > CURVED * span


@kernel
def _mean_of_side(sides: Float32, values: Float32, same: np.float32, out: Float32) -> None:  # [H, W] each
    """Mean of ``values`` over the 5 x 5 neighbours on the pixel's own side, the pixel included."""
    height, width = sides.shape
    for j in range(height):
        for i in range(width):
            own = sides[j, i]
            total = np.float32(0.0)
            count = 0
            for y in range(max(j - 2, 0), min(j + 3, height)):
                for x in range(max(i - 2, 0), min(i + 3, width)):
                    if abs(sides[y, x] - own) < same * max(sides[y, x], own):
                        total += values[y, x]
                        count += 1
            out[j, i] = total / count
