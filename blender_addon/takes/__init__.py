"""Takes: generated, found again, shown, compared and written out."""

from ..work.hooks import classes_of
from . import engines, generate, operators, panels, properties, resume

CLASSES = classes_of(properties, engines, generate, operators, panels)
FEATURES = (resume.listeners,)
