"""Edge care: sharp depth edges on image edges, a far plane in front of the border shell, no invalid pixels.

Each step is a function of one frame, and optional. A DW-mesh tears where depth jumps, so a jump that is a few pixels
off the picture's edge drags a rim of background along with the foreground; soft jumps make rubber sheets.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.clip.invalid import fill_invalid
from ex4d_ground.arrays import FAR, Bool, Float32, UInt8
from ex4d_ground.errors import SettingError

_LAYERS = 16
_GUIDE_EPSILON = 1e-3


@dataclass(frozen=True)
class EdgeOptions:
    """Which steps run, and how far they reach."""

    fill: bool = True
    """Give invalid pixels the depth of the nearest valid one."""
    sharpen: bool | None = None
    """Make soft depth edges steps (:mod:`ex4d.depth.sharpen`); None: for estimated depth, not for depth from files."""
    align: bool = False
    """Move depth edges onto image edges. Off unless asked for: where edges are displaced by about 1.5 px it mends 15
    to 43 % of the wrong pixels around them, but where they are right it spoils 0.3 to 1.1 % (four Blender scenes), most
    where neighbouring surfaces have like colours. Look at ``ex4d depth inspect`` before turning it on."""
    radius: int = 6
    """How many pixels an edge may move, at 512 px width; grows with the frame."""
    jump: float = 0.08
    """Relative depth difference across ``radius`` that makes an edge."""
    outvoted: float = 0.25
    """A pixel moves if less than this share of its neighbourhood's vote is for its own depth."""
    clamp_far: bool = True
    """Bring what lies behind the border shell in front of it."""
    border_depth: float = 100.0
    """Depth of the mesh's border (``MeshOptions.border_depth``)."""
    far_share: float = 0.95
    """The far plane as a share of the border's depth."""

    def __post_init__(self) -> None:
        if not 1 <= self.radius <= 64:
            raise SettingError(f"The edge radius must be between 1 and 64 pixels, got {self.radius}.")
        if not 0 < self.jump < 10:
            raise SettingError(f"The edge jump must be between 0 and 10, got {self.jump}.")
        if not 0 < self.border_depth < FAR:
            raise SettingError(f"The border depth must be positive and less than {FAR:g}, got {self.border_depth:g}.")
        if not 0 < self.far_share < 1:
            raise SettingError(f"far_share must lie within 0..1, got {self.far_share}.")


def fill_frame(depth: Float32) -> tuple[Float32, int]:  # [H, W], number of pixels filled
    """Invalid pixels take the value of the nearest valid pixel. Raises DepthError if there is none."""
    filled, invalid = fill_invalid(depth[None], label="A frame of the depth")
    return filled[0], invalid.count


def clamp_far(depth: Float32, options: EdgeOptions = EdgeOptions()) -> tuple[Float32, int]:  # [H, W], pixels moved
    """Limit depth to ``far_share`` of the border's, so that the sky stays in front of the shell closing the mesh."""
    far = np.float32(options.border_depth * options.far_share)
    return np.minimum(depth, far), int((depth > far).sum())


