"""How far the backend knows the place that a clip shows: until it does, pictures have one shade for all holes."""

import time
from dataclasses import dataclass

from ex4d_protocol.live import Place

AGAIN_S = 1.0
"""So often the picture of a camera that rests is asked for again while the place is being found."""

LEGEND: dict[Place, str] = {
    "": "",  # an older backend says nothing of it
    "finding": "Holes have one shade until the backend has found floor and walls.",
    "known": "Blue: a floor or a wall goes on there. Grey: has to be invented.",
    "unknown": "Holes have one shade: floor and walls are not known where the filming camera moves far.",
}
"""What the stripes mean, for the panel."""


@dataclass
class KnownPlace:
    """What the last answers said of it."""

    told: Place = ""
    coverage_lacks_it: bool = False
    """Whether the coverage came while it was being found."""
    asked_at: float = 0.0
    """When a picture was last asked for."""

    @property
    def is_due(self) -> bool:
        """Whether to ask for the same picture again."""
        return self.told == "finding" and time.monotonic() - self.asked_at >= AGAIN_S

    def picture_says(self, place: Place) -> bool:
        """Take a picture's word. Returns whether the coverage, which lacks it, could be had with it now."""
        self.told = place
        is_news = place == "known" and self.coverage_lacks_it
        self.coverage_lacks_it = self.coverage_lacks_it and not is_news
        return is_news
