"""Guides: coverage, and the other objects that take part."""

from ..work.hooks import classes_of
from . import operators, panels, properties, timeline_strip

CLASSES = classes_of(properties, operators, panels)
FEATURES = (timeline_strip.strip, panels.listeners)
