"""Decoded frames as pictures: the plate in its own numbers, and the 8-bit view of it.

A source of 8 bits that is shown as it is has no plate: its view is the plate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from ex4d.clip.orientation import Orientation
from ex4d.colour import View
from ex4d.colour.ocio import colour_space_by_name
from ex4d_ground.arrays import UInt8
from ex4d_ground.colour import KNOWN, ColourSpace, Matrix, Transfer
from ex4d_ground.errors import ClipError

_HD_LINES = 720
"""From this height on video that says nothing is BT.709, below BT.601: what players do."""

# Code points of ISO/IEC 23091-2, as FFmpeg numbers them.
_UNSAID, _FULL_RANGE = 2, 2
_TRANSFERS: dict[int, Transfer] = {
    **dict.fromkeys((1, 6, 7, 11, 12, 14, 15), "gamma24"),
    4: "gamma22",
    5: "gamma28",
    8: "linear",
    13: "srgb",
    16: "pq",
    17: "gamma26",
    18: "hlg",
}
_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte170m", 9: "bt2020", 11: "p3-dci", 12: "p3"}
_MATRICES: dict[int, Matrix] = {
    **dict.fromkeys((1,), "bt709"),
    **dict.fromkeys((4, 5, 6), "bt601"),
    7: "smpte240m",
    9: "bt2020",
    10: "bt2020",
}
_OTHER_MATRICES = {8: "YCgCo", 11: "YDzDx", 14: "ICtCp"}
"""Codings that are said and not understood; read by another matrix their colours would be wrong."""
_SWSCALE: dict[Matrix, str] = {"bt709": "ITU709", "bt601": "ITU601", "smpte240m": "SMPTE240M", "bt2020": "BT2020"}
_LUMA: dict[Matrix, tuple[float, float]] = {
    "bt709": (0.2126, 0.0722),
    "bt601": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
"""Shares of red and blue in luma."""
_BITS_OF_HALF = 10
"""A half float keeps so many bits of a signal to a quarter of a step."""


class Picture(NamedTuple):
    """One frame."""

    view: UInt8  # [H, W, 3] sRGB
    plate: NDArray | None = None  # [H, W, 3] uint16 (0..65535), float16 or float32; None: the view is the plate


@dataclass(frozen=True)
class ColourChoice:
    """What people say of a source's colours, where it does not say so itself or is wrong."""

    name: str = ""
    """One of :data:`ex4d_ground.colour.KNOWN`, or a name of OpenColorIO's; "": as the source says."""
    config: Path | None = None
    """An OpenColorIO configuration; None: that of $OCIO, else OpenColorIO's own."""
    as_published: bool = False
    """As the published program reads video: 8 bits, BT.601 where it does not say, and no conversion of HDR."""

    @cached_property
    def space(self) -> ColourSpace | None:
        """What is chosen; None for nothing. Raises SettingError, MissingExtraError."""
        if not self.name:
            return None
        known = KNOWN.get(self.name.lower()) if self.config is None else None
        return known or colour_space_by_name(self.name, self.config)

    def of(self, stored: ColourSpace) -> ColourSpace:
        """The colours of a source that is ``stored`` so."""
        chosen = self.space
        if chosen is None:
            return stored
        facts = {name: getattr(stored, name) for name in ("matrix", "full_range", "bits", "floating")}
        return structs.replace(chosen, **facts, assumed=False)


AS_STORED = ColourChoice()
AS_PUBLISHED = ColourChoice(as_published=True)


def colour_of(frame: Any) -> ColourSpace:
    """What a decoded frame of a video says of its colours. Raises ClipError for a coding that is not understood."""
    kind = frame.format
    rgb = kind.is_rgb or "gbr" in kind.name
    if not rgb and int(frame.colorspace) in _OTHER_MATRICES:
        raise ClipError(
            f"The video's colours are coded as {_OTHER_MATRICES[int(frame.colorspace)]}, which is not read; convert "
            "it to BT.709 or RGB."
        )
    said = [int(code) not in (_UNSAID, 0) for code in (frame.color_trc, frame.color_primaries)]
    matrix = "rgb" if rgb else _MATRICES.get(int(frame.colorspace))
    primaries = _PRIMARIES.get(int(frame.color_primaries))
    transfer = _TRANSFERS.get(int(frame.color_trc), "srgb" if rgb else "gamma24")
    if primaries is None:
        primaries = "bt2020" if transfer in ("pq", "hlg") else "bt709"
    unsaid = matrix is None
    if matrix is None:
        usual: Matrix = "bt709" if frame.height >= _HD_LINES else "bt601"
        matrix = "bt2020" if primaries == "bt2020" else usual
    full = rgb or int(frame.color_range) == _FULL_RANGE or kind.name.startswith("yuvj")
    bits = max(component.bits for component in kind.components)
    floating = "f32" in kind.name or "f16" in kind.name
    assumed = unsaid and not any(said)
    return ColourSpace(
        primaries=primaries,
        transfer=transfer,
        matrix=matrix,
        full_range=full,
        bits=bits,
        floating=floating,
        assumed=assumed,
    )


