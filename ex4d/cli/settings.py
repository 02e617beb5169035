"""Settings on the command line: ``--set name=value``, checked against what the engine or estimator advertises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ex4d_ground.errors import SettingError, WeightsError

if TYPE_CHECKING:
    from ex4d_ground.descriptions import EngineInfo, EstimatorInfo, Setting

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def parse_settings(info: EngineInfo | EstimatorInfo, pairs: Sequence[str]) -> dict[str, Any]:
    """All settings, those in ``pairs`` ("name=value") replaced. Raises SettingError."""
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


def ready_settings(info: EngineInfo, pairs: Sequence[str] | None) -> dict[str, Any]:
    """As :func:`parse_settings`, for an engine that is to run now. Raises SettingError, WeightsError."""
    chosen = parse_settings(info, pairs or [])
    if not info.available:
        raise WeightsError(info.missing, remedy=info.remedy)
    return chosen


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
