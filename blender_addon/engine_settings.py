"""An engine's settings as Blender properties, made from what the backend advertises.

Each engine gets a property group on Scene (``ex4d_engine_<name>``) with the advertised types, ranges, choices and help,
so that its controls, tooltips and limits are Blender's own and the values are saved in the .blend. A group is replaced
only when what is advertised changes.
"""

# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from typing import Any

import bpy

from ex4d_protocol.messages import EngineSpec, SettingSpec

from .errors import AddonError

PREFIX = "ex4d_engine_"

_made: dict[str, tuple[tuple[SettingSpec, ...], type]] = {}
"""Engine name -> (what it was made from, the class)."""


def sync(engines: Iterable[EngineSpec]) -> None:
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
    return getattr(scene, PREFIX + _identifier(engine), None) if engine in _made else None


def values(scene: bpy.types.Scene, engine: str) -> dict[str, bool | int | float | str]:
    """What the scene has chosen, by setting; empty while the engine is unknown."""
    found = group(scene, engine)
    if found is None:
        return {}
    return {spec.name: getattr(found, _identifier(spec.name)) for spec in _made[engine][0]}


def restore(scene: bpy.types.Scene, engine: str, chosen: dict[str, Any]) -> list[str]:
    """Set the scene's settings to those of a take; returns the names this backend does not have any more."""
    found = group(scene, engine)
    unknown = []
    for spec in _made[engine][0] if found is not None else ():
        setattr(found, _identifier(spec.name), spec.default)
    for name, value in chosen.items():
        try:
            setattr(found, _identifier(name), value)
        except (AttributeError, TypeError):
            unknown.append(name)
    return unknown


def from_json(text: str) -> dict[str, Any]:
    """Settings as a script gives them. Raises AddonError if ``text`` is no JSON object."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise AddonError(f'The engine settings are not JSON ({error}); write them like {{"steps": 25}}.') from error
    if not isinstance(found, dict):
        raise AddonError('The engine settings must be a JSON object, like {"steps": 25}.')
    return found


def draw(layout: bpy.types.UILayout, scene: bpy.types.Scene, engine: EngineSpec) -> None:
    """One control per setting."""
    found = group(scene, engine.name)
    if found is None:
        return
    column = layout.column()
    for spec in engine.settings:
        if spec.kind == "choice" and len(spec.choices) > 3:
            column.prop(found, _identifier(spec.name))
        elif spec.kind == "choice":
            column.label(text=_title(spec.name) + ":")
            column.row().prop(found, _identifier(spec.name), expand=True)
        else:
            column.prop(found, _identifier(spec.name), slider=spec.kind == "float" and _is_short_range(spec))


def _make(engine: EngineSpec) -> None:
    annotations = {_identifier(spec.name): _property(spec) for spec in engine.settings}
    name = "EX4D_PG_engine_" + _identifier(engine.name)
    made = type(name, (bpy.types.PropertyGroup,), {"__annotations__": annotations, "__doc__": engine.title})
    bpy.utils.register_class(made)
    setattr(bpy.types.Scene, PREFIX + _identifier(engine.name), bpy.props.PointerProperty(type=made))
    _made[engine.name] = engine.settings, made


def _remove(name: str) -> None:
    known = _made.pop(name, None)
    if known is not None:
        with contextlib.suppress(AttributeError, RuntimeError):
            delattr(bpy.types.Scene, PREFIX + _identifier(name))
        bpy.utils.unregister_class(known[1])


def _property(spec: SettingSpec) -> Any:
    shared: dict[str, Any] = {"name": _title(spec.name), "description": spec.help.rstrip("."), "default": spec.default}
    limits = {key: value for key, value in (("min", spec.minimum), ("max", spec.maximum)) if value is not None}
    match spec.kind:
        case "int":
            return bpy.props.IntProperty(**shared, **{key: int(value) for key, value in limits.items()})
        case "float":
            shared["default"] = float(spec.default or 0)
            return bpy.props.FloatProperty(**shared, **limits)
        case "bool":
            return bpy.props.BoolProperty(**shared)
        case "choice":
            return bpy.props.EnumProperty(**shared, items=[(c, _title(c), "") for c in spec.choices])
        case _:
            return bpy.props.StringProperty(**shared)


def _is_short_range(spec: SettingSpec) -> bool:
    return spec.minimum is not None and spec.maximum is not None and spec.maximum - spec.minimum <= 2


def _identifier(name: str) -> str:
    cleaned = re.sub(r"\W", "_", name)
    return f"s_{cleaned}" if cleaned[:1].isdigit() or cleaned.startswith("_") else cleaned


def _title(name: str) -> str:
    return name.replace("_", " ").title()
