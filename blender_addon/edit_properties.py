"""What an open edit keeps in the .blend, on the shot's mesh object."""

# pyright: reportInvalidTypeForm=false

import bpy


class EX4D_PG_edit(bpy.types.PropertyGroup):
    """The frame being edited, and what ends the edit; and the layer chosen in the list."""

    active: bpy.props.BoolProperty(name="Being Edited", description="Whether Edit This Frame is on", options={"HIDDEN"})
    frame: bpy.props.IntProperty(name="Frame", description="Scene frame that is being edited")
    backup: bpy.props.PointerProperty(
        name="Mesh Before the Edit", description="What Discard brings back", type=bpy.types.Mesh
    )
    topology: bpy.props.StringProperty(
        name="Topology Before the Edit", description="By which a changed topology is noticed"
    )
    cache_name: bpy.props.StringProperty(name="Mesh Cache", description="What the mesh cache modifier was called")
    hidden_json: bpy.props.StringProperty(
        name="Modifiers Hidden by the Edit", description="They come back when it is finished"
    )
    active_layer: bpy.props.IntProperty(
        name="Active Layer", description="The layer that the buttons beside the list act on", default=-1
    )
    painting: bpy.props.BoolProperty(
        name="Being Painted", description="Whether thickness is being painted", options={"HIDDEN"}
    )
    paint_frame: bpy.props.IntProperty(name="Painted Frame", description="Source frame whose thickness was taken up")
    paint_full: bpy.props.FloatProperty(name="Full Weight", description="Length that a weight of 1 stands for")


CLASSES = (EX4D_PG_edit,)


def attach() -> None:
    """Hang the group on Object (after its class is registered)."""
    bpy.types.Object.ex4d_edit = bpy.props.PointerProperty(type=EX4D_PG_edit)


def detach() -> None:
    """Take the group off again (before its class is unregistered)."""
    del bpy.types.Object.ex4d_edit
