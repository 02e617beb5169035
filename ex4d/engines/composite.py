"""Original pixels back into generated frames, where the guides show them: feathered at the rim, colours matched.

The model repaints the whole picture, also what the source showed. For a plate the source's own pixels are wanted
there; the generated part is then matched to them in colour, so that the seam does not show.
"""

import cv2
import numpy as np

from ex4d.frames import Frames
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.errors import SettingError, ShapeError

_MIN_PIXELS = 64  # fewer common pixels say nothing about colour
_STEADY = 0.8  # share of the correction that the next frame keeps: a correction of its own for each would flicker
_GAIN_RANGE = (0.5, 2.0)


class Compositor:
    """Call it with a clip's generated frames in order; it remembers the colour correction from frame to frame."""

    def __init__(
        self,
        colour: Frames,  # [N, H, W, 3] the guides
        mask: Frames,  # [N, H, W]
        *,
        feather: int = 8,
    ):
        if colour.shape[:3] != mask.shape or colour.shape[3:] != (3,):
            raise ShapeError(f"Guides must be [N, H, W, 3] and [N, H, W], got {colour.shape} and {mask.shape}.")
        if feather < 0:
            raise SettingError(f"The feather must be 0 pixels or more, got {feather}.")
        self._colour, self._mask, self._feather = colour, mask, feather
        self._correction: tuple[Float32, Float32] | None = None

    def __call__(
        self,
        index: int,
        frame: UInt8,  # [H, W, 3] generated
    ) -> UInt8:  # [H, W, 3]
        """Frame ``index`` with the source's pixels where the mask shows them."""
        mask = self._mask[index]
        if frame.shape != self._colour.shape[1:]:
            raise ShapeError(f"Frame {index + 1} is {frame.shape}, its guide {self._colour.shape[1:]}.")
        if not mask.any():
            return self._matched(frame)
        guide = self._colour[index]
        self._learn(guide, frame, mask)
        alpha = rim_weight(mask, self._feather)[..., None]
        mixed = alpha * guide.astype(np.float32) + (1 - alpha) * self._matched(frame).astype(np.float32)
        return np.rint(mixed).astype(np.uint8)

    def _learn(self, guide: UInt8, frame: UInt8, mask: Bool) -> None:
        """Follow the gain and offset per channel that take the generated colours to the guide's, where both are."""
        if int(mask.sum()) < _MIN_PIXELS:
            return
        wanted, generated = guide[mask].astype(np.float32), frame[mask].astype(np.float32)
        spread = generated.std(axis=0)
        gain = np.where(spread > 1, wanted.std(axis=0) / np.maximum(spread, 1e-6), 1).clip(*_GAIN_RANGE)
        offset = wanted.mean(axis=0) - gain * generated.mean(axis=0)
        new = (gain.astype(np.float32), offset.astype(np.float32))
        if self._correction is not None:
            old = self._correction
            new = (_STEADY * old[0] + (1 - _STEADY) * new[0], _STEADY * old[1] + (1 - _STEADY) * new[1])
        self._correction = new

    def _matched(self, frame: UInt8) -> UInt8:
        if self._correction is None:
            return frame
        gain, offset = self._correction
        return np.rint(np.clip(frame.astype(np.float32) * gain + offset, 0, 255)).astype(np.uint8)


def rim_weight(
    mask: Bool,  # [H, W]
    feather: int,
) -> Float32:  # [H, W] 0..1
    """1 well inside the mask, falling to 0 over ``feather`` pixels towards its rim; the picture's edge is no rim."""
    if feather == 0:
        return mask.astype(np.float32)
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    if mask.all():
        return np.ones(mask.shape, np.float32)
    return np.clip(distance / (feather + 1), 0, 1).astype(np.float32)
