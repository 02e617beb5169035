"""Materials that show footage without changing its colours.

Emission of strength 1 from an sRGB image leaves the source's pixel values under the Standard and Raw-by-sRGB view
transforms; nothing in the scene lights or shades it. Hidden faces are Holdout: they still block what is behind
them, and render with alpha 0, as the guides' mask does.
"""

import os
from pathlib import Path
from typing import Any

import bpy

from ex4d_ground.files import frame_name

from ..work import compat, files
from . import colours
from .node_graph import Graph

MASK_THRESHOLD = 125 / 255
"""A point is shown where the interpolated visibility exceeds this (the published threshold, alpha > 125 of 255)."""


_SUFFIXES = (".png", ".jpg")
OURS = "ex4d_footage"
"""Marks images that show a shot's own footage."""


def movie_frames(path: Path) -> int:
    """How many frames Blender finds in a video file; 0 if it plays none."""
    try:
        image = bpy.data.images.load(str(path), check_existing=False)
    except RuntimeError:
        return 0
    try:
        return image.frame_duration if image.source == "MOVIE" else 0
    finally:
        bpy.data.images.remove(image)


def load_footage(folder: Path, video: Path, *, name: str) -> bpy.types.Image:
    """A shot's footage: the pictures that the backend sent to ``folder``; where it sent none, the ``video`` itself."""
    if has_frames(folder) or not video.is_file():
        image = load_sequence(folder, name=name, colour=True)
    else:
        image = bpy.data.images.load(str(video), check_existing=False)
        image.name = name
        colours.read_as_footage(image)
        image.alpha_mode = "NONE"
        image.filepath = files.blender_path(video, bpy.data.filepath)
    image[OURS] = True
    return image


def lost_movie(body: bpy.types.Object) -> str:
    """The video that a shot's mesh plays its footage from, if it is not there any more; else "". Panels ask."""
    for material in body.data.materials:
        for node in material.node_tree.nodes if material is not None and material.node_tree is not None else ():
            image: Any = getattr(node, "image", None)
            if image is None or image.source != "MOVIE" or not image.get(OURS) or image.packed_file is not None:
                continue
            path = bpy.path.abspath(image.filepath, library=image.library)
            if not os.path.exists(path):  # noqa: PTH110 - called on every redraw; no Path needs making
                return path
    return ""


def has_frames(folder: Path) -> bool:
    """Whether a sequence lies there."""
    return any((folder / frame_name(0, suffix)).exists() for suffix in _SUFFIXES)


def load_sequence(folder: Path, *, name: str, colour: bool) -> bpy.types.Image:
    """The numbered pictures of ``folder`` as one image. ``colour`` False marks data (masks): read as they are."""
    suffix = next((each for each in _SUFFIXES if (folder / frame_name(0, each)).exists()), ".png")
    first = folder / frame_name(0, suffix)
    if not first.exists():  # a take that is not whole
        first = min(folder.glob("frame_*.png"), default=first)
    image = bpy.data.images.load(str(first), check_existing=False)
    image.name = name
    image.source = "SEQUENCE"
    (colours.read_as_footage if colour else colours.read_as_data)(image)
    image.alpha_mode = "NONE"
    image.filepath = files.blender_path(folder / frame_name(0, suffix), bpy.data.filepath)
    return image


def use_frames(user: bpy.types.ImageUser, *, frame_start: int, num_frames: int) -> None:
    """Make a sequence's file 1 appear at ``frame_start``. Every field is set: the defaults differ by owner."""
    user.frame_duration = num_frames
    user.frame_start = frame_start
    user.frame_offset = 0
    user.use_cyclic = False
    user.use_auto_refresh = True


def images_of(material: bpy.types.Material) -> list[tuple[bpy.types.Image, bpy.types.ImageUser]]:
    """Images that a material's nodes show, each with what says which frame."""
    tree: Any = material.node_tree
    nodes = [node for node in tree.nodes if node.bl_idname == "ShaderNodeTexImage"] if tree is not None else []
    return [(node.image, node.image_user) for node in nodes if node.image is not None]


def footage_material(
    name: str, colour: bpy.types.Image, visible: bpy.types.Image, *, frame_start: int, num_frames: int
) -> bpy.types.Material:
    """Footage where ``visible`` exceeds the mask threshold, Holdout elsewhere."""
    material, graph = _empty_material(name)
    shown = _emission(graph, _image_node(graph, colour, frame_start, num_frames, (-600, 200)), (-200, 200))
    mask = _image_node(graph, visible, frame_start, num_frames, (-600, -120))
    holdout = graph.node("ShaderNodeHoldout", (-200, 40))
    mix = graph.node("ShaderNodeMixShader", (40, 100))
    graph.link(graph.math("GREATER_THAN", mask.outputs["Color"], MASK_THRESHOLD, (-200, -120)), mix.inputs[0])
    graph.link(holdout.outputs[0], mix.inputs[1])
    graph.link(shown, mix.inputs[2])
    _surface(graph, mix.outputs[0], (260, 100))
    return material


def holdout_material(name: str) -> bpy.types.Material:
    """Blocks and shows nothing: for the caps that close the mesh behind its border."""
    material, graph = _empty_material(name)
    _surface(graph, graph.node("ShaderNodeHoldout", (0, 0)).outputs[0], (220, 0))
    return material


def plate_material(name: str, image: bpy.types.Image, *, frame_start: int, num_frames: int) -> bpy.types.Material:
    """A sequence as it is: for a take's plane."""
    material, graph = _empty_material(name)
    shown = _image_node(graph, image, frame_start, num_frames, (-400, 0))
    _surface(graph, _emission(graph, shown, (-100, 0)), (120, 0))
    return material


def base_colour(material: bpy.types.Material | None) -> tuple[float, float, float]:
    """A material's flat colour, linear: what its surface shader has unless that is textured, else its viewport colour.

    No material is Blender's own grey.
    """
    if material is None:
        return (0.8, 0.8, 0.8)
    tree: Any = material.node_tree
    for node in tree.nodes if compat.uses_nodes(material) and tree is not None else ():
        name = {"BSDF_PRINCIPLED": "Base Color", "BSDF_DIFFUSE": "Color", "EMISSION": "Color"}.get(node.type)
        if name is not None and not node.inputs[name].is_linked:
            return tuple(node.inputs[name].default_value[:3])
    return tuple(material.diffuse_color[:3])


def _empty_material(name: str) -> tuple[bpy.types.Material, Graph]:
    material = bpy.data.materials.new(name)
    compat.use_nodes(material)
    if hasattr(material, "cycles"):
        material.cycles.emission_sampling = "NONE"  # footage lights nothing; a light tree of it costs seconds
    tree: Any = material.node_tree
    tree.nodes.clear()
    return material, Graph(tree)


def _emission(graph: Graph, shown: bpy.types.Node, place: tuple[float, float]) -> bpy.types.NodeSocket:
    emission = graph.node("ShaderNodeEmission", place)
    graph.link(shown.outputs["Color"], emission.inputs["Color"])
    return emission.outputs[0]


def _surface(graph: Graph, shader: bpy.types.NodeSocket, place: tuple[float, float]) -> None:
    graph.link(shader, graph.node("ShaderNodeOutputMaterial", place).inputs["Surface"])


def _image_node(
    graph: Graph, image: bpy.types.Image, frame_start: int, num_frames: int, place: tuple[float, float]
) -> bpy.types.Node:
    node = graph.node("ShaderNodeTexImage", place, image=image, interpolation="Linear", extension="EXTEND")
    use_frames(node.image_user, frame_start=frame_start, num_frames=num_frames)
    return node
