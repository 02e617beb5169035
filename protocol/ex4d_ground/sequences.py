"""Numbered sequences: which files of a folder are one clip's frames, in which order, and which depth belongs to which.

The one rule of the library, the command line, the backend's client and the Blender extension:

- Frames come in the order of their numbers (``2`` before ``10``, ``-1`` before ``0``) or time stamps, never of their
  text. Hidden files (``._frame_0001.png``) are no frames.
- One folder, one sequence: several are refused with their names. A sequence can also be named by its first file, or by
  a pattern (``frame_%04d.png``, ``frame_####.png``).
- A number that is missing in between is refused with the number.
- Colour and depth belong together by number or time stamp where both have them, else by position.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median

from ex4d_ground.errors import Ex4dError, InputError
from ex4d_ground.numbered_names import NamedSequence, Stamp, sequences_among
from ex4d_ground.remedies import fewer_frames

_PATTERN = re.compile(r"%(?:0(\d+))?d|(#+)")
_SHOWN = 6
"""So many frames or sequences are listed in a message."""


@dataclass(frozen=True)
class FrameFiles:
    """The files of one sequence, in order."""

    paths: tuple[Path, ...]
    stamps: tuple[Stamp, ...] | None
    """The number or time stamp of each, ascending; None if their names have none."""
    label: str
    """How messages call it: the folder, pattern or file that was named."""
    whole: tuple[Stamp, ...] | None = field(default=None, compare=False)
    """The stamps of the sequence whose first files these are, where it has more."""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def step(self) -> int | None:
        """Distance of the numbers, where most have the same one and the rest multiples of it; None for time stamps.

        The whole sequence tells it: a few files of a hand-picked set may look regular.
        """
        stamps = self.stamps if self.whole is None else self.whole
        if stamps is None or any(isinstance(stamp, Decimal) for stamp in stamps):
            return None
        steps = [int(b - a) for a, b in pairwise(stamps)]
        if not steps:
            return 1
        least = min(steps)
        mostly = 2 * steps.count(least) >= len(steps)
        return least if mostly and all(step % least == 0 for step in steps) else None

    @property
    def first_number(self) -> int:
        """The number of the first file: where the clip's frames start to count; 1 where names have none."""
        number = self.stamps[0] if self.stamps and self.step is not None else 1
        return int(number) if abs(number) < 2**31 else 1

    def missing(self) -> list[int]:
        """Numbers that are left out between the first and the last file; none where there are time stamps."""
        step = self.step
        if step is None or self.stamps is None:
            return []
        return [int(n) for a, b in pairwise(self.stamps) for n in range(int(a) + step, int(b), step)]

    def require_whole(self, error: type[Ex4dError] = InputError) -> None:
        """Raise ``error`` with the numbers that are missing in between."""
        missing = self.missing()
        if not missing or self.stamps is None:
            return
        before = sum(stamp < missing[0] for stamp in self.stamps)
        raise error(
            f"{self.label} lacks frame{'s' if len(missing) > 1 else ''} {ranges(missing)} between {self.paths[0].name} "
            f"and {self.paths[-1].name}; put them there, or name the first file of the part that is meant.",
            remedy=fewer_frames(before) if before > 1 else None,
        )

    def first(self, count: int | None) -> FrameFiles:
        """The first ``count`` files; all if None."""
        stamps = None if self.stamps is None else self.stamps[:count]
        return FrameFiles(self.paths[:count], stamps, self.label, self.stamps if self.whole is None else self.whole)

    def choose(self, indices: Sequence[int]) -> FrameFiles:
        """The files at these places."""
        stamps = None if self.stamps is None else tuple(self.stamps[i] for i in indices)
        return FrameFiles(tuple(self.paths[i] for i in indices), stamps, self.label)


@dataclass(frozen=True)
class Pairs:
    """Colour and depth files that belong together, as many of one as of the other, or each as it was found."""

    colour: FrameFiles
    depth: FrameFiles
    note: str = ""
    """What people should know about it: which frames were left out."""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key of text by which frame_2 comes before frame_10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name)]


def clip_name(video: Path, pictures: Iterable[str]) -> str:
    """What people call a clip: a folder's whole name, a file's without its ending, a sequence's without its numbers.

    ``pictures`` are the endings of sequences' files. A version (``shot.v1``) is no ending.
    """
    if video.is_dir():
        return video.name or video.resolve().name
    if video.suffix.lower() in pictures:
        return re.sub(r"[\s._-]*(?:-?\d+|#+|%0?\d*d)$", "", video.stem) or video.parent.name
    return video.name if re.fullmatch(r"\.v?\d+", video.suffix.lower()) else video.stem


