"""What everything of the add-on stands on: files, tasks, the connection, the timer, preferences."""

from . import hooks, preferences

CLASSES = hooks.classes_of(preferences)
FEATURES = ()
