"""Where the places of clips are kept (:mod:`ex4d.fill.kept`): floors and walls, for another move."""

import os
from collections.abc import Iterator
from pathlib import Path

from ex4d_ground.files import from_home

VARIABLE = "EX4D_PLACES"
"""Names the folder; else it is ``places`` in this user's cache folder."""
MOST_BYTES = 1 << 30
"""What all of them may take together. One takes 9.4 MB for each plane, and as much for what is behind them; places of a
clip that differ in a plane share the others."""


def places_folder() -> Path:
    """Where they are kept. Raises SettingError for a home that is nobody's."""
    named = os.environ.get(VARIABLE)
    if named:
        return from_home(named)
    import platformdirs

    return platformdirs.user_cache_path("ex4d", appauthor=False) / "places"


def kept_places(folder: Path) -> Iterator[Path]:
    """The files of their parts in ``folder``, also those that a process which was killed has not finished."""
    return folder.glob("*.npz")
