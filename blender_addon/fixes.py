"""What a sentence of the add-on or the backend asks for, as a button beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fix:
    """A button: an operator with its arguments."""

    text: str
    operator: str
    icon: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    dialog: bool = False
    """Opens a window of its own first."""


def _connect(_match: re.Match[str]) -> Fix:
    return Fix("Connect", "ex4d.connect", "LINKED")


def _save(_match: re.Match[str]) -> Fix:
    return Fix("Save As...", "wm.save_as_mainfile", "FILE_TICK", dialog=True)


def _object_mode(_match: re.Match[str]) -> Fix:
    return Fix("Object Mode", "object.mode_set", "OBJECT_DATAMODE", {"mode": "OBJECT"})


def _fill(_match: re.Match[str]) -> Fix:
    return Fix("Import and Fill It", "ex4d.import_clip", "IMPORT", {"fill_invalid": True})


def _shorter(match: re.Match[str]) -> Fix:
    count = int(match[1])
    return Fix(f"Import the First {count}", "ex4d.import_clip", "IMPORT", {"num_frames": count})


def _offload(_match: re.Match[str]) -> Fix:
    return Fix("Use Offload", "ex4d.set_engine_setting", "MEMORY", {"setting": "memory", "value": "offload"})


def _command(match: re.Match[str]) -> Fix:
    return Fix("Copy the Command", "ex4d.copy_command", "COPYDOWN", {"command": match[1].strip().rstrip(".")})


_FIXES: tuple[tuple[str, Callable[[re.Match[str]], Fix]], ...] = (
    (r"press Connect|Connect to a backend first|stopped answering", _connect),
    (r"save it first|Save the \.blend first", _save),
    (r"[Ss]witch to Object Mode", _object_mode),
    (r"--fill[-_]invalid", _fill),
    (r"--num[-_]frames (\d+)", _shorter),
    (r"--memory offload", _offload),
    (r"(?:run|with): (.+)$", _command),
    (r"start one with '([^']+)'", _command),
)


def fix_for(sentence: str) -> Fix | None:
    """The button that mends what ``sentence`` says; None if there is none."""
    for pattern, make in _FIXES:
        match = re.search(pattern, sentence)
        if match is not None:
            return make(match)
    return None
