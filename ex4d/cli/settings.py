"""Engine settings on the command line: ``--set name=value``, checked against what the engine advertises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ex4d.errors import SettingError
from ex4d.generate.base import EngineInfo, Setting

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def parse_settings(info: EngineInfo, pairs: Sequence[str]) -> dict[str, Any]:
    """All settings of the engine, those in ``pairs`` ("name=value") replaced. Raises SettingError."""
    known = {setting.name: setting for setting in info.settings}
    given: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not separator:
            raise SettingError(
                f"--set takes name=value, got {pair!r}; for example --set {next(iter(known), 'name')}=..."
            )
        # An unknown name keeps its text: validated() then says which names there are.
        given[name] = _value(known[name], text.strip()) if name in known else text
    return info.validated(given)


def describe_settings(info: EngineInfo) -> str:
    """The engine's settings, one a line: name, default, range, help."""
    lines = []
    for s in info.settings:
        allowed = f" ({', '.join(s.choices)})" if s.choices else ""
        if s.minimum is not None and s.maximum is not None:
            allowed = f" ({s.minimum:g} to {s.maximum:g})"
        lines.append(f"{s.name}={s.default}{allowed}: {s.help}")
    return "\n".join(lines) or "This engine has no settings."


def _value(setting: Setting, text: str) -> Any:
    if setting.kind == "bool":
        if text.lower() not in _TRUE + _FALSE:
            raise SettingError(f"{setting.name} must be true or false, got {text!r}.")
        return text.lower() in _TRUE
    if setting.kind in ("int", "float"):
        try:
            return int(text) if setting.kind == "int" else float(text)
        except ValueError:
            kind = "a whole number" if setting.kind == "int" else "a number"
            raise SettingError(f"{setting.name} must be {kind}, got {text!r}.") from None
    return text
