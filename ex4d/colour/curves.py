"""Transfer curves per channel: numbers 0..1 to light and back, in float64.

Light is relative to reference white, which is 1: the white of SDR, and 203 cd/m2 of HDR (ITU-R BT.2408).
"""

from collections.abc import Callable

import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.colour import Transfer

REFERENCE_WHITE = 203.0
"""cd/m2 of a diffuse white in HDR: ITU-R BT.2408, section 2.2."""
PQ_PEAK = 10_000.0
"""cd/m2 that the largest number of PQ means."""

# SMPTE ST 2084, section 5.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
# ITU-R BT.2100, table 5.
_A = 0.17883277
_B, _C = 1 - 4 * _A, 0.5 - _A * np.log(4 * _A)


def pq_to_nits(signal: Float64) -> Float64:
    """Light in cd/m2 of a PQ signal (SMPTE ST 2084)."""
    power = np.power(np.clip(signal, 0, 1), 1 / _M2)
    return PQ_PEAK * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1)


def nits_to_pq(light: Float64) -> Float64:
    """The PQ signal of light in cd/m2."""
    power = np.power(np.clip(light / PQ_PEAK, 0, 1), _M1)
    return np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)


def hlg_to_scene(signal: Float64) -> Float64:
    """Scene light 0..1 of an HLG signal: the inverse OETF of ITU-R BT.2100; its gamma (OOTF) is not in it."""
    low = np.square(signal) / 3
    high = (np.exp(np.minimum((signal - _C) / _A, 20.0)) + _B) / 12
    return np.where(signal <= 0.5, np.sign(signal) * low, high)


def scene_to_hlg(light: Float64) -> Float64:
    """The HLG signal of scene light."""
    low = np.sqrt(3 * np.abs(light))
    high = _A * np.log(np.maximum(12 * light - _B, 1e-12)) + _C
    return np.where(light <= 1 / 12, np.sign(light) * low, high)


def srgb_to_linear(signal: Float64) -> Float64:
    """IEC 61966-2-1, continued beyond 0 and 1 as it is."""
    low = signal / 12.92
    return np.where(signal <= 0.04045, low, np.power((np.maximum(signal, 0.0) + 0.055) / 1.055, 2.4))


def linear_to_srgb(light: Float64) -> Float64:
    """The signal of light by IEC 61966-2-1."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(np.maximum(light, 0.0), 1 / 2.4) - 0.055)


def _gamma(value: float) -> tuple[Callable[[Float64], Float64], Callable[[Float64], Float64]]:
    def decode(signal: Float64) -> Float64:
        return _power(signal, value)

    def encode(light: Float64) -> Float64:
        return _power(light, 1 / value)

    return decode, encode


def _same(value: Float64) -> Float64:
    return value


def _power(value: Float64, exponent: float) -> Float64:
    """Of light below 0 as of light above, turned over."""
    return np.copysign(np.power(np.abs(value), exponent), value)


_CURVES: dict[str, tuple[Callable[[Float64], Float64], Callable[[Float64], Float64]]] = {
    "linear": (_same, _same),
    "srgb": (srgb_to_linear, linear_to_srgb),
    "gamma22": _gamma(2.2),
    "gamma24": _gamma(2.4),  # ITU-R BT.1886 with a black of 0
    "gamma26": _gamma(2.6),
    "gamma28": _gamma(2.8),
    "pq": (lambda v: pq_to_nits(v) / REFERENCE_WHITE, lambda v: nits_to_pq(v * REFERENCE_WHITE)),
    "hlg": (hlg_to_scene, scene_to_hlg),
}


def decoded(signal: Float64, transfer: Transfer) -> Float64:
    """Light of a signal; of "hlg" the scene's, whose largest is 1 (see :func:`ex4d.colour.spaces.to_linear`)."""
    return _CURVES[transfer][0](np.asarray(signal, np.float64))


def encoded(light: Float64, transfer: Transfer) -> Float64:
    """The signal of light."""
    return _CURVES[transfer][1](np.asarray(light, np.float64))
