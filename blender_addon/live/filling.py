"""What a live view shows in holes: stripes, or what a take of the preview engine would show there."""

from dataclasses import dataclass
from typing import Any

import bpy

from ..guides import planes
from ..jobs import engine_settings
from ..work.properties import Choice

ENGINE, FILL, PLACE = "preview", "fill", "world"
"""The engine, its setting for what fills holes, and the value of it that is the place."""
STRIPED, PREVIEW = "STRIPED", "PREVIEW"
CHOICES = (
    (STRIPED, "Stripes", "Stripes: blue where a floor or a wall goes on, grey where it has to be invented"),
    (PREVIEW, "Preview", "What the preview will show: they are filled by its settings, as far as one frame tells"),
)


def Holes(**options: Any) -> Any:
    """The choice, as a property."""
    return Choice("As", "How what the camera sees nothing of is shown", *CHOICES, **options)


@dataclass
class Wish:
    """What people want to see in holes, and what was asked for last."""

    preview: bool = False
    """Whether that is what the preview fills them with; else they are striped."""
    asked: dict[str, Any] | None = None
    """As :meth:`settings` was in the last request for a picture."""

    def settings(self, scene_name: str) -> dict[str, Any] | None:
        """The preview engine's in that scene, without the planes, which are the shot's; None where none is wanted."""
        scene = bpy.data.scenes.get(scene_name) if self.preview else None
        if scene is None:
            return None
        values = engine_settings.values(scene, ENGINE)
        return {name: value for name, value in values.items() if name != planes.SETTING}

    def is_another(self, scene_name: str) -> bool:
        """Whether something else was asked for than is wanted now."""
        return repr(self.settings(scene_name)) != repr(self.asked)  # a number that is none differs from itself

    @property
    def by_place(self) -> bool:
        """Whether what was asked for fills holes with the place."""
        return self.asked is not None and self.asked.get(FILL, PLACE) == PLACE
