"""A shot's geometry for other programs: its mesh of every frame, its cameras and its pictures as files."""

from ..work.hooks import classes_of
from . import operators, panels

CLASSES = classes_of(operators, panels)
FEATURES = ()
