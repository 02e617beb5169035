"""A shot in Blender's data: its mesh, footage, cameras and edit layers."""

from ..work.hooks import classes_of
from . import properties, relocate

CLASSES = classes_of(properties)
FEATURES = (relocate.listeners,)