def names_sequence(path: Path, suffixes: Iterable[str]) -> bool:
    """Whether ``path`` names a sequence: a folder, a pattern, or a picture with one of ``suffixes``."""
    return path.is_dir() or path.suffix.lower() in set(suffixes)


def is_named(path: Path) -> bool:
    """Whether there is such a file or folder, or at least a file that this pattern means."""
    if path.exists() or not path.parent.is_dir():
        return path.exists()
    pattern = _as_pattern(path.name)
    return pattern is not None and any(pattern.fullmatch(file.name) for file in path.parent.iterdir())


def find_sequence(path: Path, suffixes: Iterable[str], error: type[Ex4dError] = InputError) -> FrameFiles:
    """The files that a folder, a first file or a pattern means; those with other endings and hidden files are left out.

    A folder without such files gives an empty sequence. Raises ``error`` for a folder that holds several sequences or
    kinds of files, for two files of one number, and for a file or pattern that is not there.
    """
    wanted = {suffix.lower() for suffix in suffixes}
    if path.is_dir():
        return _only(path, sequences_among(_files(path, wanted)), error)
    if path.is_file():
        return _from_file(path, sequences_among(_files(path.parent, {path.suffix.lower()})), error)
    pattern = _as_pattern(path.name)
    if pattern is None:
        raise error(f"There is no file or folder {path}; check its name.")
    files = _files(path.parent, wanted & {path.suffix.lower()}) if path.parent.is_dir() else []
    matching = [(file, found) for file in files if (found := pattern.fullmatch(file.name))]
    if not matching:
        raise error(f"There is no file {path.name} in {path.parent}; check the pattern.")
    by_number = sorted((int(found[1]), file) for file, found in matching)
    return _numbered(str(path), [number for number, _ in by_number], [file for _, file in by_number], error)


def endings_in(folder: Path) -> str:
    """What a folder without usable pictures holds instead, as words behind its name; "" if there are no files."""
    found = sorted({path.suffix.lower() for path in folder.iterdir() if path.is_file() and path.name[0] != "."} - {""})
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f" (its files end in {', '.join(found[:_SHOWN])}{more})" if found else ""


def pair_sequences(
    colour: FrameFiles, depth: FrameFiles, *, num_frames: int | None = None, error: type[Ex4dError] = InputError
) -> Pairs:
    """Which depth belongs to which colour: by number or time stamp where both have them, else by position.

    Two whole sequences that count from different numbers (0 and 1, 1001 and 1) belong together by position if they are
    equally long. Of time stamps the nearest within half a frame counts; colour without any is left out, and said.
    ``num_frames`` keeps the first of the pairs. Raises ``error`` for colour frames without depth, and for gaps.
    """
    if colour.stamps is None or depth.stamps is None:
        return _by_position(colour, depth, num_frames, error)
    place = {stamp: i for i, stamp in enumerate(depth.stamps)}
    head, short = colour.first(num_frames), depth.first(num_frames)
    head.require_whole(error)
    if colour.step and depth.step and len(colour) == len(depth) and not depth.missing() and not colour.missing():
        return Pairs(head, short)
    found = [place[stamp] for stamp in head.stamps or () if stamp in place]
    if len(found) == len(head):
        return Pairs(head, depth.choose(found))
    if colour.step is None and depth.step is None:
        return _by_time(colour, depth, num_frames, error)
    if not found:
        return _by_position(head, short, None, error)
    lacking = [stamp for stamp in head.stamps or () if stamp not in place]
    raise error(
        f"{depth.label} lacks frame{'s' if len(lacking) > 1 else ''} {ranges(lacking)} of {colour.label}; give depth "
        "for every frame, or name the first file of the part that is meant."
    )


def ranges(stamps: Sequence[Stamp]) -> str:
    """Numbers for people: [3, 4, 5, 9] becomes "3-5, 9"; many are cut short."""
    parts: list[list[Stamp]] = []
    for stamp in stamps:
        if parts and stamp == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], stamp]
        else:
            parts.append([stamp])
    shown = ["-".join(str(end) for end in part) if part[0] >= 0 else " to ".join(map(str, part)) for part in parts]
    rest = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + rest


def _by_position(
    colour: FrameFiles, depth: FrameFiles, num_frames: int | None, error: type[Ex4dError]
) -> Pairs:  # how many of each there are is the reader's to judge
    colour, depth = colour.first(num_frames), depth.first(num_frames)
    colour.require_whole(error)
    depth.require_whole(error)
    return Pairs(colour, depth)


