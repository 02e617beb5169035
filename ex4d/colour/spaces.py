"""From the numbers of a colour space to linear light in its own primaries, and between primaries."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ex4d.colour.curves import REFERENCE_WHITE, decoded, encoded
from ex4d_ground.arrays import Float64
from ex4d_ground.colour import PRIMARIES, Chromaticities, ColourSpace

HLG_PEAK = 1000.0
"""cd/m2 of the screen that HLG is shown on: ITU-R BT.2100, note 5e, where the system's gamma is 1.2."""
HLG_GAMMA = 1.2

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def to_linear(rgb: ArrayLike, space: ColourSpace) -> Float64:  # [..., 3] -> [..., 3]
    """Light on a screen, in the space's own primaries; reference white is 1, brighter light is more.

    HLG gets the gamma of a screen of 1000 cd/m2. A space by name is OpenColorIO's: see :mod:`ex4d.colour.ocio`.
    """
    light = decoded(np.asarray(rgb, np.float64), space.transfer)
    return _hlg_to_screen(light, space) if space.transfer == "hlg" else light


def from_linear(light: ArrayLike, space: ColourSpace) -> Float64:  # [..., 3] -> [..., 3]
    """The numbers of light as :func:`to_linear` gives it."""
    values = np.asarray(light, np.float64)
    return encoded(_screen_to_hlg(values, space) if space.transfer == "hlg" else values, space.transfer)


def _hlg_to_screen(scene: Float64, space: ColourSpace) -> Float64:
    """ITU-R BT.2100, table 5, the OOTF."""
    luminance = np.maximum(scene @ luminance_weights(space.places), 0)[..., None]
    return HLG_PEAK / REFERENCE_WHITE * np.power(luminance, HLG_GAMMA - 1) * scene


def _screen_to_hlg(light: Float64, space: ColourSpace) -> Float64:
    light = light * (REFERENCE_WHITE / HLG_PEAK)
    luminance = np.maximum(light @ luminance_weights(space.places), 1e-12)[..., None]
    return np.power(luminance, (1 - HLG_GAMMA) / HLG_GAMMA) * light


@lru_cache(maxsize=32)
def luminance_weights(places: Chromaticities) -> Float64:  # [3]
    """Share of each primary in luminance."""
    return _xyz_from_rgb(places)[1]


@lru_cache(maxsize=32)
def rgb_matrix(source: Chromaticities, target: Chromaticities = PRIMARIES["bt709"]) -> Float64:  # [3, 3]
    """Takes linear RGB of one set of primaries to another's, white to white (Bradford, as ICC.1 annex E)."""
    if source == target:
        return np.eye(3)
    adapted = np.eye(3)
    if source[6:] != target[6:]:
        cones = [_BRADFORD @ _white(each) for each in (source, target)]
        adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones[1] / cones[0]) @ _BRADFORD
    return np.linalg.inv(_xyz_from_rgb(target)) @ adapted @ _xyz_from_rgb(source)


def _white(places: Chromaticities) -> Float64:
    x, y = places[6:]
    return np.array([x / y, 1.0, (1 - x - y) / y])


@lru_cache(maxsize=32)
def _xyz_from_rgb(places: Chromaticities) -> Float64:
    """SMPTE RP 177: columns are the primaries, scaled so that they make white."""
    corners = np.array([[x, y, 1 - x - y] for x, y in zip(places[0:6:2], places[1:6:2], strict=True)]).T
    return corners * np.linalg.solve(corners, _white(places))
