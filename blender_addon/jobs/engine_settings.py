"""An engine's settings as Blender properties, made from what the backend advertises.

Each engine gets a property group on Scene (``ex4d_engine_<name>``) with the advertised types, ranges, choices and help,
so that its controls, tooltips and limits are Blender's own and the values are saved in the .blend. A group is replaced
only when what is advertised changes.
"""

import contextlib
import math
import re
from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np

from ex4d_ground.descriptions import EngineInfo, Setting
from ex4d_ground.parsing import parse_json

from ..work.errors import AddonError

PREFIX = "ex4d_engine_"
MATTER = 3
"""An engine names the settings that matter most first: so many are shown before Advanced is opened."""
FIRST, REST = slice(MATTER), slice(MATTER, None)
ELSEWHERE = frozenset({"planes"})
"""Settings that are the shot's, and have a panel of their own."""
TERMS = {"cfg": "CFG", "lora": "LoRA", "fp8": "FP8", "gpu": "GPU", "cpu": "CPU", "cuda": "CUDA"}
"""How the field writes a word that is not simply capitalised."""

_made: dict[str, tuple[tuple[Setting, ...], type]] = {}
"""Engine name -> (what it was made from, the class)."""


def sync(engines: Iterable[EngineInfo]) -> None:
    """Make the groups match what the backend advertises. Values of engines that went away stay in the .blend."""
    for engine in engines:
        known = _made.get(engine.name)
        if known is None or known[0] != engine.settings:
            _remove(engine.name)
            _make(engine)


def clear() -> None:
    """Remove all groups (before the add-on goes)."""
    for name in list(_made):
        _remove(name)


def group(scene: bpy.types.Scene, engine: str) -> Any:
    """The engine's settings in this scene; None while unknown."""
    return getattr(scene, attribute(engine), None) if engine in _made else None


def values(scene: bpy.types.Scene, engine: str) -> dict[str, bool | int | float | str]:
    """What the scene has chosen, by setting; empty while the engine is unknown."""
    settings = group(scene, engine)
    if settings is None:
        return {}
    return {spec.name: _shortest(getattr(settings, identifier(spec.name))) for spec in _made[engine][0]}


def _shortest(value: Any) -> Any:
    """A number as it was meant: Blender keeps single precision, in which 0.1 is 0.10000000149."""
    return float(str(np.float32(value))) if isinstance(value, float) and math.isfinite(value) else value


def restore(scene: bpy.types.Scene, engine: str, chosen: dict[str, Any]) -> list[str]:
    """Set the scene's settings to those of a take; returns the names this backend does not have any more."""
    settings = group(scene, engine)
    unknown = []
    for spec in _made[engine][0] if settings is not None else ():
        setattr(settings, identifier(spec.name), spec.default)
    for name, value in chosen.items():
        try:
            setattr(settings, identifier(name), value)
        except (AttributeError, TypeError):
            unknown.append(name)
    return unknown


def chosen(scene: bpy.types.Scene, engine: str, *, given: str) -> dict[str, Any]:
    """The settings that a script gives as JSON, or else the scene's. Raises AddonError for what is no JSON object."""
    if not given:
        return values(scene, engine)
    try:
        settings = parse_json(given)
    except ValueError as error:
        raise AddonError(f'The engine settings are not JSON ({error}); write them like {{"steps": 25}}.') from error
    if not isinstance(settings, dict):
        raise AddonError('The engine settings must be a JSON object, like {"steps": 25}.')
    return settings


def draw(layout: bpy.types.UILayout, scene: bpy.types.Scene, engine: EngineInfo, *, which: slice = slice(None)) -> None:
    """One control per setting; ``which`` is :data:`FIRST` or :data:`REST` where they are shown apart."""
    settings = group(scene, engine.name)
    if settings is None:
        return
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    for spec in [each for each in engine.settings[which] if each.name not in ELSEWHERE]:
        span = math.inf if spec.minimum is None or spec.maximum is None else spec.maximum - spec.minimum
        column.prop(settings, identifier(spec.name), slider=spec.kind == "float" and span <= 2)


def _make(engine: EngineInfo) -> None:
    annotations = {identifier(spec.name): _property(spec) for spec in engine.settings}
    name = "EX4D_PG_engine_" + identifier(engine.name)
    made = type(name, (bpy.types.PropertyGroup,), {"__annotations__": annotations, "__doc__": engine.title})
    bpy.utils.register_class(made)
    setattr(bpy.types.Scene, attribute(engine.name), bpy.props.PointerProperty(type=made))
    _made[engine.name] = engine.settings, made


def _remove(name: str) -> None:
    known = _made.pop(name, None)
    if known is not None:
        with contextlib.suppress(AttributeError, RuntimeError):
            delattr(bpy.types.Scene, attribute(name))
        bpy.utils.unregister_class(known[1])


def _property(spec: Setting) -> Any:
    shared: dict[str, Any] = {"name": _title(spec.name), "description": spec.help.rstrip("."), "default": spec.default}
    limits = {key: value for key, value in (("min", spec.minimum), ("max", spec.maximum)) if value is not None}
    if spec.kind == "choice":
        return bpy.props.EnumProperty(**shared, items=[(c, _title(c), "") for c in spec.choices])
    if spec.kind not in ("int", "float"):
        return (bpy.props.BoolProperty if spec.kind == "bool" else bpy.props.StringProperty)(**shared)
    number, kind = (int, bpy.props.IntProperty) if spec.kind == "int" else (float, bpy.props.FloatProperty)
    return kind(**{**shared, "default": number(spec.default or 0)}, **{key: number(v) for key, v in limits.items()})


def attribute(engine: str) -> str:
    """What the scene calls the group of that engine's settings."""
    return PREFIX + identifier(engine)


def identifier(name: str) -> str:
    """What the group calls a setting."""
    cleaned = re.sub(r"\W", "_", name)
    return f"s_{cleaned}" if cleaned[:1].isdigit() or cleaned.startswith("_") else cleaned


def _title(name: str) -> str:
    return " ".join(TERMS.get(word, word.title()) for word in name.split("_"))
