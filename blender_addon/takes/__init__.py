"""Takes: generated, found again, shown, compared and written out."""

from ..work.hooks import classes_of
from . import engine_presets, engines, farm, generate, operators, panels, properties, resume, wipe_gizmo

CLASSES = classes_of(properties, engines, engine_presets, generate, resume, operators, panels, farm, wipe_gizmo)
FEATURES = (resume.listeners,)
