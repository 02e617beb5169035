"""Shots on disk: what one command needs to make a take, so that a farm can be given names. FORMATS.md is normative.

shots/010/shot.json     the options of ``ex4d run``, by their names; paths are relative to this folder
shots/010/take_001/     the take, unless the options name another place
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ex4d_ground.errors import InputError, OutputError
from ex4d_ground.files import atomic_path, read_text, require_regular
from ex4d_ground.parsing import parse_json
from ex4d_ground.sequences import natural_key

FORMAT, VERSION = "ex4d-shot", 1
SHOT_FILE = "shot.json"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class ShotFile:
    """A shot's file and the options that it gives, as they stand there."""

    path: Path
    options: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """What relative paths are relative to."""
        return self.path.parent


def read_shot(path: Path | str) -> ShotFile:
    """A shot's file, or the one in a shot's folder. Raises InputError, which names the file."""
    path = Path(path)
    path = path / SHOT_FILE if path.is_dir() else path
    if not path.exists():
        raise InputError(f"There is no shot {path}; name a folder with {SHOT_FILE} in it, or such a file.")
    require_regular(path, MAX_BYTES, InputError)
    try:
        record = parse_json(read_text(path))
    except OSError as error:
        raise InputError(f"The shot {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(f"The shot {path} is not valid JSON: {error}.") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f'{path} is no shot: it lacks "format": "{FORMAT}".')
    version = record.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f'The shot {path} has no usable "version", got {version!r}; it is {VERSION}.')
    if version > VERSION:
        raise InputError(f"The shot {path} has version {version}, but this program knows {VERSION}: use a newer one.")
    options = record.get("options")
    if not isinstance(options, dict):
        raise InputError(f'The shot {path} lacks "options", an object of the options of ex4d run.')
    return ShotFile(path, options)


def write_shot(folder: Path, options: Mapping[str, Any]) -> Path:
    """Write ``folder/shot.json`` and return its path; the folder is made. Raises OutputError, also if it is there."""
    path = folder / SHOT_FILE
    if path.exists():
        raise OutputError(f"{path} is there already; choose another folder, or remove it.")
    text = json.dumps({"format": FORMAT, "version": VERSION, "options": dict(options)}, indent=1, ensure_ascii=False)
    with atomic_path(path) as staged:
        staged.write_text(f"{text}\n", encoding="utf-8")
    return path


def shot_names(folder: Path | str) -> list[str]:
    """The names of the shots in a folder of shots, in natural order. Raises InputError if there is none."""
    folder = Path(folder)
    try:
        names = sorted((each.name for each in folder.iterdir() if (each / SHOT_FILE).is_file()), key=natural_key)
    except OSError as error:
        raise InputError(f"The folder of shots {folder} cannot be read: {error.strerror or error}.") from error
    if not names:
        raise InputError(f"{folder} holds no shots: each is a folder with {SHOT_FILE} in it.")
    return names
