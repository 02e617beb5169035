"""Values that people write into files and variables: which of them a structure cannot take, by name and with why."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, get_type_hints

import msgspec
from msgspec import inspect

THAT_IS = "that_is"
"""In the ``extra`` of a number's :class:`msgspec.Meta`: its bound in words that people think in."""
Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 24 * 3600, extra={THAT_IS: "366 days"})]
"""How long something is waited for, or may go on: who wants no end takes a year. More are numbers typed wrong."""
Hours = Annotated[float, msgspec.Meta(gt=0, le=100 * 366 * 24, extra={THAT_IS: "100 years"})]
"""How long something is kept."""


class Misfit(NamedTuple):
    """A value that its field cannot take."""

    name: str
    """Of the field, behind those of the tables it stands in: ``train.steps``."""
    value: Any
    expected: str
    """What it may be: "a whole number from 1 to 100"."""

    @property
    def words(self) -> str:
        """As it stands in a sentence: "train.steps = 0: give a whole number from 1 to 100"."""
        shown = repr(self.value)
        if not isinstance(self.value, str):
            shown = shown.replace("True", "true").replace("False", "false")
        return f"{self.name} = {shown if len(shown) <= 100 else f'{shown[:100]}...'}: give {self.expected}"


def misfits(values: Mapping[str, Any], kind: type, *, strict: bool = True, where: str = "") -> Iterator[Misfit]:
    """What of ``values`` the fields of ``kind`` cannot take, a structure or a dataclass; other names are passed over.

    A number is finite: infinity and NaN fit no field. Without ``strict`` texts may stand for numbers and truth values,
    as in environment variables.
    """
    hints = get_type_hints(kind, include_extras=True)
    for name, value in values.items():
        wanted = hints.get(name)
        if wanted is None:
            continue
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct) and isinstance(value, Mapping):
            yield from misfits(value, wanted, strict=strict, where=f"{where}{name}.")
        elif not _fits(value, wanted, strict):
            yield Misfit(f"{where}{name}", value, expected_words(inspect.type_info(wanted)))


def _fits(value: Any, wanted: Any, strict: bool) -> bool:
    try:
        made = msgspec.convert(value, wanted, strict=strict)
    except (msgspec.ValidationError, OverflowError):
        return False
    return not isinstance(made, float) or math.isfinite(made)


def expected_words(info: inspect.Type) -> str:
    """What a type takes, for people."""
    match info:
        case inspect.Metadata(type=bare, extra=extra):
            words = (extra or {}).get(THAT_IS)
            return expected_words(bare) + (f", that is {words}" if words else "")
        case inspect.IntType() | inspect.FloatType():
            what = "a whole number" if isinstance(info, inspect.IntType) else "a number"
            return f"{what}{_range(info)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return "one of " + ", ".join(f'"{value}"' for value in info.values)
        case inspect.ListType() | inspect.VarTupleType():
            return f"a list, each {expected_words(info.item_type)}"
        case inspect.DictType(value_type=inspect.StrType()):
            return "a table of texts"
        case inspect.StructType() | inspect.DictType():
            return "a table"
        case _:
            return "text"


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    most = "" if info.le is None else f"{info.le}"
    if info.gt is not None:
        return f" above {info.gt}" + (f" and at most {most}" if most else "")
    if info.ge is not None:
        return f" from {info.ge} to {most}" if most else f" of at least {info.ge}"
    return f" of at most {most}" if most else ""
