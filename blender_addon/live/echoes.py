"""Which of Blender's reports that a mesh changed are edits: looking for edits evaluates it, which is reported, too."""

import time

from .objects import Standing

ECHO_S = 0.3
"""For so long after the mesh was evaluated to look for edits, its being reported as changed may come from that."""


class Echoes:
    """What was reported of one shot's mesh and guide objects."""

    def __init__(self) -> None:
        self._stood: Standing | None = None
        """Where guide objects stood when one was last reported as changed."""
        self._again_at: float | None = None
        self._looked_again = False

    def is_edit(self, now: Standing, collected_at: float | None) -> bool:
        """Whether a report is of an edit; ``collected_at`` is when edits were last looked for.

        What may be the echo of that is looked at once more, later. An object that stands elsewhere at the same frame is
        no echo.
        """
        moment = time.monotonic()
        seen, self._stood = self._stood, now
        is_moved = seen is not None and seen.frame == now.frame and seen.objects != now.objects
        if collected_at is not None and moment - collected_at < ECHO_S and not is_moved:
            if not self._looked_again:
                self._again_at = moment + ECHO_S
            return False
        self._looked_again = False
        return True

    def is_due(self) -> bool:
        """Whether it is time to look once more; True once."""
        if self._again_at is None or time.monotonic() < self._again_at:
            return False
        self._again_at, self._looked_again = None, True
        return True

    def forget(self) -> None:
        """Edits are looked for anyway."""
        self._again_at = None
