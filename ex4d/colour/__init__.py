"""Colour spaces: what a file says of itself, conversions, and the view that models and screens get."""

from ex4d.colour.spaces import from_linear, rgb_matrix, to_linear
from ex4d.colour.view import NOMINAL_PEAK, REFERENCE_WHITE, View

__all__ = ["NOMINAL_PEAK", "REFERENCE_WHITE", "View", "from_linear", "rgb_matrix", "to_linear"]
