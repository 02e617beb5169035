"""Materials that show footage without changing its colours.

Emission of strength 1 from an sRGB image leaves the source's pixel values under the Standard and Raw-by-sRGB view
transforms; nothing in the scene lights or shades it. Hidden faces are Holdout: they still block what is behind
them, and render with alpha 0, as the guides' mask does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from . import files

MASK_THRESHOLD = 125 / 255
"""A point is shown where the interpolated visibility exceeds this (the published threshold, alpha > 125 of 255)."""


def load_sequence(folder: Path, *, blend_path: str, name: str, colour: bool) -> bpy.types.Image:
    """The numbered PNGs of ``folder`` as one image. ``colour`` False marks data (masks): read as they are."""
    first = folder / files.frame_name(0)
    if not first.exists():  # a take that is not whole
        first = min(folder.glob("frame_*.png"), default=first)
    image = bpy.data.images.load(str(first), check_existing=False)
    image.name = name
    image.source = "SEQUENCE"
    image.colorspace_settings.name = "sRGB" if colour else "Non-Color"
    image.alpha_mode = "NONE"
    image.filepath = files.blender_path(folder / files.frame_name(0), blend_path)
    return image


def use_frames(user: bpy.types.ImageUser, *, frame_start: int, num_frames: int) -> None:
    """Make a sequence's file 1 appear at ``frame_start``. Every field is set: the defaults differ by owner."""
    user.frame_duration = num_frames
    user.frame_start = frame_start
    user.frame_offset = 0
    user.use_cyclic = False
    user.use_auto_refresh = True


def footage_material(
    name: str, colour: bpy.types.Image, visible: bpy.types.Image, *, frame_start: int, num_frames: int
) -> bpy.types.Material:
    """Footage where ``visible`` exceeds the mask threshold, Holdout elsewhere."""
    material, tree = _empty_material(name)
    shown = _image_node(tree, colour, frame_start, num_frames, (-600, 200))
    mask = _image_node(tree, visible, frame_start, num_frames, (-600, -120))
    emission = _node(tree, "ShaderNodeEmission", (-200, 200))
    holdout = _node(tree, "ShaderNodeHoldout", (-200, 40))
    is_visible = _node(tree, "ShaderNodeMath", (-200, -120))
    is_visible.operation = "GREATER_THAN"
    is_visible.inputs[1].default_value = MASK_THRESHOLD
    mix = _node(tree, "ShaderNodeMixShader", (40, 100))
    output = _node(tree, "ShaderNodeOutputMaterial", (260, 100))
    tree.links.new(shown.outputs["Color"], emission.inputs["Color"])
    tree.links.new(mask.outputs["Color"], is_visible.inputs[0])
    tree.links.new(is_visible.outputs[0], mix.inputs[0])
    tree.links.new(holdout.outputs[0], mix.inputs[1])
    tree.links.new(emission.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], output.inputs["Surface"])
    return material


def holdout_material(name: str) -> bpy.types.Material:
    """Blocks and shows nothing: for the caps that close the mesh behind its border."""
    material, tree = _empty_material(name)
    holdout = _node(tree, "ShaderNodeHoldout", (0, 0))
    output = _node(tree, "ShaderNodeOutputMaterial", (220, 0))
    tree.links.new(holdout.outputs[0], output.inputs["Surface"])
    return material


def plate_material(name: str, image: bpy.types.Image, *, frame_start: int, num_frames: int) -> bpy.types.Material:
    """A sequence as it is: for a take's plane."""
    material, tree = _empty_material(name)
    shown = _image_node(tree, image, frame_start, num_frames, (-400, 0))
    emission = _node(tree, "ShaderNodeEmission", (-100, 0))
    output = _node(tree, "ShaderNodeOutputMaterial", (120, 0))
    tree.links.new(shown.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], output.inputs["Surface"])
    return material


def base_colour(material: bpy.types.Material | None) -> tuple[float, float, float]:
    """A material's flat colour, linear: what its surface shader has unless that is textured, else its viewport colour.

    No material is Blender's own grey.
    """
    if material is None:
        return (0.8, 0.8, 0.8)
    uses_nodes = bpy.app.version >= (5, 0, 0) or material.use_nodes  # from 5.0 every material does
    tree: Any = material.node_tree
    for node in tree.nodes if uses_nodes and tree is not None else ():
        name = {"BSDF_PRINCIPLED": "Base Color", "BSDF_DIFFUSE": "Color", "EMISSION": "Color"}.get(node.type)
        if name is not None and not node.inputs[name].is_linked:
            return tuple(node.inputs[name].default_value[:3])
    return tuple(material.diffuse_color[:3])


def _empty_material(name: str) -> tuple[bpy.types.Material, bpy.types.NodeTree]:
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # from 5.0 every material has its nodes from the start
        material.use_nodes = True
    if hasattr(material, "cycles"):
        material.cycles.emission_sampling = "NONE"  # footage lights nothing; a light tree of it costs seconds
    tree: Any = material.node_tree
    tree.nodes.clear()
    return material, tree


def _node(tree: bpy.types.NodeTree, kind: str, location: tuple[float, float]) -> bpy.types.Node:
    node = tree.nodes.new(kind)
    node.location = location
    return node


def _image_node(
    tree: bpy.types.NodeTree,
    image: bpy.types.Image,
    frame_start: int,
    num_frames: int,
    location: tuple[float, float],
) -> bpy.types.Node:
    node = _node(tree, "ShaderNodeTexImage", location)
    node.image = image
    node.interpolation = "Linear"
    node.extension = "EXTEND"
    use_frames(node.image_user, frame_start=frame_start, num_frames=num_frames)
    return node
