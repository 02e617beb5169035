"""How engines, depth estimators and camera presets describe themselves: what a panel or command line shows and asks."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from ex4d_ground.errors import Ex4dError, SettingError
from ex4d_ground.records import Count, Name, Record, Scalar, Text
from ex4d_ground.remedies import Remedy

SettingKind = Literal["int", "float", "bool", "str", "choice"]
Meaning = Literal["metric", "scale-free", "disparity"]

MEANINGS: dict[Meaning, str] = {
    "metric": "distance along the viewing axis, in metres",
    "scale-free": "distance along the viewing axis, up to one unknown factor",
    "disparity": "inverse distance, up to an unknown factor and offset: larger is nearer",
}
"""What an estimator's values can mean, in words for people."""


class Setting(Record, frozen=True):
    """One setting that an engine or estimator advertises; command line and panel build their controls from it."""

    name: Name
    kind: SettingKind
    default: Scalar
    help: Text = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def validated(self, value: Any) -> Any:
        """``value`` as this setting's type. Raises SettingError with the value and what is allowed."""
        if self.kind == "choice":
            if value not in self.choices:
                raise SettingError(f"{self.name} must be one of {', '.join(self.choices)}, got {value!r}.")
            return value
        if self.kind == "bool":
            if not isinstance(value, bool):
                raise SettingError(f"{self.name} must be true or false, got {value!r}.")
            return value
        if self.kind == "str":
            if not isinstance(value, str):
                raise SettingError(f"{self.name} must be text, got {value!r}.")
            return value
        return self._number(value)

    def _number(self, value: Any) -> int | float:
        wrong = isinstance(value, bool) or not isinstance(value, int | float)
        if (
            wrong
            or (isinstance(value, float) and not math.isfinite(value))
            or (self.kind == "int" and value != int(value))
        ):
            kind = "a whole number" if self.kind == "int" else "a number"
            raise SettingError(f"{self.name} must be {kind}, got {value!r}.")
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            raise SettingError(f"{self.name} must be between {self.minimum} and {self.maximum}, got {value!r}.")
        return int(value) if self.kind == "int" else float(value)


def validated(owner: str, known: tuple[Setting, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """All ``known`` settings with defaults filled in; ``owner`` is "preview engine" or such.

    Raises SettingError for an unknown name or a bad value.
    """
    by_name = {s.name: s for s in known}
    unknown = sorted(set(given) - set(by_name))
    if unknown:
        raise SettingError(f"The {owner} has no setting {unknown[0]!r}; it has: {', '.join(by_name) or 'none'}.")
    return {name: s.validated(given.get(name, s.default)) for name, s in by_name.items()}


class EngineInfo(Record, frozen=True):
    """What an engine is, needs and allows: everything that is shown before anything is run."""

    name: Name
    title: Text
    settings: tuple[Setting, ...] = ()
    licence: Text = ""
    is_preview: bool = False
    available: bool = True
    missing: Text = ""
    """If not available: why, in one sentence."""
    remedy: Remedy | None = None
    """New in 1.1. What mends it, on the machine where it is missing."""

    def validated(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All settings with defaults filled in. Raises SettingError for an unknown name or a bad value."""
        return validated(f"{self.name} engine", self.settings, settings)


class EstimatorInfo(Record, frozen=True):
    """What a depth estimator is, needs and allows: everything that is shown before anything is run. New in 1.1."""

    name: Name
    title: Text = ""
    meaning: Meaning = "scale-free"
    """Of its raw values; finished depth is always distance along the viewing axis."""
    licence: Text = ""
    research_only: bool = False
    """The licence of its code or weights forbids commercial production: say so wherever it is offered."""
    gives_intrinsics: bool = False
    """It estimates the lens as well."""
    temporally_steady: bool = False
    """The model looks at many frames at once; what single-image models waver is calmed by :mod:`ex4d.depth`."""
    zero_is_infinity: bool = False
    """For disparity: the value 0 means infinitely far, so that only a factor is unknown."""
    settings: tuple[Setting, ...] = ()
    available: bool = True
    """False if packages, the program or the weights (in their usual folder) are not here."""
    missing: Text = ""
    """If not available: why, in one sentence."""
    remedy: Remedy | None = None
    """What mends it, on the machine where it is missing."""
    research_only_with: tuple[Text, ...] = ()
    """New in 1.3. Settings, as NAME=VALUE, that choose what may not be used commercially though the rest may."""

    def restricts(self, settings: Mapping[str, Any]) -> bool:
        """Whether what ``settings`` choose may not be used commercially."""
        return self.research_only or any(f"{k}={v}" in self.research_only_with for k, v in settings.items())

    @property
    def licence_text(self) -> str:
        """The licence as it is shown wherever the estimator is offered."""
        return f"{self.licence} - RESEARCH ONLY" if self.research_only else self.licence

    def validated(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All settings with defaults filled in. Raises SettingError for an unknown name or a bad value."""
        return validated(f"{self.name} estimator", self.settings, settings)


Part = TypeVar("Part", EngineInfo, EstimatorInfo)


def as_it_is_here(about: Part, require: Callable[[], object]) -> Part:
    """``about`` with what keeps it from running on this machine: what ``require`` raises."""
    try:
        require()
    except Ex4dError as error:
        return msgspec.structs.replace(about, available=False, missing=str(error)[:4096], remedy=error.remedy)
    return about


class PackageInfo(Record, frozen=True, kw_only=True):
    """A set of model weights that can be fetched: what people have to know before they agree. New in 1.1."""

    name: Name
    title: Text = ""
    licence: Text = ""
    research_only: bool = False
    """The licence forbids commercial production."""
    size_bytes: Count = 0
    """About how much is downloaded."""
    source: Text = ""
    """Address of the repository it comes from."""
    there: bool = False
    """Whether it lies in its place already."""


class PresetInfo(Record, frozen=True):
    """One camera preset as a menu shows it."""

    name: Name
    title: Text = ""
    help: Text = ""
    unit: Name = ""
    """Of the amount: "degrees", "share of target distance", "focal factor", "share of published curve"."""
    amount: float = 0.0
    """Default amount, in ``unit``."""
    minimum: float = 0.0
    maximum: float = 0.0
    easing: Name = ""
    """Default easing."""
    published: bool = False
    """Whether this is one of EX-4D's own curves, exact to its code."""


class RasterizerInfo(Record, frozen=True, kw_only=True):
    """A program that draws guides, and whether it can here. New in 1.1."""

    name: Name
    licence: Text = ""
    available: bool = True
    why: Text = ""
    """What it draws on ("on NVIDIA H200"), or what keeps it from drawing."""
    automatic: bool = False
    """Whether the choice "auto" takes it."""
