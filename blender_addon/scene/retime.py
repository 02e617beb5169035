"""Source time in the viewport: mesh, footage and visibility follow the shot's keyframed Source Frame.

The backend shows the source frame nearest to the source time, halves going to the later one. Blender does the same
here with drivers and no Python at playback: the Mesh Cache plays a driven frame (``play_mode`` CUSTOM), and each image
sequence is shifted by a driven offset. The expressions use arithmetic and ``floor`` only, which Blender evaluates
itself, also where running scripts is not allowed.
"""

from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np

from . import layers, rig
from .drivers import Variable, drive
from .mesh import CACHE_NAME

SOURCE_TIME = "ex4d.source_time"


def follow(shot: bpy.types.Object) -> None:
    """Make the shot's mesh and footage play the source time, or the timeline again."""
    body = shot.ex4d.mesh
    if body is None:
        return
    props, cache = shot.ex4d, body.modifiers.get(CACHE_NAME)
    if cache is not None:
        cache.play_mode = "CUSTOM" if props.use_source_time else "SCENE"
        _drive(cache, "eval_frame", shot)
    for layer in layers.stack(body):  # they count their frames along the source
        layers.set_input(layer, "Retimed", bool(props.use_source_time))
        _drive(body, layers.object_path(layer, "Shown Frame"), shot, f" + {props.frame_start}")
    for tree, node in _nodes_of(body.data.materials):
        _shift(tree, node, shot)
    rig.follow(shot)


def _drive(owner: Any, path: str, shot: bpy.types.Object, more: str = "") -> None:
    """Have ``path`` follow the source frame, ``more`` added; nothing drives it in a shot that is not retimed."""
    owner.driver_remove(path)
    if shot.ex4d.use_source_time:
        frame = f"min(max(floor(time + 0.5), 0), {shot.ex4d.num_frames - 1})"
        drive(owner.driver_add(path), f"{frame}{more}", Variable("time", shot, SOURCE_TIME))


def shown_frame(context: bpy.types.Context, shot: bpy.types.Object) -> int:
    """The scene frame that would show, without retiming, the source frame shown now."""
    index = retimed_index(shot.evaluated_get(context.evaluated_depsgraph_get()))
    return context.scene.frame_current if index is None else shot.ex4d.frame_start + index


def retimed_index(shown: bpy.types.Object) -> int | None:
    """The source frame, counted from 0, that an evaluated shot shows; None if it is not retimed."""
    props = shown.ex4d
    if not props.use_source_time:
        return None
    return int(np.clip(np.floor(props.source_time + 0.5), 0, props.num_frames - 1))


def _shift(tree: bpy.types.NodeTree, node: Any, shot: bpy.types.Object) -> None:
    path = f'nodes["{bpy.utils.escape_identifier(node.name)}"].image_user.frame_offset'
    _drive(tree, path, shot, f" - frame + {shot.ex4d.frame_start}")
    if shot.ex4d.use_source_time:
        # Blender holds a sequence to its own length before it adds the offset; all frames must pass.
        node.image_user.use_cyclic = False
    else:
        node.image_user.frame_offset = 0


def follow_material(material: bpy.types.Material, shot: bpy.types.Object) -> None:
    """Make a material that shows the source outside the mesh play the source time, too."""
    for tree, node in _nodes_of([material]):
        _shift(tree, node, shot)


def _nodes_of(materials: Iterable[bpy.types.Material | None]) -> list[tuple[bpy.types.NodeTree, Any]]:
    return [
        (material.node_tree, node)
        for material in materials
        if material is not None and material.node_tree is not None
        for node in material.node_tree.nodes
        if node.bl_idname == "ShaderNodeTexImage"
    ]
