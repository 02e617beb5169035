"""Camera moves: presets, files, and what the backend is given."""

from ..work.hooks import classes_of
from . import centre_gizmo, operators, panels, presets, properties

CLASSES = classes_of(properties, presets, operators, panels, centre_gizmo)
FEATURES = (presets.listeners,)
