"""Guides: coverage, and the other objects that take part."""

from ..work.hooks import classes_of
from . import operators, panels, planes_operators, planes_overlay, planes_panel, properties, timeline_strip

CLASSES = classes_of(properties, operators, planes_operators, panels, planes_panel)
FEATURES = (timeline_strip.strip, planes_overlay.grids, panels.listeners)
