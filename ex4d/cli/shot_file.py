"""A shot's file in front of a command's options: what it gives counts where the command line gives nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from ex4d.shots.options import ESTIMATE, ShotOptions
from ex4d_ground.errors import SettingError
from ex4d_ground.shot_files import SHOT_FILE, ShotFile, read_shot

_PAIRS = ("set", "depth_set")
"""Options that are given as name=value; in a file they are an object."""
_WORDS = {"source_camera": (ESTIMATE,), "save_depth": ("0", "1")}
"""Of options that are paths, what is none."""
_NOT_OF_A_SHOT = ("again", "devices", "help", "windows")


def _take_options(context: typer.Context, path: Path | None) -> Path | None:
    """Make what the file gives the defaults of the command's options. Raises InputError, SettingError."""
    if path is not None and not context.resilient_parsing:
        context.default_map = {**(context.default_map or {}), **_defaults(context, read_shot(path))}
    return path


ShotArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="SHOT",
        help=f"A shot's folder, with {SHOT_FILE} in it, or such a file: the options below, with paths relative to it. "
        "What is given here goes before it.",
        show_default=False,
        is_eager=True,
        callback=_take_options,
    ),
]


def _defaults(context: typer.Context, shot: ShotFile) -> dict[str, Any]:
    known = {flag.lstrip("-"): each for each in context.command.params for flag in each.opts if flag.startswith("--")}
    known = {name: each for name, each in known.items() if name not in _NOT_OF_A_SHOT}
    found: dict[str, Any] = {"output_dir": str(shot.folder)}
    for name, value in shot.options.items():
        if name not in known:
            raise SettingError(f"{shot.path}: there is no option {name!r}; it has {', '.join(sorted(known))}.")
        option = known[name]
        assert option.name is not None
        if isinstance(value, bool) and not getattr(option, "is_flag", False):
            raise SettingError(f"{shot.path}: {name} is a text or a number, got {_text(value)}.")
        found[option.name] = _value(shot, name, value, several=getattr(option, "multiple", False))
    return found


@cache
def _paths() -> frozenset[str]:
    """The options that name a file or folder."""
    named = (name for name, kind in get_type_hints(ShotOptions).items() if Path in (kind, *get_args(kind)))
    return frozenset((*named, "output_dir"))


def pairs_of(shot: ShotFile, name: str) -> list[str]:
    """The settings that a shot's file gives under ``name``, as name=value. Raises SettingError."""
    value = shot.options.get(name, {})
    if not isinstance(value, Mapping) or not all(_is_plain(each) for each in value.values()):
        raise SettingError(f'{shot.path}: {name} is an object such as {{"steps": 4}}, got {value!r}.')
    return [f"{key}={_text(each)}" for key, each in value.items()]


def _value(shot: ShotFile, name: str, value: Any, *, several: bool) -> Any:
    if name in _PAIRS:
        return pairs_of(shot, name)
    if several:
        listed = value if isinstance(value, list) else [value]
        if not all(_is_plain(each) for each in listed):
            raise SettingError(f"{shot.path}: {name} is a list of texts, got {value!r}.")
        return [_text(each) for each in listed]
    if not _is_plain(value):
        raise SettingError(f"{shot.path}: {name} is a text, a number, true or false, got {value!r}.")
    text = str(value)
    named = name in _paths() and text not in _WORDS.get(name, ())
    if not text and (named or name == "cam"):
        raise SettingError(f"{shot.path}: {name} is empty; give it a value, or leave it out.")
    if named or (name == "cam" and (shot.folder / text).exists()):
        return str(shot.folder / text)
    return value if isinstance(value, bool) else text


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
