"""What Blender's versions call or do differently, from 4.2 on: each difference is told here, and asked for here.

Curves of actions, which have slots and channel bags from 5.0, are ``scene.keyframes``'s.
"""

import re
from dataclasses import dataclass
from typing import Any

import bpy

_nodes_modifier: Any = bpy.types.NodesModifier
INPUTS_ARE_PROPERTIES = "properties" in _nodes_modifier.bl_rna.properties
"""Whether Geometry Nodes modifiers hold their inputs in a structure (from 5.2), else as custom properties."""
MODIFIER_INPUTS = ".properties.inputs." if INPUTS_ARE_PROPERTIES else "["
"""What comes between a modifier's path and the name of an input."""

_brush: Any = bpy.types.Brush
BRUSH_TOOL = "sculpt_brush_type" if "sculpt_brush_type" in _brush.bl_rna.properties else "sculpt_tool"
"""What a brush for Sculpt Mode is; renamed in 5.0."""
BRUSHES_ARE_ASSETS = bpy.app.version >= (4, 3, 0)
"""Whether a brush is taken up as an asset, by an operator; before, it is set."""


_INPUT = re.compile(r'\.properties\.inputs\.(\w+)\.value|\["(Socket_\d+)"\]')


def modifier_input(modifier: bpy.types.Modifier, identifier: str) -> tuple[Any, str]:
    """Where a Geometry Nodes modifier holds an input of its group: an owner, and the value's path from that owner.

    Both serve ``layout.prop``. The path from the modifier itself is :func:`modifier_input_path`.
    """
    nodes: Any = modifier
    if INPUTS_ARE_PROPERTIES:
        return getattr(nodes.properties.inputs, identifier), "value"
    return nodes, f'["{identifier}"]'


def get_modifier_input(modifier: bpy.types.Modifier, identifier: str) -> Any:
    """The value of an input of a Geometry Nodes modifier."""
    nodes: Any = modifier
    return modifier_input(nodes, identifier)[0].value if INPUTS_ARE_PROPERTIES else nodes[identifier]


def set_modifier_input(modifier: bpy.types.Modifier, identifier: str, value: object) -> None:
    """Set an input of a Geometry Nodes modifier."""
    nodes: Any = modifier
    if INPUTS_ARE_PROPERTIES:
        modifier_input(nodes, identifier)[0].value = value
    else:
        nodes[identifier] = value


def modifier_input_path(identifier: str) -> str:
    """Path of an input's value from the modifier, for keyframes and drivers."""
    return f"{MODIFIER_INPUTS}{identifier}.value" if INPUTS_ARE_PROPERTIES else f'{MODIFIER_INPUTS}"{identifier}"]'


def own_input_path(path: str) -> str:
    """A path of an input, from its modifier, as this Blender has it, whichever version wrote it; any other as it is."""
    found = _INPUT.fullmatch(path)
    return modifier_input_path(found[1] or found[2]) if found else path


def strips_of(owner: Any) -> Any:
    """The strips on a sequencer's top level or right in a meta strip, to read or to add to."""
    return owner.strips if hasattr(owner, "strips") else owner.sequences  # renamed in 4.4


def all_strips_of(editor: bpy.types.SequenceEditor) -> Any:
    """All strips of the sequencer, those inside meta strips among them."""
    anyhow: Any = editor
    return anyhow.strips_all if hasattr(anyhow, "strips_all") else anyhow.sequences_all  # renamed in 4.4


@dataclass(frozen=True)
class Cut:
    """Which of its frames a strip shows."""

    skipped: int
    """Frames of the footage before the first that is shown."""
    length: int
    """Frames that are shown."""
    content: int
    """Frames that the strip could show, once its content is trimmed."""


def cut_of(strip: Any) -> Cut:
    """Which of its frames a strip shows. Names changed in 5.1; the old ones warn there and go in 6.0."""
    if hasattr(strip, "content_trim_start"):
        offset, trim, length, content = (
            strip.left_handle_offset, strip.content_trim_start, strip.duration, strip.content_duration,
        )  # fmt: skip
    else:
        offset, trim, length, content = (
            strip.frame_offset_start, strip.animation_offset_start, strip.frame_final_duration, strip.frame_duration,
        )  # fmt: skip
    return Cut(int(offset) + int(trim), int(length), int(content))


def span_of(strip: Any) -> tuple[int, int]:
    """The first scene frame that shows the strip, and the first that does not any more."""
    new = hasattr(strip, "left_handle")  # from 5.1
    first, end = (strip.left_handle, strip.right_handle) if new else (strip.frame_final_start, strip.frame_final_end)
    return int(first), int(end)


def cut_to(strip: Any, first: int, end: int) -> None:
    """Have a strip be shown from one scene frame to before another, both within what it is shown in."""
    if hasattr(strip, "left_handle"):
        strip.left_handle, strip.right_handle = first, end
    else:
        strip.frame_final_start, strip.frame_final_end = first, end


def uses_nodes(material: bpy.types.Material) -> bool:
    """Whether a material's nodes count; from 5.0 every material has them, and asking warns."""
    return bpy.app.version >= (5, 0, 0) or material.use_nodes


def use_nodes(material: bpy.types.Material) -> None:
    """Give a material nodes; from 5.0 every material has them from the start."""
    if material.node_tree is None:
        material.use_nodes = True


def write_video(settings: bpy.types.ImageFormatSettings) -> None:
    """Have a render write a video by FFmpeg; from 5.0 the kind of medium is chosen before its format."""
    anyhow: Any = settings
    if hasattr(anyhow, "media_type"):
        anyhow.media_type = "VIDEO"
    anyhow.file_format = "FFMPEG"


def relative_path_options() -> set[str]:
    """Options by which a path property holds ``//`` paths without a warning; from 4.5."""
    return {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
