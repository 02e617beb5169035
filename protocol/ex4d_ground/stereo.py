"""Two eyes: where they stand, how far apart a thing's two pictures lie, and what eyes bear.

The left eye is the camera of the move; the right one stands beside it and looks the same way. Nothing is toed in: the
right picture is shifted (an off-axis frustum), which leaves rows where they are. Parallax is how far a thing lies to
the right in the right picture of where it lies in the left one, as a share of the picture's width: above 0 behind the
screen, below 0 before it, 0 at the depth where the eyes converge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
import numpy as np

from ex4d_ground.arrays import FAR, Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import SettingError, ShapeError
from ex4d_ground.records import Record

RIGHT = "right"
"""Folder within a stereo take's that holds the right eye's pictures, and its layers."""

NEAREST_SHARE = 1 / 30
"""The eyes' distance as a share of the nearest depth: the stereo photographer's rule of thumb, used at most."""
BEFORE, BEHIND = 0.01, 0.02
"""Parallax that a scene gets by default at most, before and behind the screen, as shares of the picture's width."""
EYES_M = 0.065
"""Between a grown-up's eyes. Parallax that is wider on the screen makes eyes turn outwards, which they cannot."""
MOST_FRAMES = 10_000
Lengths = Annotated[tuple[float, ...], msgspec.Meta(max_length=MOST_FRAMES)]


class Eyes(Record, frozen=True, kw_only=True):
    """The eyes of a stereo take, in the depth's unit. Each has one number for all frames, or one for each frame."""

    distance: Lengths
    """From the left eye to the right one."""
    convergence: Lengths = ()
    """Depth of what has no parallax; none: infinity, the eyes' axes are parallel."""

    def __post_init__(self) -> None:
        if not self.distance:
            raise SettingError("A stereo take needs the eyes' distance, none is given.")
        for what, values in (("eyes' distance", self.distance), ("depth without parallax", self.convergence)):
            wrong = next((value for value in values if not 0 < value < math.inf), None)
            if wrong is not None:
                raise SettingError(f"The {what} must be a positive number, got {wrong:g}.")
        if max(self.distance) >= FAR:
            raise SettingError(f"The eyes' distance must be less than {FAR:g}, got {max(self.distance):g}.")

    @classmethod
    def of(cls, distance: float | Sequence[float], convergence: float | Sequence[float] | None = None) -> Eyes:
        """From single numbers, or one for each frame; ``convergence`` None is infinity. Raises SettingError."""
        return cls(distance=_lengths(distance), convergence=() if convergence is None else _lengths(convergence))

    def right(self, left: Trajectory) -> Trajectory:
        """The right eye's move beside that of the left one. Raises ShapeError where frames and numbers differ."""
        distance, shift = self._of_frames(left)
        beside = np.tile(np.eye(4), (len(left), 1, 1))
        beside[:, 0, 3] = distance
        intrinsics = left.intrinsics.copy()
        intrinsics[:, 2] += intrinsics[:, 0] * shift
        return replace(left, world_from_camera=left.world_from_camera @ beside, intrinsics=intrinsics)

    def part(self, first: int) -> Eyes:
        """The eyes from frame ``first`` on."""
        cut = {
            name: values[first:] if len(values) > 1 else values
            for name, values in (("distance", self.distance), ("convergence", self.convergence))
        }
        return Eyes(**cut)

    def parallax(self, depth: float, *, focal_px: float, width: int, frame: int = 0) -> float:
        """Parallax of what stands at ``depth`` (infinity, too), for a lens of ``focal_px`` and a picture's width."""
        distance = _at(self.distance, frame)
        screen = 1 / _at(self.convergence, frame) if self.convergence else 0.0
        return focal_px / width * distance * (screen - (0.0 if math.isinf(depth) else 1 / depth))

    def _of_frames(self, move: Trajectory) -> tuple[Float64, Float64]:  # [N], [N]
        """The eyes' distance, and it divided by the depth of convergence."""
        for what, values in (("distances of the eyes", self.distance), ("depths of convergence", self.convergence)):
            if len(values) not in (0, 1, len(move)):
                raise ShapeError(f"The move has {len(move)} frames, but there are {len(values)} {what}.")
        distance = np.broadcast_to(np.array(self.distance, np.float64), len(move))
        if not self.convergence:
            return distance, np.zeros(len(move))
        return distance, distance / np.array(self.convergence, np.float64)


