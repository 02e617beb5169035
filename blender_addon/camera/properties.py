"""The move that the Camera panel has chosen."""

from functools import partial

from ..work.properties import Choice, Number, Text

Centre = partial(
    Choice,
    "Centre",
    "What the move turns around, on the source camera's axis",
    ("NEAREST", "Nearest Point", "At the nearest point of the first frame, as EX-4D does"),
    ("MEDIAN", "Median Depth", "At the median depth of the first frame"),
    ("CURSOR", "3D Cursor", "At the depth of the 3D cursor"),
)


EASINGS = (
    ("AUTO", "As the Move", "The move's own easing"),
    ("linear", "Linear", "The same speed throughout"),
    ("ease_in", "Ease In", "Starts slowly"),
    ("ease_out", "Ease Out", "Ends slowly"),
    ("ease_in_out", "Ease In and Out", "Starts and ends slowly"),
)


class SceneProperties:
    """What the next camera move will be."""

    preset: Text("Move", "A camera move the backend offers", default="30")
    amount: Number("Amount", "Strength of the move in its own unit", precision=2)
    easing: Choice("Easing", "How the move spreads over its frames", *EASINGS)
    centre: Centre()
