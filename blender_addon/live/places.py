"""How far the backend knows the place that a clip shows, and what fills its holes: until then pictures lack it."""

import time
from dataclasses import dataclass

from ex4d_protocol.live import LivePicture, Place, Previewed

from .filling import Wish

AGAIN_S = 1.0
"""So often the picture of a camera that rests is asked for again while something of it is being found."""

LEGEND: dict[Place, str] = {
    "": "",  # an older backend says nothing of it
    "finding": "Holes have one shade until the backend has found floor and walls.",
    "known": "Blue: a floor or a wall goes on there. Grey: has to be invented.",
    "unknown": "Holes have one shade: floor and walls are not known where the filming camera moves far.",
}
"""What the stripes mean, for the panel."""
NOT_SHOWN: dict[Previewed, str] = {
    "": "This backend is too old to show the preview here: holes are striped. Update the backend.",
    "finding": "Holes are striped until the backend has found what fills them.",
}
"""What is said while the preview that was asked for is not shown."""
SHOWN = "Holes are filled as in a take of the preview, which steadies them over time, too."
NO_PLACE = (
    "Holes are filled from what is beside them: floor and walls are not known where the filming camera moves far."
)
"""What is said where holes are to be filled with the place, and there is none."""


@dataclass
class KnownPlace:
    """What the last answers said of it."""

    told: Place = ""
    why: str = ""
    """What kept it from being found, in the backend's words, where that is not the filming camera."""
    preview: Previewed | None = None
    """How far the last picture was the preview; None where that was not asked for."""
    lacks_place: bool = False
    """Whether that is to be filled with the place, and there is none."""
    coverage_lacks_it: bool = False
    """Whether the coverage came while it was being found."""
    asked_at: float = 0.0
    """When a picture was last asked for."""

    @property
    def is_finding(self) -> bool:
        """Whether the same picture will have more to show later."""
        return "finding" in (self.told, self.preview)

    @property
    def is_due(self) -> bool:
        """Whether to ask for the same picture again."""
        return self.is_finding and time.monotonic() - self.asked_at >= AGAIN_S

    def picture_says(self, message: LivePicture, wish: Wish) -> bool:
        """Take a picture's word. Returns whether the coverage, which lacks the place, could be had with it now."""
        self.told, self.why = message.place, message.why
        self.preview = None if wish.asked is None else message.preview
        self.lacks_place = wish.by_place and message.place == "unknown"
        is_news = self.told == "known" and self.coverage_lacks_it
        self.coverage_lacks_it = self.coverage_lacks_it and not is_news
        return is_news

    def give_up(self) -> None:
        """A request failed: what was being found is not waited for; another picture would fail as well."""
        if self.is_finding:
            self.told, self.why, self.preview = "", "", None

    def words(self) -> str:
        """What holes look like, where all is as it was asked for."""
        if self.preview is None:
            return self.why or LEGEND[self.told]
        return "" if self.lack() else SHOWN

    def lack(self) -> str:
        """What of the preview is not shown as it was asked for; "" if nothing."""
        if self.preview is None or (self.preview == "shown" and not self.lacks_place):
            return ""
        return self.why or NO_PLACE if self.preview == "shown" else NOT_SHOWN[self.preview]
