"""The engines there are, by name. An engine's module is imported only when it is asked for."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from ex4d.engines.base import Engine
from ex4d.engines.gpu import Gpu, find_gpu
from ex4d.engines.shot import KNOWN_FIRST
from ex4d.needs import RunNeeds
from ex4d_ground.costs import Cost
from ex4d_ground.descriptions import EngineInfo
from ex4d_ground.errors import EngineError, MissingExtraError, SettingError
from ex4d_ground.remedies import install_ours

_ENGINES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "preview": ("ex4d.engines.preview", "PreviewEngine", ()),
    "wan": ("ex4d.engines.wan", "WanEngine", ("torch", "diffusers", "transformers", "peft")),
}
"""Module and class by name, and the modules of the extra "wan" without which it cannot run."""


def engine_names() -> list[str]:
    """Names that :func:`get_engine` knows, the preview first."""
    return list(_ENGINES)


def get_engine(name: str) -> Engine:
    """The engine of that name.

    Raises SettingError for an unknown name, MissingExtraError if its extra is not installed, EngineError if what is
    installed does not load.
    """
    engine = _engine_type(name)
    missing = [module for module in _ENGINES[name][2] if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingExtraError(f"The {name} engine ({', '.join(missing)} not found)", "wan")
    return engine()


def list_engines() -> list[EngineInfo]:
    """Every engine's description; one that cannot run here is listed with ``available=False`` and says why."""
    return [_info(name) for name in _ENGINES]


def cost(
    engine: str,
    *,
    frames: int,
    width: int,
    height: int,
    settings: Mapping[str, Any] | None = None,
    gpu: Gpu | None = None,
    look: bool = True,
) -> Cost:
    """What ``frames`` frames of ``width`` x ``height`` pixels cost with ``engine`` and ``settings`` on this machine.

        answer = cost("wan", frames=120, width=512, height=512, settings={"mode": "fast"})
        answer.windows, answer.forwards, answer.peak_bytes, answer.seconds, answer.text

    Needs neither torch nor weights and takes a fraction of a second, so a server can answer it while a panel is drawn.
    ``settings`` may leave out any of the engine's. ``gpu`` is the GPU to reckon with; without one this machine's is
    looked for, unless ``look`` is False, which reckons without a GPU. A machine without one, and a picture too large
    for the one there is, are no errors: ``problem`` says so. Raises SettingError for an unknown engine, a bad setting,
    or sizes below 1.
    """
    chosen = _engine_type(engine)
    if min(frames, width, height) < 1:
        raise SettingError(f"A take has at least one frame of one pixel, got {frames} of {width}x{height}.")
    gpu = gpu or (find_gpu() if look and chosen.needs_gpu else None)
    answer = chosen.cost(frames, width, height, settings or {}, gpu)
    needs = RunNeeds.of(frames, width, height, known=bool(chosen.about.validated(settings or {}).get(KNOWN_FIRST)))
    return structs.replace(answer, memory_bytes=needs.memory_bytes, disk_bytes=needs.disk_bytes)


def _engine_type(name: str) -> type[Engine]:
    if name not in _ENGINES:
        raise SettingError(f"There is no engine {name!r}; choose one of {', '.join(_ENGINES)}.")
    module, attribute, _ = _ENGINES[name]
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:  # an installed dependency of another version, most often
        again = install_ours("wan", "-U")
        raise EngineError(f"The {name} engine cannot be loaded ({error}).", remedy=again) from error


def _info(name: str) -> EngineInfo:
    try:
        return get_engine(name).info()
    except MissingExtraError as error:
        about, lacking = _engine_type(name).about, {"missing": str(error), "remedy": error.remedy}
        return structs.replace(about, settings=(), available=False, **lacking)
    except EngineError as error:
        return EngineInfo(name, name, (), "not known", available=False, missing=str(error), remedy=error.remedy)
