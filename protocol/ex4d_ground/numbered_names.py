"""Numbers and time stamps in file names: which names are one sequence, and where in them their numbers stand."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median

Stamp = int | Decimal
"""A frame's number, or its time stamp."""

_UNIX_SECONDS_DIGITS = 9
"""A number of so many digits in front of a point is a time in seconds, not the number of a version."""


@dataclass(frozen=True)
class NumberedName:
    """A file's name taken apart: text and numbers by turns, the last text without its ending."""

    path: Path
    texts: tuple[str, ...]
    digits: tuple[str, ...]
    signs: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> NumberedName:
        """A file's name taken apart."""
        parts = re.split(r"(\d+)", path.stem)
        texts, digits = parts[::2], parts[1::2]
        signs = [1] * len(digits)
        for i, text in enumerate(texts[:-1]):
            # A dash is a minus where it starts the name or follows another separator; else it is the separator.
            if text.endswith("-") and ((i == 0 and text == "-") or (len(text) > 1 and not text[-2].isalnum())):
                texts[i], signs[i] = text[:-1], -1
        return cls(path, tuple(texts), tuple(digits), tuple(signs))

    def with_minus(self, i: int) -> NumberedName:
        """The dash in front of number ``i`` read as a minus."""
        texts, signs = list(self.texts), list(self.signs)
        texts[i], signs[i] = texts[i].removesuffix("-"), -1
        return NumberedName(self.path, tuple(texts), self.digits, tuple(signs))

    @property
    def skeleton(self) -> tuple[str, ...]:
        """What names of one sequence have in common."""
        return (*(text.lower() for text in self.texts), self.path.suffix.lower())

    def number(self, i: int) -> int:
        """The name's ``i``-th number, with its sign."""
        return self.signs[i] * int(self.digits[i])

    def stamp(self, at: tuple[int, ...]) -> Stamp:
        """The number at one place, or the time stamp at two with a point between."""
        if len(at) == 1:
            return self.number(at[0])
        return self.signs[at[0]] * Decimal(f"{self.digits[at[0]]}.{self.digits[at[1]]}")

    def shown(self, at: tuple[int, ...]) -> str:
        """The name with ``####`` for the numbers ``at``."""
        words = [self.texts[0]]
        for i, digits in enumerate(self.digits):
            minus = "-" if self.signs[i] < 0 and i not in at else ""
            words += [minus, "#" * len(digits) if i in at else digits, self.texts[i + 1]]
        return "".join(words) + self.path.suffix


@dataclass(frozen=True)
class NamedSequence:
    """One sequence of a folder."""

    names: tuple[NumberedName, ...]
    at: tuple[int, ...]
    """Where in the names their numbers stand; () if they have none."""

    def text(self) -> str:
        """How messages call it."""
        if not self.at or len(self.names) == 1:
            return self.names[0].path.name
        return f"{self.names[0].shown(self.at)} ({len(self.names)} files, first {self.names[0].path.name})"


def sequences_among(paths: Sequence[Path]) -> list[NamedSequence]:
    """The sequences that ``paths`` are: names that differ in one number, or in a time stamp."""
    groups: dict[tuple[str, ...], list[NumberedName]] = defaultdict(list)
    for name in map(NumberedName.of, paths):
        groups[name.skeleton].append(name)
    for skeleton in list(groups):  # shot-1 beside shot0: there the dash is a minus
        for i, text in enumerate(skeleton[:-2]):
            plain = (*skeleton[:i], text.removesuffix("-"), *skeleton[i + 1 :])
            if text.endswith("-") and plain in groups and skeleton in groups:
                groups[plain] += [name.with_minus(i) for name in groups.pop(skeleton)]
    found = [one for names in groups.values() for one in _split(names)]
    if len(found) > 1 and not any(name.digits for one in found for name in one.names):
        return [NamedSequence(tuple(map(NumberedName.of, paths)), ())]  # no numbers anywhere: the order of the names
    return found


def _split(names: list[NumberedName]) -> list[NamedSequence]:
    """The sequences among names of one skeleton."""
    places = range(len(names[0].digits))
    varying = [i for i in places if len({name.number(i) for name in names}) > 1]
    if not varying:
        return [NamedSequence(tuple(names), (places[-1],) if places else ())]
    at, rest = (varying[-1],), varying[:-1]
    if at[0] + 1 in places and _is_time(names, at[0] + 1):
        at = (at[0] + 1,)
    if _is_time(names, at[0]):
        at, rest = (at[0] - 1, at[0]), [i for i in rest if i != at[0] - 1]
    elif rest and _count_together(names, varying):
        even = [i for i in varying if len({b.number(i) - a.number(i) for a, b in pairwise(_by(names, (i,)))}) == 1]
        at, rest = ((even or varying)[-1],), []
    versions: dict[tuple[int, ...], list[NumberedName]] = defaultdict(list)
    for name in names:
        versions[tuple(name.number(i) for i in rest)].append(name)
    return [NamedSequence(tuple(_by(each, at)), at) for each in versions.values()]


def _by(names: list[NumberedName], at: tuple[int, ...]) -> list[NumberedName]:
    return sorted(names, key=lambda name: name.stamp(at))


def _count_together(names: list[NumberedName], places: list[int]) -> bool:
    """Whether all these numbers grow from each name to the next, as a number and a time stamp beside it do."""
    ordered = _by(names, (places[0],))
    return all(a.number(i) < b.number(i) for a, b in pairwise(ordered) for i in places)


def _is_time(names: list[NumberedName], i: int) -> bool:
    """Whether number ``i`` is the fraction of a time stamp, whose whole part stands before it."""
    if i == 0 or any(name.texts[i] != "." or name.texts[i - 1].lower().endswith("v") for name in names):
        return False
    if all(len(name.digits[i - 1]) >= _UNIX_SECONDS_DIGITS for name in names):
        return True
    if len({name.number(i - 1) for name in names}) == 1:
        return False  # shot2.0001: a constant in front is a version
    steps = [Decimal(b - a) for a, b in pairwise(sorted(name.stamp((i - 1, i)) for name in names))]
    return min(steps) > 0 and max(steps) <= 100 * median(steps)  # versions would leap from .0100 to the next .0001
