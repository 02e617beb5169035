"""Live views of what the camera sees of the source."""

from ..work.hooks import Feature, classes_of
from . import handlers, overlay, views

CLASSES = classes_of(handlers)
FEATURES = (Feature(stop=views.current.stop), handlers.listeners, overlay.drawing)
