"""Sentences about options, which a program may spell in its own way: as Python names here, as flags on a command line.

The library names an option ``{fov}`` in such a sentence and knows nothing of how its caller writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_NAME = re.compile(r"\{([a-z_]+)\}")


class OptionText(str):
    """Text whose options stand in braces: as a string it names them plainly; :meth:`spelled` writes them otherwise."""

    template: str

    def __new__(cls, template: str) -> OptionText:
        """``template`` holds names such as ``{fov}``."""
        text = super().__new__(cls, _NAME.sub(r"\1", template))
        text.template = template
        return text

    def spelled(self, spell: Callable[[str], str]) -> str:
        """The text with each option as ``spell`` writes it."""
        return _NAME.sub(lambda name: spell(name[1]), self.template)
