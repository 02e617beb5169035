"""Source time in the viewport: mesh, footage and visibility follow the shot's keyframed Source Frame.

The backend shows the source frame nearest to the source time, halves going to the later one. Blender does the same
here with drivers and no Python at playback: the Mesh Cache plays a driven frame (``play_mode`` CUSTOM), and each image
sequence is shifted by a driven offset. The expressions use arithmetic and ``floor`` only, which Blender evaluates
itself, also where running scripts is not allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np

from . import layers
from .mesh import CACHE_NAME

SOURCE_TIME = "ex4d.source_time"


def follow(shot: bpy.types.Object) -> None:
    """Make the shot's mesh and footage play the source time, or the timeline again."""
    body = shot.ex4d.mesh
    if body is None:
        return
    _play(body.modifiers.get(CACHE_NAME), shot)
    for layer in layers.stack(body):
        _follow_layer(body, layer, shot)
    for tree, node in _image_nodes(body):
        _shift(tree, node, shot)


def _play(cache: bpy.types.Modifier | None, shot: bpy.types.Object) -> None:
    if cache is None:
        return
    cache.driver_remove("eval_frame")
    props = shot.ex4d
    cache.play_mode = "CUSTOM" if props.use_source_time else "SCENE"
    if props.use_source_time:
        last = props.num_frames - 1
        _drive(cache.driver_add("eval_frame"), shot, f"min(max(floor(time + 0.5), 0), {last})")


def shown_frame(context: bpy.types.Context, shot: bpy.types.Object) -> int:
    """The scene frame that would show, without retiming, the source frame shown now."""
    props = shot.evaluated_get(context.evaluated_depsgraph_get()).ex4d
    if not props.use_source_time:
        return context.scene.frame_current
    return props.frame_start + int(np.clip(np.floor(props.source_time + 0.5), 0, props.num_frames - 1))


def _follow_layer(body: bpy.types.Object, layer: bpy.types.Modifier, shot: bpy.types.Object) -> None:
    """Edit layers count their frames along the source."""
    path = layers.object_path(layer, "Shown Frame")
    body.driver_remove(path)
    props = shot.ex4d
    layers.set_input(layer, "Retimed", bool(props.use_source_time))
    if props.use_source_time:
        last, start = props.num_frames - 1, props.frame_start
        _drive(body.driver_add(path), shot, f"min(max(floor(time + 0.5), 0), {last}) + {start}")


def _shift(tree: bpy.types.NodeTree, node: Any, shot: bpy.types.Object) -> None:
    path = f'nodes["{bpy.utils.escape_identifier(node.name)}"].image_user.frame_offset'
    tree.driver_remove(path)
    node.image_user.frame_offset = 0
    props = shot.ex4d
    if props.use_source_time:
        last, start = props.num_frames - 1, props.frame_start
        _drive(tree.driver_add(path), shot, f"min(max(floor(time + 0.5), 0), {last}) - frame + {start}")
        # Blender holds a sequence to its own length before it adds the offset; all frames must pass.
        node.image_user.use_cyclic = False


def _drive(curve: bpy.types.FCurve, shot: bpy.types.Object, expression: str) -> None:
    driver = curve.driver
    driver.type = "SCRIPTED"
    variable = driver.variables.new()
    variable.name = "time"
    variable.targets[0].id = shot
    variable.targets[0].data_path = SOURCE_TIME
    driver.expression = expression


def follow_material(material: bpy.types.Material, shot: bpy.types.Object) -> None:
    """Make a material that shows the source outside the mesh play the source time, too."""
    for tree, node in _nodes_of([material]):
        _shift(tree, node, shot)


def _image_nodes(body: bpy.types.Object) -> list[tuple[bpy.types.NodeTree, Any]]:
    return _nodes_of(body.data.materials)


def _nodes_of(materials: Iterable[bpy.types.Material | None]) -> list[tuple[bpy.types.NodeTree, Any]]:
    return [
        (material.node_tree, node)
        for material in materials
        if material is not None and material.node_tree is not None
        for node in material.node_tree.nodes
        if node.bl_idname == "ShaderNodeTexImage"
    ]
