"""Procedural materials: plaster, tiles, stripes, noise colours. No image files, so nothing to license or lose."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

Colour = tuple[float, float, float]


def _principled(name: str, roughness: float, metallic: float = 0.0) -> tuple[bpy.types.Material, bpy.types.Node]:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    return material, shader


def _coordinates(material: bpy.types.Material, scale: Sequence[float], space: str) -> bpy.types.NodeSocket:
    tree = material.node_tree
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    mapping = tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = scale
    tree.links.new(coordinates.outputs[space], mapping.inputs["Vector"])
    return mapping.outputs["Vector"]


def plain(
    name: str, colour: Colour, *, roughness: float = 0.5, metallic: float = 0.0, emission: float = 0.0
) -> bpy.types.Material:
    """One colour."""
    material, shader = _principled(name, roughness, metallic)
    shader.inputs["Base Color"].default_value = (*colour, 1)
    if emission:
        shader.inputs["Emission Color"].default_value = (*colour, 1)
        shader.inputs["Emission Strength"].default_value = emission
    return material


def speckled(
    name: str,
    dark: Colour,
    light: Colour,
    *,
    scale: float = 4.0,
    detail: float = 4.0,
    roughness: float = 0.8,
    bump: float = 0.1,
    contrast: tuple[float, float] = (0.35, 0.65),
    stretch: Sequence[float] = (1, 1, 1),
    space: str = "Object",
) -> bpy.types.Material:
    """Noise between two colours with a matching bump: plaster, stone, bark, leaves, hills."""
    material, shader = _principled(name, roughness)
    tree = material.node_tree
    texture = tree.nodes.new("ShaderNodeTexNoise")
    texture.inputs["Scale"].default_value = scale
    texture.inputs["Detail"].default_value = detail
    tree.links.new(_coordinates(material, stretch, space), texture.inputs["Vector"])
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = contrast
    ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[1].color = (*dark, 1), (*light, 1)
    tree.links.new(texture.outputs["Fac"], ramp.inputs["Fac"])
    tree.links.new(ramp.outputs["Color"], shader.inputs["Base Color"])
    if bump:
        _bump(material, shader, texture.outputs["Fac"], bump)
    return material


def _bump(material: bpy.types.Material, shader: bpy.types.Node, height: bpy.types.NodeSocket, strength: float) -> None:
    node = material.node_tree.nodes.new("ShaderNodeBump")
    node.inputs["Strength"].default_value = strength
    node.inputs["Distance"].default_value = 0.05
    material.node_tree.links.new(height, node.inputs["Height"])
    material.node_tree.links.new(node.outputs["Normal"], shader.inputs["Normal"])


def tiles(
    name: str,
    first: Colour,
    second: Colour,
    joint: Colour,
    *,
    scale: float = 1.0,
    offset: float = 0.5,
    size: tuple[float, float] = (0.5, 0.25),
    joint_width: float = 0.012,
    roughness: float = 0.55,
    space: str = "Object",
    stretch: Sequence[float] = (1, 1, 1),
) -> bpy.types.Material:
    """Bricks, paving or planks in the xy plane of the chosen space."""
    material, shader = _principled(name, roughness)
    tree = material.node_tree
    texture = tree.nodes.new("ShaderNodeTexBrick")
    texture.offset = offset
    for socket, value in (("Color1", first), ("Color2", second), ("Mortar", joint)):
        texture.inputs[socket].default_value = (*value, 1)
    texture.inputs["Scale"].default_value = scale
    texture.inputs["Brick Width"].default_value, texture.inputs["Row Height"].default_value = size
    texture.inputs["Mortar Size"].default_value = joint_width
    texture.inputs["Mortar Smooth"].default_value = 0.2
    tree.links.new(_coordinates(material, stretch, space), texture.inputs["Vector"])
    stain = tree.nodes.new("ShaderNodeTexNoise")
    stain.inputs["Scale"].default_value = 2.3
    stain.inputs["Detail"].default_value = 3.0
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type, mix.blend_type = "RGBA", "SOFT_LIGHT"
    mix.inputs["Factor"].default_value = 0.55
    tree.links.new(texture.outputs["Color"], mix.inputs["A"])
    tree.links.new(stain.outputs["Fac"], mix.inputs["B"])
    tree.links.new(mix.outputs["Result"], shader.inputs["Base Color"])
    return material


def backdrop(
    name: str, low: Colour, high: Colour, *, strength: float = 1.0, span: tuple[float, float] = (0.0, 1.0)
) -> bpy.types.Material:
    """A shadeless gradient over ``span`` of the object's own height (0..1): a painted sky."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    split = tree.nodes.new("ShaderNodeSeparateXYZ")
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    emission = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[1].color = (*low, 1), (*high, 1)
    ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = span
    emission.inputs["Strength"].default_value = strength
    tree.links.new(coordinates.outputs["Generated"], split.inputs[0])
    tree.links.new(split.outputs["Y"], ramp.inputs["Fac"])
    tree.links.new(ramp.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material


def striped(name: str, colours: Sequence[Colour], *, roughness: float = 0.35) -> list[bpy.types.Material]:
    """One material per colour, for meshes that set material indices (a beach ball, an awning)."""
    return [plain(f"{name}{i}", c, roughness=roughness) for i, c in enumerate(colours)]
