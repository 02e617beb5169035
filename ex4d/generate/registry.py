"""The engines there are, by name. An engine's module is imported only when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable

from ex4d.errors import EngineError, MissingExtraError, SettingError
from ex4d.generate.base import Engine, EngineInfo

_ENGINES: dict[str, tuple[str, str]] = {
    "preview": ("ex4d.generate.preview", "PreviewEngine"),
    "wan": ("ex4d.generate.wan", "WanEngine"),
}

_WAN_NEEDS = ("torch", "diffusers", "transformers", "peft")
_WAN_LICENCE = "Apache-2.0 (Wan 2.1 and EX-4D weights)"


def engine_names() -> list[str]:
    """Names that :func:`get_engine` knows, the preview first."""
    return list(_ENGINES)


def get_engine(name: str) -> Engine:
    """The engine of that name.

    Raises SettingError for an unknown name, MissingExtraError if its extra is not installed, EngineError if what is
    installed does not load.
    """
    if name not in _ENGINES:
        raise SettingError(f"There is no engine {name!r}; choose one of {', '.join(_ENGINES)}.")
    missing = _missing_modules(name)
    if missing:
        raise MissingExtraError(f"The {name} engine ({', '.join(missing)} not found)", "wan")
    module, attribute = _ENGINES[name]
    try:
        make: Callable[[], Engine] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:  # an installed dependency of another version, most often
        raise EngineError(
            f"The {name} engine cannot be loaded ({error}); reinstall its parts with: pip install -U 'ex4d[wan]'"
        ) from error
    return make()


def list_engines() -> list[EngineInfo]:
    """Every engine's description; one that cannot run here is listed with ``available=False`` and says why."""
    return [_info(name) for name in _ENGINES]


def _missing_modules(name: str) -> list[str]:
    if name != "wan":
        return []
    return [module for module in _WAN_NEEDS if importlib.util.find_spec(module) is None]


def _info(name: str) -> EngineInfo:
    try:
        return get_engine(name).info()
    except (MissingExtraError, EngineError) as error:
        return EngineInfo(
            name=name,
            title="EX-4D on Wan 2.1",
            settings=(),
            licence=_WAN_LICENCE,
            available=False,
            missing=str(error),
        )
