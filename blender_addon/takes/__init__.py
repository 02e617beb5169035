"""Takes: generated, found again, shown, compared and written out."""

from ..work.hooks import classes_of
from . import (
    aside,
    engine_presets,
    engines,
    eyes_operators,
    eyes_overlay,
    eyes_panels,
    farm,
    generate,
    operators,
    panels,
    properties,
    resume,
    wipe_gizmo,
)

CLASSES = classes_of(
    properties,
    engines,
    engine_presets,
    generate,
    resume,
    operators,
    panels,
    eyes_operators,
    eyes_panels,
    farm,
    wipe_gizmo,
)
FEATURES = (resume.listeners, eyes_overlay.overlay, aside.listeners)
