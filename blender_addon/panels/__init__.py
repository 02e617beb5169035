"""What the panels share, and the steps up to the import of a clip."""

from ..work.hooks import Feature, classes_of
from . import backend, clip, import_clip, messages, previews, properties

CLASSES = classes_of(properties, messages, backend, import_clip, clip)
FEATURES = (Feature(stop=previews.clear),)
