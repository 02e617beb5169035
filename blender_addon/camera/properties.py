"""The move that the Camera panel has chosen."""

import math
from functools import partial
from typing import Any

from ..jobs import offers
from ..scene.properties import CameraPointer
from ..work import session
from ..work.properties import Choice, File, Flag, Number, Text

Centre = partial(
    Choice,
    "Centre",
    "What the move turns around, on the source camera's axis",
    ("NEAREST", "Nearest Point", "At the nearest point of the first frame, as EX-4D does"),
    ("MEDIAN", "Median Depth", "At the median depth of the first frame"),
    ("CURSOR", "3D Cursor", "At the depth of the 3D cursor"),
    ("POINT", "World Point", "At the 3D cursor, wherever that is: a point that stands still in the world"),
    ("OWN", "Own Depth", "At a depth of your own: the point in the 3D view can be dragged"),
)


Smoothing = partial(
    Number,
    "Strength",
    "What shakes faster than this is smoothed away, in seconds; 0 keeps all",
    min=0.0,
    soft_max=5.0,
    max=600.0,
    default=1.0,
    precision=2,
)


EASINGS = (
    ("AUTO", "As the Move", "The move's own easing"),
    ("linear", "Linear", "The same speed throughout"),
    ("ease_in", "Ease In", "Starts slowly"),
    ("ease_out", "Ease Out", "Ends slowly"),
    ("ease_in_out", "Ease In and Out", "Starts and ends slowly"),
)


class ObjectProperties:
    """What a camera keeps of the move that was keyed on it."""

    keyed_move: Text(
        "Keyed Move", "The move as it was given, to the last bit, and which keys it made", options={"HIDDEN"}
    )


def _shown_as(of_amount: float, name: str, description: str, **look: Any) -> Any:
    """The amount times ``of_amount``, within what the chosen move allows."""

    def put(self: Any, value: float) -> None:
        preset = offers.preset(self.preset)
        amount = value / of_amount
        self.amount = min(max(amount, preset.minimum), preset.maximum) if preset is not None else amount

    return Number(name, description, get=lambda self: self.amount * of_amount, set=put, min=0.0, **look)


class InItsUnit:
    """Mixin for what has a ``preset`` and an ``amount``: the amount as people read it, one of these for each unit."""

    move_angle: _shown_as(math.radians(1), "Angle", "How far the move turns", subtype="ANGLE")
    move_share: _shown_as(100, "Amount", "How far the move goes of its way", subtype="PERCENTAGE", precision=0)
    move_factor: _shown_as(1, "Zoom", "How many times longer the lens gets", precision=2)


FILMED_BY = (
    ("ESTIMATE", "Estimate", "The backend estimates it from the clip's pictures and depth"),
    ("CAMERA", "From Camera", "An animated camera of this scene, such as one that Blender's tracker has solved"),
    ("FILE", "From File", "A camera file: COLMAP, nerfstudio, poses as text, or one of ours"),
    ("NONE", "None", "The camera stood still, or nobody knows how it moved"),
)


FOCAL_CHOICES = (
    ("fixed", "As It Is", "The clip's focal length is believed"),
    ("shared", "Find One", "One focal length for all frames is looked for"),
    ("changing", "Find a Zoom", "A focal length for each frame is looked for, from the clip's on"),
)
Matte = partial(
    File, "Matte", "A video or pictures of the clip's frames, white where something moves by itself: it is left out"
)
FindFocal = partial(Choice, "Focal Length", "Whether the lens is looked for as well", *FOCAL_CHOICES)


class FilmingChoice:
    """Where the filming camera comes from; the scene's choice."""

    filmed_from: Choice("Filming Camera", "Where it comes from how the camera moved that filmed the clip", *FILMED_BY)
    filming_matte: Matte()
    filming_focal: FindFocal()
    filming_camera: CameraPointer("Camera", "The camera of this scene that moves as the filming one did")
    filming_scale: Number(
        "Scale",
        "Units of the clip's depth in one unit of the camera's path; 0 takes it from the tracked points of a solve, "
        "and else the lengths as they are",
        min=0.0,
        soft_max=100.0,
        precision=4,
    )
    stabilise_strength: Smoothing()
    filming_places: Flag(
        "Place the Shot",
        "Put the shot where the camera stood, as large as that makes it, so that it lies in the match-move's scene",
        default=True,
    )


class SceneProperties(FilmingChoice, InItsUnit):
    """What the next camera move will be."""

    preset: Text("Move", "A camera move the backend offers", default="orbit_left")
    amount: Number("Amount", "Strength of the move in its own unit", default=30.0, precision=2)
    easing: Choice("Easing", "How the move spreads over its frames", *EASINGS)
    centre: Centre()
    own_depth: Number(
        "Own Depth", "Depth of the centre from the source camera, in the shot's units", default=3.0, min=0.16
    )


def easings(_self: Any, _context: object, _edit_text: str) -> list[str]:
    """What may be typed for an easing."""
    return [name for name, *_ in EASINGS if name != "AUTO"]


def presets(_self: Any, _context: object, _edit_text: str) -> list[str]:
    """What may be typed for a move."""
    return [preset.name for preset in session.get().capabilities.presets]
