"""Any number of frames and any size from a model that makes 49 frames with sides in sixteens.

Long clips are made in windows that overlap. The first frames of a later window are given: the finished frames of the
window before take the guides' place there, fully visible. In the overlap the two are blended.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ex4d.engines.wan.constants import SIDE, TEMPORAL, WINDOW
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.errors import SettingError


@dataclass(frozen=True)
class Window:
    """Frames ``start`` to ``stop`` of the clip; the first ``given`` of them come from the window before."""

    start: int
    stop: int
    given: int

    @property
    def padded(self) -> int:
        """The length the model is run at: 4n + 1."""
        return -(-(self.stop - self.start - 1) // TEMPORAL) * TEMPORAL + 1


def windows(count: int, *, window: int = WINDOW, overlap: int = 9) -> list[Window]:
    """Windows that cover ``count`` frames, each sharing at least ``overlap`` with the one before.

    Raises SettingError for a window that is not 4n + 1, or an overlap that leaves nothing new.
    """
    if window % TEMPORAL != 1 or window < 1:
        raise SettingError(f"The window must be 4n+1 frames, got {window}.")
    if not 1 <= overlap < window:
        raise SettingError(
            f"The overlap must be at least 1 and less than the window of {window} frames, got {overlap}."
        )
    if count <= window:
        return [Window(0, count, 0)]
    starts = [*range(0, count - window, window - overlap), count - window]
    cut = [Window(0, window, 0)]
    cut += [Window(s, s + window, before + window - s) for before, s in pairwise(starts)]
    return cut


def pad_frames(frames: np.ndarray, count: int) -> np.ndarray:  # [N, ...] -> [count, ...]
    """Repeat the last frame up to ``count``."""
    return np.concatenate([frames, np.repeat(frames[-1:], count - len(frames), axis=0)])


def pad_sides(frames: np.ndarray) -> np.ndarray:  # [N, H, W, ...] -> sides in sixteens
    """Repeat the right and bottom edge up to the next multiple of sixteen."""
    height, width = frames.shape[1:3]
    widths = [(0, 0), (0, -height % SIDE), (0, -width % SIDE)] + [(0, 0)] * (frames.ndim - 3)
    return np.pad(frames, widths, mode="edge")


def window_guides(
    window: Window,
    colour: UInt8,  # [N, H, W, 3] of the whole clip
    mask: Bool,  # [N, H, W], eroded
    finished: UInt8,  # [N, H, W, 3]; what is made so far
) -> tuple[UInt8, Bool]:
    """The window's guides, padded in time, with the given frames in place."""
    part, shown = colour[window.start : window.stop].copy(), mask[window.start : window.stop].copy()
    if window.given:
        part[: window.given] = finished[window.start : window.start + window.given]
        shown[: window.given] = True
    return pad_frames(part, window.padded), pad_frames(shown, window.padded)


def blend(
    before: UInt8,  # [H, W, 3]
    after: UInt8,  # [H, W, 3]
    index: int,  # of the overlap's frames, 0-based
    count: int,  # the overlap's length
) -> UInt8:
    """Frame ``index`` of an overlap: from the window before to the one after, linearly."""
    share = (index + 1) / (count + 1)
    mixed = before.astype(np.float32) * (1 - share) + after.astype(np.float32) * share
    return np.rint(mixed).astype(np.uint8)


def window_seed(seed: int, index: int) -> int:
    """The noise seed of a window: the job's own for the first, derived from it for the others."""
    if index == 0:
        return seed
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0] >> np.uint64(1))
