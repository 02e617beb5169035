"""What everything of the add-on stands on: files, tasks, the connection, the timer, preferences."""

from . import hooks, languages, preferences, unsaved

CLASSES = hooks.classes_of(preferences)
FEATURES = (hooks.Feature(languages.start, languages.stop), hooks.Feature(unsaved.start, unsaved.forget))
