"""What the backend is asked for, and what goes to it: clips, depth, edits, objects, settings, costs."""

from ..work.hooks import Feature
from . import cost_watch, engine_settings, offers

CLASSES = ()
FEATURES = (Feature(stop=engine_settings.clear), offers.listeners, cost_watch.listeners)
