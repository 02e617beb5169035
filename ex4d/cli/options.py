"""Options that commands share, and dataclasses of options spread into a command's signature.

Underscores are the spelling; dashes are accepted everywhere.
"""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import typer

from ex4d.option_text import OptionText
from ex4d.shots.options import OPTION_HELP, ShotOptions
from ex4d_ground.errors import SettingError


def panel(title: str | None, **shared: Any) -> Callable[..., Any]:
    """Makes options that stand under ``title`` on the help page: ``option("--name", "What it is.")``."""

    def option(flags: str, text: str, *more_flags: str, **settings: Any) -> Any:
        return typer.Option(flags, *more_flags, help=text, rich_help_panel=title, **{**shared, **settings})

    return option


_plain = panel(None)
OutputDir = Annotated[
    Path, panel("Output", show_default=False)("--output_dir", "Folder for the results; made if missing.")
]


def require_between(value: float | None, least: float, most: float, flag: str) -> None:
    """Refuse a number, NaN too, that lies outside; None is not given. Raises SettingError."""
    if value is not None and not least <= value <= most:
        raise SettingError(f"{flag} must be between {least:g} and {most:g}, got {value:g}.")


def require_frames(num_frames: int | None, least: int = 1) -> None:
    """Refuse a number of first frames that leaves too few. Raises SettingError."""
    if num_frames is not None and num_frames < least:
        raise SettingError(f"--num_frames must be at least {least}, got {num_frames}.")


def _checked_seed(seed: int) -> int:
    if not 0 <= seed <= MOST_SEED:
        raise SettingError(f"--seed must be between 0 and {MOST_SEED}, got {seed}.")
    return seed


_MAY_BE_EMPTY = ("--prompt",)
"""Options that take a text, of which no letters are one."""
MOST_SEED = 2**63 - 1
"""What random numbers can be drawn from, as the backend takes it, too."""
SEEDS: dict[str, Any] = {"callback": _checked_seed}
Seed = Annotated[int, _plain("--seed", "Same inputs and seed: same frames.", **SEEDS)]
EngineSettings = Annotated[
    list[str] | None, _plain("--set", "Engine setting as name=value; repeat for more. A wrong name lists all.")
]


def flag_of(option: str) -> str:
    """The flag of an option that the library names."""
    return "--depth_set" if option == "estimator_settings" else f"--{option}"


def refuse_empty_words(arguments: Sequence[str]) -> None:
    """Refuse a word that is nothing, as "$OUT" is where OUT is not set: a path of no letters is the working folder.

    Raises SettingError.
    """
    for before, word in zip(("", *arguments), arguments, strict=False):
        flag, given, value = word.partition("=")
        if word and not (word.startswith("--") and given and not value):
            continue
        flag = flag or (before if before.startswith("-") else "")
        if flag not in _MAY_BE_EMPTY:
            which = f"What {flag} is given" if flag else "A word on the command line"
            raise SettingError(f"{which} is empty; give it a value, or leave it out.")


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as typer shall see it: for a parameter that is a dataclass, one option for each of its fields.

    A dataclass's fields are annotated with their options; those of :class:`ShotOptions` have theirs
    from its help.
    """
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    kinds = {p.name: p.annotation for p in parameters if hasattr(p.annotation, "__dataclass_fields__")}
    shown: list[inspect.Parameter] = []
    for parameter in parameters:
        shown += _options_of(kinds[parameter.name]) if parameter.name in kinds else [parameter]
    shown = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in shown]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, kind in kinds.items():
            values = {each.name: given.pop(each.name) for each in fields(kind)}
            given[name] = _made(kind, values, given.get("output_dir"))
        command(**given)

    run.__signature__ = inspect.Signature(shown)  # pyright: ignore[reportAttributeAccessIssue] - typer reads it
    run.__annotations__ = {p.name: p.annotation for p in shown}
    return run


def _options_of(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    if kind is ShotOptions:
        hints["estimator_settings"] = list[str] | None
        for title, text in OPTION_HELP.items():
            for entry in re.split(r"\n(?=\w)", text.strip()):
                name, _, words = OptionText(" ".join(entry.split())).spelled(flag_of).partition(": ")
                metavar = "NAME" if get_origin(hints[name]) is Literal else None
                option = panel(title, show_default=False)(flag_of(name), words, metavar=metavar)
                hints[name] = Annotated[hints[name], option]

    def default(option: Field[Any]) -> Any:
        if option.default_factory is not MISSING:
            return None
        return inspect.Parameter.empty if option.default is MISSING else option.default

    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [inspect.Parameter(f.name, positional, default=default(f), annotation=hints[f.name]) for f in fields(kind)]


def _made(kind: Any, values: dict[str, Any], output_dir: Path | None) -> Any:
    """The dataclass of what was given; a shot is checked as a whole.

    ``--save_depth 1`` and ``0`` are EX-4D's own: depth.npz in the folder for results, or none.
    """
    if kind is not ShotOptions:
        return kind(**values)
    if str(values["save_depth"]) in ("0", "1"):
        wanted = str(values["save_depth"]) == "1" and values["depth"] is None and output_dir is not None
        values["save_depth"] = output_dir / "depth.npz" if wanted and output_dir else None
    pairs = values.pop("estimator_settings") or []
    settings: dict[str, Any] = dict.fromkeys(pairs)  # finished depth takes none, whatever they are: the check says so
    if pairs and values["depth"] is None:
        from ex4d.cli.settings import parse_settings
        from ex4d.depth import DEFAULT_ESTIMATOR, get_estimator

        settings = parse_settings(get_estimator(values["estimator"] or DEFAULT_ESTIMATOR).info(), pairs)
    options = ShotOptions(**values, estimator_settings=settings)
    options.check()
    return options
