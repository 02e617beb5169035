"""A shot in Blender's data: its mesh, footage, cameras and edit layers."""

from ..work.hooks import Feature, classes_of
from . import colours, in_the_way, orbit, other_versions, properties, relocate

CLASSES = classes_of(properties, colours, in_the_way)
FEATURES = (relocate.listeners, other_versions.listeners, Feature(stop=orbit.stop))
