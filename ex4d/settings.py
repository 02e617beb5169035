"""Typed settings: one frozen dataclass an engine or estimator, from which what it advertises is derived.

    @dataclass(frozen=True)
    class PaintSettings:
        brush: Annotated[Literal["round", "flat"], About("The brush's shape.")] = "round"
        strokes: Annotated[int, About("Strokes a frame.", 1, 1000)] = 100

Names, defaults and order are those of the fields; a Literal's values are the choices.
"""

from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ex4d_ground.descriptions import Setting


@dataclass(frozen=True)
class About:
    """What people are told of a setting, and the range of a number; stands in the field's ``Annotated``."""

    help: str
    minimum: float | None = None
    maximum: float | None = None


def settings_of(kind: type) -> tuple[Setting, ...]:
    """What a settings dataclass advertises, in the order of its fields."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(_advertised(field, *get_args(hints[field.name])) for field in fields(kind))


def _advertised(field: Field[Any], value_type: Any, about: About) -> Setting:
    choices = get_args(value_type) if get_origin(value_type) is Literal else ()
    kind = "choice" if choices else value_type.__name__
    default: Any = field.default if field.default_factory is MISSING else field.default_factory()
    return Setting(field.name, kind, default, about.help, about.minimum, about.maximum, choices)
