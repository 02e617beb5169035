"""What edits keep in the .blend: a shot's occluders and how its thickness is painted, and an edit that is open."""

from functools import partial

import bpy

from ..scene.properties import draw_again
from ..work import hooks
from ..work.properties import OWN, Choice, Flag, Number, Pointer, Share, Text, Whole

PAINTED_AS = (
    ("LENGTH", "Length", "A length in the unit of the clip's depth"),
    ("SHARE", "Share of Depth", "A share of each point's distance on the frame shown"),
)
DRAWN = {"update": draw_again, "override": OWN}
"""What guides depend on."""
Painted = partial(Number, default=0.1, min=1e-4, soft_max=10.0)
EdgeRatio = partial(Number, "Edge Ratio", default=1.1, min=1.001, max=1000.0)
Strength = partial(Share, "Strength", "How much of the change is made", default=1.0)


class ShotProperties:
    """What hides what behind it, in the guides of a shot."""

    occluders: Choice(
        "Occluders",
        "What blocks the view behind what the source shows, in guides, coverage and takes",
        ("ENDLESS", "Endless", "Edges reach to the background, as the mesh here shows: what EX-4D was trained on"),
        ("SOLID", "Solid", "Things have a thickness: far more of the source is kept when the camera moves a lot"),
        **DRAWN,
    )
    thickness_by: Choice(
        "Thickness",
        "How deep solid things are taken to be, behind their outline",
        ("AUTO", "Automatic", "Estimated from what is seen of each"),
        ("SHARE", "Share of Depth", "The same share of the distance for all"),
        ("LENGTH", "Length", "The same length for all, in the clip's own unit"),
        **DRAWN,
    )
    thickness_share: Share(
        "Share of Depth",
        "Thickness of solid things as a share of their distance from the source camera",
        default=0.1,
        **DRAWN,
    )
    thickness_length: Number(
        "Length", "Thickness of solid things in the unit of the clip's depth", default=0.1, min=0.0, **DRAWN
    )
    paint_by: Choice("Painted As", "What the thickness given to a selection means", *PAINTED_AS, override=OWN)
    paint_length: Painted(
        "Length", "Thickness to give, in the unit of the clip's depth; a weight of 1 in Weight Paint mode", override=OWN
    )
    paint_share: Share(
        "Share of Depth",
        "Thickness to give, as a share of each point's distance on the frame shown",
        default=0.1,
        min=1e-4,
        override=OWN,
    )
    show_thickness: Flag(
        "Show Painted Thickness",
        "Tint what has a painted thickness in the 3D view: yellow is thin, violet is thick",
        default=True,
        update=lambda _self, _context: hooks.redraw(hooks.VIEWS),
        override=OWN,
    )
    show_moving: Flag(
        "Show What Moves",
        "Tint red in the 3D view what is said to move by itself",
        default=True,
        update=lambda _self, _context: hooks.redraw(hooks.VIEWS),
        override=OWN,
    )
    other_frames: Flag(
        "Other Frames", "Show, behind what is nearer, the background that other frames of a still camera saw", **DRAWN
    )


class EX4D_PG_edit(bpy.types.PropertyGroup):
    """The frame being edited, and what ends the edit; and the layer chosen in the list. On the shot's mesh object."""

    active: Flag("Being Edited", "Whether Edit This Frame is on", options={"HIDDEN"})
    frame: Whole("Frame", "Scene frame that is being edited")
    backup: Pointer("Mesh Before the Edit", "What Discard brings back", type=bpy.types.Mesh)
    topology: Text("Topology Before the Edit", "By which a changed topology is noticed")
    cache_name: Text("Mesh Cache", "What the mesh cache modifier was called")
    hidden_json: Text("Modifiers Hidden by the Edit", "They come back when it is finished")
    locks_json: Text("Locks Before the Edit", "The artist's own locks of axes, which come back", options={"HIDDEN"})
    view_json: Text("View Before the Edit", "The view's own overlays, which come back", options={"HIDDEN"})
    active_layer: Whole("Active Layer", "The layer that the buttons beside the list act on", default=-1)
    painting: Flag("Being Painted", "Whether thickness, or what moves, is being painted", options={"HIDDEN"})
    paints_moving: Flag("Paints What Moves", "Whether it is what moves by itself that is painted", options={"HIDDEN"})
    paint_frame: Whole("Painted Frame", "Source frame whose thickness was taken up")
    paint_full: Number("Full Weight", "Length that a weight of 1 stands for")