class FrameReader:
    """Makes pictures of a video's frames; ``note`` is told once what people should know of the colours."""

    def __init__(self, choice: ColourChoice, note: Callable[[str], None]) -> None:
        self._choice, self._note = choice, note
        self._view: View | None = None

    @property
    def view(self) -> View | None:
        """What the frames mean, and how they are shown; None before the first, and where nobody asks."""
        return self._view

    def __call__(self, frame: Any, orientation: Orientation) -> Picture:
        """The upright picture of a frame."""
        if self._choice.as_published:
            return Picture(orientation(frame.reformat(format="rgb24").to_ndarray()))
        if self._view is None:
            self._begin(frame)
        view = self._view
        assert view is not None
        space = view.space
        if view.as_is and space.bits == 8:
            said = int(frame.colorspace) in _MATRICES or space.matrix == "rgb"
            source = {} if said else {"src_colorspace": _SWSCALE[space.matrix]}
            return Picture(orientation(frame.reformat(format="rgb24", **source).to_ndarray()))
        plate = orientation(plate_of(frame, space))
        return Picture(view.shown(plate), plate)

    def _begin(self, frame: Any) -> None:
        space = self._choice.of(colour_of(frame))
        self._view = View.of(space, brighter=space.floating)
        if space.assumed and (space.bits > 8 or space.matrix != "bt601"):
            self._note(f"The video does not say what its colours are; it is read as {space}.")
        if self._view.note():
            self._note(self._view.note())


def plate_of(frame: Any, space: ColourSpace) -> NDArray:  # [H, W, 3]
    """A video frame's RGB in full depth.

    RGB of whole numbers becomes uint16 (65535 is white). Luma and differences become floats, half up to 10 bits, where
    numbers beyond black and white stay.
    """
    if space.matrix == "rgb":
        if space.floating:
            return np.ascontiguousarray(frame.reformat(format="gbrpf32le").to_ndarray(), np.float32)
        # Planes of their own depth, which swscale only puts into this machine's order of bytes: no scaling of its own.
        name = f"gbrp{space.bits}le" if space.bits in (9, 10, 12, 14) else "gbrp" if space.bits == 8 else "gbrp16le"
        steps = frame.reformat(format=name).to_ndarray()
        return scaled_to_16_bits(steps, 16 if name == "gbrp16le" else space.bits)
    full = frame.reformat(format="yuv444p16le").to_ndarray()
    return rgb_of_yuv(full, space)


def luma_weights(matrix: Matrix) -> tuple[float, float]:
    """Shares of red and blue in luma."""
    return _LUMA[matrix]


def scaled_to_16_bits(steps: NDArray, bits: int) -> NDArray[np.uint16]:
    """Whole numbers of ``bits`` bits as those of 16, white to white."""
    if bits == 16:
        return np.ascontiguousarray(steps, np.uint16)
    top = (1 << bits) - 1
    return np.rint(np.arange(top + 1) * (65535 / top)).astype(np.uint16)[np.minimum(steps, top)]


def rgb_of_yuv(yuv: NDArray[np.uint16], space: ColourSpace) -> NDArray:  # [H, W, 3], steps shifted up to 16 bits
    """RGB signals by the matrix of the space (ISO/IEC 23091-2)."""
    red, blue = _LUMA[space.matrix]
    shift = 1 << (16 - space.bits)
    if space.full_range:
        black, luma, middle, chroma = 0.0, float((1 << space.bits) - 1), float(1 << (space.bits - 1)), 0.0
        chroma = luma
    else:
        unit = 1 << (space.bits - 8)
        black, luma, middle, chroma = 16.0 * unit, 219.0 * unit, 128.0 * unit, 224.0 * unit
    y = (yuv[..., 0].astype(np.float32) - np.float32(black * shift)) * np.float32(1 / (luma * shift))
    u, v = (
        (yuv[..., k].astype(np.float32) - np.float32(middle * shift)) * np.float32(1 / (chroma * shift)) for k in (1, 2)
    )
    green = 1 - red - blue
    out = np.empty(yuv.shape, np.float16 if space.bits <= _BITS_OF_HALF else np.float32)
    out[..., 0] = y + np.float32(2 * (1 - red)) * v
    out[..., 1] = y - np.float32(2 * (1 - red) * red / green) * v - np.float32(2 * (1 - blue) * blue / green) * u
    out[..., 2] = y + np.float32(2 * (1 - blue)) * u
    return out