class GuidedFilter:
    """The guided filter with a colour guide (He et al. 2013), from box means; made once, applied to many signals.

    Each output pixel is a linear function of the guide's colour, fitted to the signal in the windows around it: the
    output follows the signal where the guide is flat, and has its edges where the guide has them. The fit is made at
    ``1 / subsampling`` of the size (He and Sun 2015), which changes little and costs a fraction.
    """

    def __init__(self, guide: UInt8, radius: int, epsilon: float, *, subsampling: int = 1):  # guide [H, W, 3]
        self._guide = guide.astype(np.float32) / 255
        self._full = (guide.shape[1], guide.shape[0])
        self._small = (max(1, guide.shape[1] // subsampling), max(1, guide.shape[0] // subsampling))
        window = 2 * max(1, round(radius / subsampling)) + 1
        self._window = (window, window)
        small = self._reduced(self._guide)
        self._channels = [np.ascontiguousarray(small[..., c]) for c in range(3)]
        self._means = [self._box(c) for c in self._channels]
        covariance = np.empty((*small.shape[:2], 3, 3), np.float32)
        for i in range(3):
            for j in range(i, 3):
                value = self._box(self._channels[i] * self._channels[j]) - self._means[i] * self._means[j]
                covariance[..., i, j] = covariance[..., j, i] = value
        inverse = np.linalg.inv(covariance + np.float32(epsilon) * np.eye(3, dtype=np.float32))
        self._inverse = [[np.ascontiguousarray(inverse[..., i, j]) for j in range(3)] for i in range(3)]

    def __call__(self, signal: Float32) -> Float32:  # [H, W] -> [H, W]
        """``signal`` with the guide's edges."""
        small = self._reduced(signal)
        mean = self._box(small)
        covariance = [self._box(c * small) - m * mean for c, m in zip(self._channels, self._means, strict=True)]
        slopes = [row[0] * covariance[0] + row[1] * covariance[1] + row[2] * covariance[2] for row in self._inverse]
        offset = mean - sum(a * m for a, m in zip(slopes, self._means, strict=True))
        planes = np.stack([self._box(plane) for plane in (*slopes, offset)], axis=-1)
        planes = cv2.resize(planes, self._full, interpolation=cv2.INTER_LINEAR)
        product = planes[..., :3] * self._guide
        return (product[..., 0] + product[..., 1] + product[..., 2] + planes[..., 3]).astype(np.float32, copy=False)

    def _reduced(self, image: Float32) -> Float32:
        if self._small == self._full:
            return image
        return cv2.resize(image, self._small, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)

    def _box(self, image: Float32) -> Float32:
        return cv2.blur(image, self._window, borderType=cv2.BORDER_REFLECT).astype(np.float32, copy=False)


def depth_edges(depth: Float32, *, jump: float, reach: int = 2) -> Bool:  # [H, W]
    """Pixels at a depth edge: disparity bends by more than ``jump`` of itself within ``reach`` pixels.

    A plane's disparity is linear in the image, so a slanted floor bends nowhere, however steep it is.
    """
    disparity = 1 / depth
    padded = np.pad(disparity, reach, mode="edge")
    inner = slice(reach, -reach)
    bend_x = padded[inner, : -2 * reach] - 2 * disparity + padded[inner, 2 * reach :]
    bend_y = padded[: -2 * reach, inner] - 2 * disparity + padded[2 * reach :, inner]
    return np.maximum(np.abs(bend_x), np.abs(bend_y)) > jump * disparity


def align_edges(
    depth: Float32,  # [H, W] positive and finite
    image: UInt8,  # [H, W, 3]
    options: EdgeOptions = EdgeOptions(),
) -> Float32:  # [H, W]
    """Move depth edges onto image edges and make them sharp.

    Around depth edges each pixel takes a vote of its neighbourhood: depth is cut into layers, each layer's mask goes
    through the guided filter, and where like-coloured neighbours clearly outvote the pixel's own layer it takes the
    median layer's depth (the weighted median of Ma et al. 2013). Where the vote is close nothing changes.
    """
    radius = max(2, round(options.radius * depth.shape[1] / 512))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    band = cv2.dilate(depth_edges(depth, jump=options.jump).astype(np.uint8), kernel) > 0
    if not band.any():
        return depth
    levels = np.unique(np.quantile(depth[band], np.linspace(0, 1, _LAYERS)))
    bounds = np.sqrt(levels[:-1] * levels[1:])  # halfway between neighbouring levels, in proportion
    layer = np.searchsorted(bounds, depth).astype(np.int32)  # [H, W] 0.. near to far
    smooth = GuidedFilter(image, radius, _GUIDE_EPSILON, subsampling=2)
    total = np.zeros_like(depth)
    median = np.full(depth.shape, -1, np.int32)
    agreeing = np.zeros_like(depth)  # share of the vote for layers as deep as the pixel's own
    value = depth.copy()
    for index in range(len(bounds) + 1):
        mask = (layer == index).astype(np.float32)
        vote = smooth(mask)
        total += vote
        reached = (median < 0) & (total >= 0.5)
        median[reached] = index
        weight = cv2.blur(mask, kernel.shape[::-1])
        mean = cv2.blur(mask * depth, kernel.shape[::-1]) / np.maximum(weight, 1e-6)
        near_own = (weight > 0) & (np.abs(mean / depth - 1) < options.jump)
        agreeing += np.where(near_own, vote, 0)
        chosen = reached & (weight > 1e-6)
        value[chosen] = mean[chosen]
    outvoted = band & (agreeing < options.outvoted) & (np.abs(value / depth - 1) > options.jump)
    return np.where(outvoted, value, depth).astype(np.float32)