def fitting_eyes(near: float, far: float, *, focal_px: float, width: int) -> Eyes:
    """Eyes for a scene between the depths ``near`` and ``far`` (infinity, too), seen through a lens.

    Their distance is a thirtieth of the nearest depth, or less where the scene would get more parallax than
    :data:`BEFORE` and :data:`BEHIND` together; they converge where it is shared out between both as these are.
    Raises SettingError for depths that are none.
    """
    if not (0 < near < math.inf and far >= near):
        raise SettingError(f"A scene lies between two positive depths, got {near:g} and {far:g}.")
    farthest = 0.0 if math.isinf(far) else 1 / far
    span = 1 / near - farthest
    distance = near * NEAREST_SHARE
    if span > 0:
        distance = min(distance, (BEFORE + BEHIND) * width / focal_px / span)
    return Eyes.of(distance, 1 / (farthest + span * BEHIND / (BEFORE + BEHIND)))


@dataclass(frozen=True)
class Comfort:
    """Parallax of a scene's nearest and farthest thing, and what is to be said of it."""

    nearest: float
    farthest: float
    """As shares of the picture's width."""

    @classmethod
    def of(cls, eyes: Eyes, near: float, far: float, *, focal_px: float, width: int, frame: int = 0) -> Comfort:
        """Of a scene between two depths."""
        ends = (eyes.parallax(depth, focal_px=focal_px, width=width, frame=frame) for depth in (near, far))
        return cls(*ends)

    @property
    def widest_screen_m(self) -> float:
        """Metres that a screen may be wide before eyes would have to turn outwards; infinity where none is too wide."""
        return EYES_M / self.farthest if self.farthest > 0 else math.inf

    @property
    def text(self) -> str:
        """The range, for people."""
        return f"Parallax {self.nearest:+.1%} to {self.farthest:+.1%} of the width"

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each end that goes beyond what is usual. The limits have a rounding's room."""
        return tuple(self._warned())

    def _warned(self) -> Iterator[str]:
        room = 1 + 1e-6
        if self.farthest > BEHIND * room:
            yield (
                f"The farthest thing has {self.farthest:.1%} of the width as parallax, {BEHIND:.0%} is usual: on "
                f"screens wider than {self.widest_screen_m:.2g} m eyes would turn outwards; bring the eyes together."
            )
        if self.nearest < -BEFORE * room:
            yield (
                f"The nearest thing has {-self.nearest:.1%} of the width as parallax before the screen, {BEFORE:.0%} "
                "is usual: let the eyes converge nearer, or bring them together."
            )


def depth_at(eyes: Eyes, parallax: float, *, focal_px: float, width: int, frame: int = 0) -> float:
    """The depth of what has a parallax (a share of the width); infinity where none has so much behind the screen."""
    distance = _at(eyes.distance, frame)
    screen = 1 / _at(eyes.convergence, frame) if eyes.convergence else 0.0
    inverse = screen - parallax * width / (focal_px * distance)
    return 1 / inverse if inverse > 0 else math.inf


def _at(values: Lengths, frame: int) -> float:
    return values[frame if len(values) > 1 else 0]


def _lengths(given: float | Sequence[float]) -> tuple[float, ...]:
    """Numbers as a tuple: one alone where all frames have the same."""
    values = tuple(float(v) for v in given) if isinstance(given, Sequence) else (float(given),)
    return values[:1] if len(set(values)) == 1 else values
