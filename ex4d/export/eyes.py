"""A stereo take's two eyes as one picture a frame, for export."""

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ex4d.colour.curves import srgb_to_linear
from ex4d.export.anaglyph import anaglyph
from ex4d.export.source import TakePictures
from ex4d_ground.arrays import Float32, UInt8
from ex4d_ground.colour import ColourSpace
from ex4d_ground.exports import EyesLayout
from ex4d_ground.stereo import RIGHT


class Pictures(Protocol):
    """What is exported: a take's pictures, or both eyes' as one."""

    def frame(self, i: int) -> UInt8:
        """The 8-bit frame [H, W, 3]."""
        ...

    def light(self, i: int) -> tuple[NDArray, ColourSpace]:
        """The frame [H, W, 3] as linear light, in the primaries of the space that is returned with it."""
        ...

    def signals(self, i: int) -> tuple[Float32, ColourSpace]:
        """The frame [H, W, 3] as signals 0..1, and what they mean."""
        ...

    def channels(self, i: int, names: tuple[str, ...]) -> dict[str, NDArray]:
        """Layers of a frame by name, those that there are."""
        ...


def pictures_of(take: TakePictures, layout: EyesLayout | None) -> Pictures:
    """The pictures of a take as ``layout`` shows its eyes; None is for a take with one eye."""
    if layout is None or layout.name == "left":
        return take
    right = replace(take, folder=take.folder / RIGHT)
    if layout.name == "right":
        return right
    return Anaglyph(take, right) if layout.name == "anaglyph" else SideBySide(take, right, half=layout.name == "half")


@dataclass(frozen=True)
class SideBySide:
    """Both eyes in one picture, the left one on the left; ``half`` squeezes it to the width of one."""

    left: TakePictures
    right: TakePictures
    half: bool = False

    def frame(self, i: int) -> UInt8:  # [H, W', 3]
        """As :class:`Pictures`."""
        return self._joined(self.left.frame(i), self.right.frame(i))

    def light(self, i: int) -> tuple[NDArray, ColourSpace]:
        """As :class:`Pictures`."""
        (one, space), (other, _) = self.left.light(i), self.right.light(i)
        return self._joined(one, other), space

    def signals(self, i: int) -> tuple[Float32, ColourSpace]:
        """As :class:`Pictures`."""
        (one, space), (other, _) = self.left.signals(i), self.right.signals(i)
        return self._joined(one, other), space

    def channels(self, i: int, names: tuple[str, ...]) -> dict[str, NDArray]:
        """As :class:`Pictures`; none at half width, where depths of two things would be mixed."""
        if self.half:
            return {}
        one, other = self.left.channels(i, names), self.right.channels(i, names)
        return {name: np.concatenate([one[name], other[name]], axis=1) for name in one if name in other}

    def _joined(self, one: NDArray, other: NDArray) -> NDArray:
        if self.half:
            one, other = _squeezed(one), _squeezed(other)
        return np.concatenate([one, other], axis=1)


@dataclass(frozen=True)
class Anaglyph:
    """Both eyes for red-cyan glasses, made of how the take is shown; it has no layers."""

    left: TakePictures
    right: TakePictures

    def frame(self, i: int) -> UInt8:  # [H, W, 3]
        """As :class:`Pictures`."""
        return np.rint(self.signals(i)[0] * 255).astype(np.uint8)

    def light(self, i: int) -> tuple[NDArray, ColourSpace]:
        """As :class:`Pictures`."""
        light = srgb_to_linear(self.signals(i)[0].astype(np.float64)).astype(np.float32)
        return light, ColourSpace(transfer="linear")

    def signals(self, i: int) -> tuple[Float32, ColourSpace]:
        """As :class:`Pictures`."""
        return anaglyph(self.left.view.signals(self.left.plate(i)), self.right.view.signals(self.right.plate(i))), (
            ColourSpace()
        )

    def channels(self, i: int, names: tuple[str, ...]) -> dict[str, NDArray]:
        """None."""
        del i, names
        return {}


def _squeezed(picture: NDArray) -> NDArray:  # [H, W, 3] -> [H, (W + 1) // 2, 3]
    """Half as wide: every two pixels become one."""
    height, width = picture.shape[:2]
    own = np.float32 if picture.dtype == np.float16 else picture.dtype
    return cv2.resize(picture.astype(own), ((width + 1) // 2, height), interpolation=cv2.INTER_AREA)
