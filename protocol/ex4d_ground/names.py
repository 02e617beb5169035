"""File names by a template, as studios number their files: ``{shot}_take{take:03}.{frame:04}.exr``."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import PurePosixPath

from ex4d_ground.errors import SettingError
from ex4d_ground.files import plain_name

FIELDS = ("shot", "take", "frame", "engine", "seed", "kind")
"""What a template may hold: the clip's name, the take's number, the frame's, engine, seed, the export's kind."""
_NUMBERS = ("take", "frame", "seed")
_WIDTH = re.compile(r"0?[1-9]?")
_LONGEST = 230
"""Bytes of a file's or folder's name: file systems take 255, and a file being written has a few more."""
DEFAULT_SEQUENCE = "{shot}_take{take:03}/{shot}_take{take:03}.{frame:04}"
DEFAULT_MOVIE = "{shot}_take{take:03}"


@dataclass(frozen=True)
class NameTemplate:
    """A template that was checked; :meth:`path` fills it in."""

    text: str
    suffix: str
    """The ending of the files, with its dot."""
    numbered: bool
    """Whether there is a file for each frame."""

    @classmethod
    def of(cls, text: str, *, suffix: str, numbered: bool) -> NameTemplate:
        """Check a template. Raises SettingError with what is wrong."""
        found: list[str] = []
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError as error:
            raise SettingError(f"The name {text!r} is no template ({error}); write it like {DEFAULT_MOVIE}.") from error
        for _, field, spec, conversion in parts:
            if field is None:
                continue
            if field not in FIELDS or conversion:
                raise SettingError(f"The name {text!r} has the field {{{field}}}; there are {', '.join(FIELDS)}.")
            if spec and (field not in _NUMBERS or not _WIDTH.fullmatch(spec)):
                raise SettingError(
                    f"The name {text!r} has {{{field}:{spec}}}; numbers take a width, such as {{take:03}}."
                )
            found.append(field)
        pure = PurePosixPath(text)
        if pure.is_absolute() or ".." in pure.parts or "\\" in text or not pure.name:
            raise SettingError(f"The name {text!r} must stay below the output folder and end in a file's name.")
        last = pure.name
        if numbered and "{frame" not in last:
            raise SettingError(f"The name {text!r} lacks {{frame}}, and there is a file for each frame.")
        if not numbered and "frame" in found:
            raise SettingError(f"The name {text!r} has {{frame}}, but there is one file for all frames; leave it out.")
        ending = re.search(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", last)
        if ending and ending[0].lower() != suffix:
            raise SettingError(f"The name {text!r} ends in {ending[0]}, the files are {suffix}; leave the ending out.")
        return cls(text[: -len(suffix)] if ending else text, suffix, numbered)

    def path(self, **values: str | int) -> PurePosixPath:
        """A file's path below the output folder; texts lose what names of files may not have.

        Raises SettingError for a name longer than files may have: cut, it would lose the frame's number or its ending.
        """
        clean = {name: plain_name(value) if isinstance(value, str) else value for name, value in values.items()}
        clean = {name: value.lstrip(".") if isinstance(value, str) else value for name, value in clean.items()}
        filled = PurePosixPath(self.text.format(**clean) + self.suffix)
        for part in filled.parts:
            if len(part.encode()) > _LONGEST:
                raise SettingError(
                    f"The name {self.text!r} makes {part[:40]}..., which is {len(part.encode())} bytes long; "
                    f"a file's name may have {_LONGEST}: choose a shorter one."
                )
        return PurePosixPath(*(plain_name(part, longest=_LONGEST) for part in filled.parts))
