"""Camera moves: presets, files, and what the backend is given."""

from ..work.hooks import classes_of
from . import operators, panels, presets, properties

CLASSES = classes_of(properties, presets, operators, panels)
FEATURES = (presets.listeners,)
