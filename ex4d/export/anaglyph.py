"""Red-cyan anaglyphs: both eyes in one picture for glasses with a red glass on the left and a cyan one on the right.

The matrices are those that E. Dubois computed for a usual display and such glasses, so that each eye sees colours as
near as can be, by least squares in CIE XYZ, to its own picture's ("A projection method to generate anaglyph stereo
images", ICASSP 2001, vol. 3, pp. 1661-1664; to three decimals, as he published them). They multiply light, so signals
become light before and signals again after.
"""

import numpy as np

from ex4d.colour.curves import linear_to_srgb, srgb_to_linear
from ex4d_ground.arrays import Float32, Float64

LEFT: Float64 = np.array([[0.456, 0.500, 0.176], [-0.040, -0.038, -0.016], [-0.015, -0.021, -0.005]])
RIGHT: Float64 = np.array([[-0.043, -0.088, -0.002], [0.378, 0.734, -0.018], [-0.072, -0.113, 1.226]])
"""From an eye's linear RGB to what it adds to the anaglyph's."""


def anaglyph_light(left: Float64, right: Float64) -> Float64:  # [..., 3] linear light each, BT.709 primaries
    """The anaglyph's linear light, 0..1: what a display cannot show is cut off."""
    return np.clip(left @ LEFT.T + right @ RIGHT.T, 0, 1)


def anaglyph(left: Float32, right: Float32) -> Float32:  # [..., 3] sRGB signals 0..1 each
    """The anaglyph's sRGB signals, 0..1."""
    eyes = (srgb_to_linear(eye.astype(np.float64)) for eye in (left, right))
    return linear_to_srgb(anaglyph_light(*eyes)).astype(np.float32)
