"""The engine interface: what turns guides into finished frames, and how an engine describes itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ex4d.errors import SettingError
from ex4d.progress import CancelToken, OnProgress
from ex4d.types import Clip, Guides, Trajectory, UInt8

SettingKind = Literal["int", "float", "bool", "str", "choice"]


@dataclass(frozen=True)
class Setting:
    """One setting an engine advertises; the CLI and the Blender panel build their controls from it."""

    name: str
    kind: SettingKind
    default: Any
    help: str
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
        if wrong or value != value or (self.kind == "int" and value != int(value)):
            kind = "a whole number" if self.kind == "int" else "a number"
            raise SettingError(f"{self.name} must be {kind}, got {value!r}.")
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            raise SettingError(f"{self.name} must be between {self.minimum} and {self.maximum}, got {value!r}.")
        return int(value) if self.kind == "int" else float(value)


@dataclass(frozen=True)
class EngineInfo:
    """What an engine is, needs and allows: everything a panel shows before anything is run."""

    name: str
    title: str
    settings: tuple[Setting, ...]
    licence: str
    is_preview: bool = False
    available: bool = True
    missing: str = ""
    """If not available: one sentence with the one command that mends it."""

    def validated(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All settings with defaults filled in. Raises SettingError for an unknown name or a bad value."""
        known = {s.name: s for s in self.settings}
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise SettingError(
                f"The {self.name} engine has no setting {unknown[0]!r}; it has: {', '.join(known) or 'none'}."
            )
        return {name: s.validated(settings.get(name, s.default)) for name, s in known.items()}


@dataclass(frozen=True)
class GenerateRequest:
    """Everything an engine may look at."""

    guides: Guides
    trajectory: Trajectory
    clip: Clip | None = None
    """The source, for engines that look at it (lead-in, composite); None when only guides are at hand."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    fps: float = 15.0


OnFrame = Callable[[int, UInt8], None]
"""Called with (index, [H, W, 3] uint8) as soon as a frame is final, in any order, each index once."""


class Engine(Protocol):
    """Turns guides into frames. Same request, same machine: same bytes."""

    def info(self) -> EngineInfo:
        """Describe the engine without loading anything heavy."""
        ...

    def generate(
        self,
        request: GenerateRequest,
        *,
        on_frame: OnFrame | None = None,
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
    ) -> UInt8:  # [N, H, W, 3]
        """Return the finished frames. Raises Cancelled, SettingError, WeightsError, EngineError."""
        ...
