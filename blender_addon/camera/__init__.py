"""Camera moves: presets, files, and what the backend is given."""

from ..work.hooks import classes_of
from . import centre_gizmo, filming_operators, filming_panels, operators, panels, presets, properties, steady

CLASSES = classes_of(properties, presets, operators, filming_operators, steady, panels, filming_panels, centre_gizmo)
FEATURES = (presets.listeners, filming_panels.listeners)
