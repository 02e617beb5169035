"""Drivers in arithmetic alone, which Blender evaluates itself, also where running scripts is not allowed."""

from dataclasses import dataclass

import bpy


@dataclass(frozen=True)
class Variable:
    """A driver's variable: a property of an object, a camera's lens or a scene."""

    name: str
    owner: bpy.types.ID
    path: str


def drive(curve: bpy.types.FCurve, expression: str, *variables: Variable) -> None:
    """Have a new driver's curve follow ``expression``."""
    driver = curve.driver
    driver.type = "SCRIPTED"
    for each in variables:
        variable = driver.variables.new()
        variable.name, target = each.name, variable.targets[0]
        if isinstance(each.owner, bpy.types.Scene | bpy.types.Camera):
            target.id_type = "SCENE" if isinstance(each.owner, bpy.types.Scene) else "CAMERA"
        target.id, target.data_path = each.owner, each.path
    driver.expression = expression
