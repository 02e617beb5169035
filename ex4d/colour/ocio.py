"""Colour spaces by name, through OpenColorIO: log curves of cameras, a studio's own configuration."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ex4d_ground.arrays import Float32
from ex4d_ground.colour import ColourSpace
from ex4d_ground.errors import MissingExtraError, SettingError

BUILT_IN = "ocio://studio-config-latest"
"""OpenColorIO's own configuration, which has the cameras' log curves."""
_LINEAR_BT709 = ("Linear Rec.709 (sRGB)", "Linear Rec.709", "lin_rec709", "lin_rec709_scene", "Utility - Linear - sRGB")


def colour_space_by_name(name: str, config: Path | str | None = None) -> ColourSpace:
    """A space of a configuration: the one given, else that of $OCIO, else OpenColorIO's own.

    Raises SettingError for a name or a file that it does not know, MissingExtraError without OpenColorIO.
    """
    place = str(config or os.environ.get("OCIO", "") or BUILT_IN)
    opened = _config(place)
    found = opened.getColorSpace(name)
    if found is None:
        names = ", ".join(opened.getColorSpaceNames())
        raise SettingError(f"There is no colour space {name!r} in {place}; it has: {names}.")
    space = ColourSpace(primaries="", transfer="named", name=found.getName(), config=place)
    _processor(space, False)  # says now what cannot be converted
    return space


def to_linear_bt709(signals: Float32, space: ColourSpace) -> Float32:  # [..., 3]
    """Scene light in BT.709 primaries of signals of a named space."""
    return _applied(signals, _processor(space, False))


def from_linear_bt709(light: Float32, space: ColourSpace) -> Float32:  # [..., 3]
    """Signals of a named space, from scene light in BT.709 primaries."""
    return _applied(light, _processor(space, True))


def _applied(values: Float32, processor: Any) -> Float32:
    flat = np.array(values, np.float32, order="C").reshape(-1, 3)  # OpenColorIO writes into it
    if flat.size:
        processor.applyRGB(flat)
    return flat.reshape(values.shape)


def _library() -> Any:
    try:
        import PyOpenColorIO  # pyright: ignore[reportMissingImports] - an extra
    except ImportError as error:
        raise MissingExtraError("A colour space by name", "colour") from error
    return PyOpenColorIO


@lru_cache(maxsize=8)
def _config(place: str) -> Any:
    library = _library()
    if not place.startswith("ocio://") and not Path(place).is_file():
        raise SettingError(f"There is no OpenColorIO configuration {place}; check its path.")
    try:
        return library.Config.CreateFromFile(place)
    except library.Exception as error:
        reason = " ".join(str(error).split())
        raise SettingError(f"{place} is no OpenColorIO configuration that can be read ({reason}).") from error


@lru_cache(maxsize=32)
def _processor(space: ColourSpace, backwards: bool) -> Any:
    """From the space to linear BT.709, or back: within the configuration, else across to OpenColorIO's own."""
    library, config = _library(), _config(space.config)
    there = next((n for n in _LINEAR_BT709 if config.getColorSpace(n) is not None), None)
    try:
        if there is not None:
            names = (there, space.name) if backwards else (space.name, there)
            processor = config.getProcessor(*names)
        else:
            sides = [(config, space.name), (_config(BUILT_IN), _LINEAR_BT709[0])]
            (one, from_name), (other, to_name) = reversed(sides) if backwards else sides
            processor = library.Config.GetProcessorFromConfigs(one, from_name, other, to_name)
        return processor.getDefaultCPUProcessor()
    except library.Exception as error:
        reason = " ".join(str(error).split())
        raise SettingError(
            f"{space.name!r} of {space.config} cannot be converted ({reason}); choose another."
        ) from error
