"""The view of a plate: 8-bit sRGB for models and screens, by one documented transform, and the way back.

1. Light on a screen, reference white 1 (:func:`ex4d.colour.to_linear`, or OpenColorIO for a space by name).
2. To BT.709 primaries; what lies outside is cut off.
3. HDR: each channel through the curve of ITU-R BT.2390 (section 5.4.1, EETF) from a peak of 1000 cd/m2 to reference
   white, 203 cd/m2. Light below about 88 cd/m2 stays; above, it comes to white ever slower. Light beyond the peak is
   white.
4. The sRGB curve, 8 bits.

SDR video is shown as it is: its numbers become 8 bits, and nothing else.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ex4d.colour.curves import REFERENCE_WHITE, decoded, linear_to_srgb, nits_to_pq, pq_to_nits, srgb_to_linear
from ex4d.colour.spaces import HLG_GAMMA, HLG_PEAK, from_linear, luminance_weights, rgb_matrix
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.colour import PRIMARIES, ColourSpace

NOMINAL_PEAK = 1000.0
"""cd/m2 that the view shows as white."""

_PEAK_AND_TOP = (
    float(nits_to_pq(np.array(NOMINAL_PEAK))),
    float(nits_to_pq(np.array(REFERENCE_WHITE)) / nits_to_pq(np.array(NOMINAL_PEAK))),
)
"""The peak in PQ, and reference white in PQ as a share of it."""
_AS_IS = ("srgb", "gamma22", "gamma24", "gamma26", "gamma28")
_HALVES = np.arange(65536, dtype=np.uint16).view(np.float16)
_MOST_LIGHT = 8.0
"""Light beyond the peak is white, whatever it is."""
_DROPPED_BITS = 10
_SIGNALS = (-0.5, 1.5)
"""Signals that float plates of video may have."""
_FINE = 65536
"""Steps between black and white in which their light is looked up."""
_LIKE_BT709 = ("bt709", "bt470bg", "smpte170m")


def tone_mapped(light: Float64) -> Float64:
    """Light 0..1000/203 as 0..1: the EETF of ITU-R BT.2390, for each channel."""
    peak, top = _PEAK_AND_TOP
    signal = np.clip(nits_to_pq(np.maximum(light, 0) * REFERENCE_WHITE) / peak, 0, 1)
    return pq_to_nits(_knee(signal, top) * peak) / REFERENCE_WHITE


def tone_unmapped(shown: Float64) -> Float64:
    """The light that :func:`tone_mapped` shows as this."""
    peak, top = _PEAK_AND_TOP
    # The curve rises everywhere but has no closed inverse; between 65536 of its points it is a line.
    places = np.linspace(0, 1, 65536)
    wanted = nits_to_pq(np.clip(shown, 0, 1) * REFERENCE_WHITE) / peak
    return pq_to_nits(np.interp(wanted, _knee(places, top), places) * peak) / REFERENCE_WHITE


def _knee(signal: Float64, top: float) -> Float64:
    """A line up to the knee, then a cubic Hermite spline that arrives level at ``top``; all in PQ over the peak's."""
    knee = 1.5 * top - 0.5
    t = (signal - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * top
    return np.where(signal < knee, signal, spline)


@dataclass(frozen=True)
class View:
    """How a plate's numbers become 8-bit sRGB, and back. Safe to use from several threads."""

    space: ColourSpace
    tone: bool = False
    """Whether light is brought down from the peak; it is for PQ and HLG, and for linear plates brighter than white."""

    @classmethod
    def of(cls, space: ColourSpace, *, brighter: bool = False) -> "View":
        """The view of a space; ``brighter`` says that a linear plate has light above white."""
        return cls(space, space.is_hdr or (brighter and space.transfer in ("linear", "named")))

    @property
    def as_is(self) -> bool:
        """Whether the numbers are shown as they are."""
        return self.space.transfer in _AS_IS and self.space.primaries in _LIKE_BT709

    def note(self) -> str:
        """What people are told of it, "" if the numbers are shown as they are."""
        if self.as_is:
            return ""
        if self.tone:
            return (
                f"The footage is {self.space}; the model and the viewport get an 8-bit sRGB view of it, in which light "
                f"up to {NOMINAL_PEAK:.0f} cd/m2 is brought down to white (BT.2390). The plate keeps its own numbers."
            )
        return f"The footage is {self.space}; the model and the viewport get an 8-bit sRGB view of it."

    def shown(self, plate: NDArray) -> UInt8:  # [..., 3] uint16, float16 or float32 -> [..., 3]
        """The 8-bit view; integers are signals from 0 to 65535, NaN is black."""
        if self.as_is:
            if plate.dtype == np.uint16:
                return self._levels_of_16_bits[plate]
            return _eight_bits(np.nan_to_num(plate.astype(np.float32), nan=0.0, posinf=1, neginf=0))
        light = np.clip(self.light(plate), 0, _MOST_LIGHT, dtype=np.float32)
        return _levels_of_light(self.tone)[light.view(np.uint32) >> _DROPPED_BITS]

    def signals(self, plate: NDArray) -> Float32:  # [..., 3]
        """The view before it becomes 8 bits: sRGB signals from 0 to 1."""
        if self.as_is:
            return np.clip(as_signals(plate), 0, 1)
        light = np.maximum(self.light(plate), 0).astype(np.float64)
        return linear_to_srgb(tone_mapped(light) if self.tone else np.minimum(light, 1)).astype(np.float32)

    def undone(self, shown: UInt8) -> Float32:  # [..., 3] -> [..., 3]
        """Signals of the plate's space, nominally 0..1, that are shown as these levels."""
        if self.as_is:
            return self._signals_of_levels[shown]
        light = self._light_of_levels[shown]
        if self.space.transfer == "named":
            from ex4d.colour.ocio import from_linear_bt709

            return from_linear_bt709(light, self.space)
        own = light.astype(np.float64) @ rgb_matrix(PRIMARIES["bt709"], self.space.places).T
        return from_linear(own, self.space).astype(np.float32)

    def light(self, plate: NDArray) -> Float32:  # [..., 3]
        """Light in BT.709 primaries, reference white 1."""
        if self.space.transfer == "named":
            from ex4d.colour.ocio import to_linear_bt709

            return to_linear_bt709(as_signals(plate), self.space)
        if plate.dtype == np.uint16:
            light = self._light_of_16_bits[plate]
        elif plate.dtype == np.float16:
            light = self._light_of_halves[np.ascontiguousarray(plate).view(np.uint16)]
        elif self.space.transfer != "linear":
            places = (np.clip(np.nan_to_num(plate, nan=0.0), *_SIGNALS) - np.float32(_SIGNALS[0])) * np.float32(_FINE)
            light = self._light_of_signals[np.rint(places).astype(np.int32)]
        else:
            light = np.nan_to_num(plate, nan=0.0, posinf=60000, neginf=0)
        if self.space.transfer == "hlg":
            weights = luminance_weights(self.space.places).astype(np.float32)
            luminance = np.maximum(light @ weights, 0)[..., None]
            light = light * np.float32(HLG_PEAK / REFERENCE_WHITE) * luminance ** np.float32(HLG_GAMMA - 1)
        matrix = rgb_matrix(self.space.places)
        return light if np.array_equal(matrix, np.eye(3)) else light @ matrix.T.astype(np.float32)

    @cached_property
    def _levels_of_16_bits(self) -> UInt8:
        return ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)

    @cached_property
    def _signals_of_levels(self) -> Float32:
        return (np.arange(256) / 255).astype(np.float32)

    @cached_property
    def _light_of_16_bits(self) -> Float32:
        return decoded(np.arange(65536) / 65535, self.space.transfer).astype(np.float32)

    @cached_property
    def _light_of_signals(self) -> Float32:
        signals = np.arange(_SIGNALS[0] * _FINE, _SIGNALS[1] * _FINE + 1) / _FINE
        return decoded(signals, self.space.transfer).astype(np.float32)

    @cached_property
    def _light_of_halves(self) -> Float32:
        signals = np.nan_to_num(_HALVES.astype(np.float64), nan=0.0, posinf=60000, neginf=0)
        return decoded(signals, self.space.transfer).astype(np.float32)

    @cached_property
    def _light_of_levels(self) -> Float32:
        light = srgb_to_linear(np.arange(256) / 255)
        return (tone_unmapped(light) if self.tone else light).astype(np.float32)


@lru_cache(maxsize=2)
def _levels_of_light(tone: bool) -> UInt8:
    """The level of light by the upper bits of its float32: one look-up, right within a hundredth of a level."""
    top = int(np.float32(_MOST_LIGHT).view(np.uint32)) >> _DROPPED_BITS
    middle = (np.arange(top + 1, dtype=np.uint32) << _DROPPED_BITS) + np.uint32(1 << (_DROPPED_BITS - 1))
    light = middle.view(np.float32).astype(np.float64)
    return _eight_bits(linear_to_srgb(tone_mapped(light) if tone else np.clip(light, 0, 1)))


def as_signals(plate: NDArray) -> Float32:
    """A plate's numbers as floats, 65535 as 1."""
    return plate.astype(np.float32) / np.float32(65535) if plate.dtype == np.uint16 else plate.astype(np.float32)


def _eight_bits(signal: NDArray) -> UInt8:
    return np.rint(np.clip(signal, 0, 1) * 255).astype(np.uint8)
