"""Edits of a shot's geometry: layers, depth repair, painted faces and thickness."""

from ..work.hooks import Feature, classes_of
from . import (
    brushes,
    depth_operators,
    moving_operators,
    operators,
    paint_operators,
    panels,
    properties,
    thickness_operators,
    thickness_overlay,
    visible,
)

CLASSES = classes_of(
    properties, operators, brushes, depth_operators, paint_operators, thickness_operators, moving_operators, panels
)
FEATURES = (
    visible.listeners,
    Feature(stop=visible.forget),
    thickness_overlay.listeners,
    Feature(stop=thickness_overlay.forget),
    thickness_overlay.tint,
)
