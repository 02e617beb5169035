"""Taking up a take that was made, or half made, from the same inputs: fingerprints, and depth and guides kept."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import ex4d
from ex4d.engines.shot import LEAD_IN
from ex4d.shots.options import ESTIMATE, ShotOptions
from ex4d.shots.take import Stereo
from ex4d_ground.errors import ClipError
from ex4d_ground.files import COLOUR_SUFFIXES, DEPTH_SUFFIXES
from ex4d_ground.sequences import find_sequence, ranges
from ex4d_ground.takes import missing_frames, read_take_info, take_folders

_SET = ("set_video", "set_depth", "set_camera")
_READ = ("input_video", "depth", "lens_from", "thickness_map", "source_camera", "source_matte", *_SET, "ocio")
_LATER = {"cam_axes": "auto"}
"""Options that came later, by their default, at which they change no fingerprint."""


@dataclass(frozen=True)
class TakeRequest:
    """Everything that a take depends on."""

    shot: ShotOptions
    engine: str
    settings: dict[str, Any]
    """All of the engine's."""
    seed: int = 0
    stereo: Stereo | None = None

    @cached_property
    def fingerprint(self) -> str:
        """A name for the take."""
        return _fingerprint(self.shot, [self.engine, self.settings, self.seed, self.stereo])

    @cached_property
    def kept_name(self) -> str:
        """How the names begin of files with guides and depth that are kept until the take is made."""
        return f".guides-{_fingerprint(self.shot, [self.settings.get(LEAD_IN), self.stereo])[:16]}"

    @property
    def windows_name(self) -> str:
        """How the names begin of files with finished windows of the take; each eye's goes on with its number."""
        return f".windows-{self.fingerprint[:16]}"

    def find(self, folder: Path, on_note: Callable[[str], None] | None = None) -> Path | None:
        """The whole take in ``folder`` that was made of the same, or None.

        One that has lost pictures does not count; it is left as it is, and ``on_note`` is told.
        """
        for path in take_folders(folder):
            try:
                info = read_take_info(path)
            except ClipError:  # somebody else's folder, or a damaged take: not the one
                continue
            if info.metadata.get("fingerprint") != self.fingerprint:
                continue
            lost = missing_frames(path, info)
            if not lost:
                return path
            if on_note is not None:
                on_note(f"{path} was made from the same inputs, but has lost frames {ranges(lost)}: another is made")
        return None


def with_kept_depth(options: ShotOptions, kept: Path) -> ShotOptions:
    """The shot with depth that it estimates kept in ``kept``, and taken from there if an interrupted run left it."""
    if options.depth is not None or options.save_depth is not None:
        return options
    if not kept.is_file():
        return replace(options, save_depth=kept)
    return replace(options, depth=kept, estimator=None, estimator_settings={})


def _fingerprint(options: ShotOptions, rest: list[Any]) -> str:
    """A digest of the content of the input files, the options, ``rest`` and this version."""
    digest = hashlib.sha256()
    stated = {k: v for k, v in asdict(options).items() if k not in (*_READ, "save_depth")}
    stated = {k: v for k, v in stated.items() if k not in _LATER or v != _LATER[k]}
    if options.camera_file is not None:  # its content counts, not where a machine has mounted it
        stated["cam"] = options.camera_file.name
    if options.estimates_camera:
        stated["source_camera"] = ESTIMATE
    digest.update(json.dumps([ex4d.__version__, stated, rest], sort_keys=True, default=str).encode())
    files = [getattr(options, name) for name in _READ if name != "source_camera" or not options.estimates_camera]
    for path in (options.camera_file, *files):
        for file in _files(path):
            digest.update(f"{file.name}:{file.stat().st_size}".encode())
            with file.open("rb") as opened:
                while chunk := opened.read(1 << 22):
                    digest.update(chunk)
    return digest.hexdigest()


def _files(path: Path | None) -> Iterator[Path]:
    if path is None:
        return
    if path.suffix.lower() in (*COLOUR_SUFFIXES, *DEPTH_SUFFIXES):  # a sequence by its first file, or a pattern
        yield from find_sequence(path, (*COLOUR_SUFFIXES, *DEPTH_SUFFIXES)).paths
        return
    yield from sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