def _by_time(colour: FrameFiles, depth: FrameFiles, num_frames: int | None, error: type[Ex4dError]) -> Pairs:
    times, depths = list(colour.stamps or ()), list(depth.stamps or ())
    reach = median([Decimal(b - a) for a, b in pairwise(times)] or [Decimal(0)]) / 2
    nearest = [_nearest(depths, time) for time in times]
    kept = [k for k, i in enumerate(nearest) if abs(depths[i] - times[k]) <= reach]
    # Each depth once, for the colour that is nearest to it.
    best = {nearest[k]: k for k in sorted(kept, key=lambda k: -abs(depths[nearest[k]] - times[k]))}
    kept = sorted(best.values())[:num_frames]
    if len(kept) < 2:
        raise error(
            f"The time stamps of {colour.label} ({times[0]} to {times[-1]}) and {depth.label} ({depths[0]} to "
            f"{depths[-1]}) do not meet; give depth of the same moments."
        )
    seen = kept[-1] + 1 if num_frames is not None and len(kept) == num_frames else len(times)
    left = seen - len(kept)
    note = f"{left} of {seen} frames of {colour.label} have no depth at their time and are left out" if left else ""
    return Pairs(colour.choose(kept), depth.choose([nearest[k] for k in kept]), note)


def _nearest(stamps: Sequence[Stamp], stamp: Stamp) -> int:
    """Place of the stamp that is nearest; ``stamps`` ascend."""
    i = min(max(bisect_left(stamps, stamp), 1), len(stamps) - 1)
    return i if len(stamps) == 1 or stamps[i] - stamp < stamp - stamps[i - 1] else i - 1


def _files(folder: Path, suffixes: set[str]) -> list[Path]:
    """The folder's visible files with one of ``suffixes``, in natural order."""
    files = (p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    return sorted((p for p in files if p.is_file()), key=lambda p: (natural_key(p.name), p.name))


def _only(folder: Path, found: list[NamedSequence], error: type[Ex4dError]) -> FrameFiles:
    if not found:
        return FrameFiles((), None, str(folder))
    suffixes = sorted({name.path.suffix.lower() for one in found for name in one.names})
    if len(suffixes) > 1:
        raise error(
            f"The folder {folder} mixes {' and '.join(suffixes)} files; leave only the frames of one kind in it, or "
            "name the first file of the sequence that is meant."
        )
    if len(found) > 1:
        listed = "; ".join(one.text() for one in found[:_SHOWN])
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise error(
            f"The folder {folder} holds {len(found)} sequences: {listed}{more}; name the first file of the one that is "
            "meant, or leave only that one there."
        )
    return _made(str(folder), found[0], error)


def _from_file(path: Path, found: list[NamedSequence], error: type[Ex4dError]) -> FrameFiles:
    """The sequence of which ``path`` is a file, from it on."""
    for one in found:
        paths = [name.path for name in one.names]
        if path in paths:
            whole = _made(str(path), one, error)
            return whole.choose(range(whole.paths.index(path), len(whole)) if one.at else [paths.index(path)])
    return FrameFiles((path,), None, str(path))  # a hidden file, named on purpose


def _made(label: str, one: NamedSequence, error: type[Ex4dError]) -> FrameFiles:
    paths = [name.path for name in one.names]
    if not one.at:
        return FrameFiles(tuple(paths), None, label)
    return _numbered(label, [name.stamp(one.at) for name in one.names], paths, error)


def _numbered(label: str, stamps: Sequence[Stamp], paths: Sequence[Path], error: type[Ex4dError]) -> FrameFiles:
    for (a, first), (b, second) in pairwise(zip(stamps, paths, strict=True)):
        if a == b:
            raise error(f"{first.name} and {second.name} in {first.parent} are both frame {a}; take one away.")
    return FrameFiles(tuple(paths), tuple(stamps), label)


def _as_pattern(name: str) -> re.Pattern[str] | None:
    """``frame_%04d.png`` or ``frame_####.png`` as an expression; its group is the number. None if it is neither."""
    places = list(_PATTERN.finditer(name))
    if len(places) != 1:
        return None
    width = int(places[0][1] or 1) if places[0][2] is None else len(places[0][2])
    head, tail = name[: places[0].start()], name[places[0].end() :]
    return re.compile(rf"{re.escape(head)}(-\d{{{max(width - 1, 1)},}}|\d{{{width},}}){re.escape(tail)}")
