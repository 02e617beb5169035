"""The planes of a clip's place, and what an artist changes of them, as text that people write and programs keep.

    remove back wall; smooth floor; add 0 1 0 1.2; add 1 0 0 3 smooth

Statements stand between semicolons. A plane is told by its name, or by its normal and its distance: points of it have
``normal @ point == distance``, in the clip's world (x right, y down, z forward, the depth's unit).
"""

import math
from collections.abc import Iterable
from typing import Literal

from ex4d_ground.errors import SettingError
from ex4d_ground.records import Record, Text

Texture = Literal["clip", "smooth"]
"""Where a plane's colours come from: the clip's own picture of it carried on, or only its smooth part."""
What = Literal["remove", "smooth", "add"]
SAME_ANGLE_DEG = 10.0
SAME_DISTANCE = 0.15
"""Planes within this angle, and this share of the distance from the camera, are the same after another solve."""
MOST_EDITS = 64

Vector = tuple[float, float, float]


class PlaneInfo(Record, frozen=True, kw_only=True):
    """One plane of a place. New in 1.3."""

    name: Text
    """"floor", "ceiling", "back wall", "left wall", "right wall"; several of one kind are told apart by where they are,
    as the filming camera sees them: "left back wall", "far right wall", "upper floor". One that a person added is
    "added floor"."""
    normal: Vector
    """Of length one, away from the filming camera, in the clip's world."""
    distance: float
    """Points of the plane have ``normal @ point == distance``, in the depth's unit."""
    share: float = 0.0
    """Of the clip's picture that lies on it."""
    texture: Texture = "clip"
    added: bool = False
    """Whether a person added it."""
    centre: Vector = (0.0, 0.0, 0.0)
    """Middle of what is textured of it."""
    reach: float = 0.0
    """Half the side of that square."""

    @property
    def text(self) -> str:
        """Name and equation, for people."""
        return f"{self.name} ({equation(self.normal, self.distance)})"


class PlaneEdit(Record, frozen=True, kw_only=True):
    """One statement."""

    what: What
    name: Text = ""
    """Of the plane; "" where it is told by normal and distance."""
    normal: Vector = (0.0, 0.0, 0.0)
    distance: float = 0.0
    texture: Texture = "clip"
    """Of one that is added."""

    @property
    def plane(self) -> str:
        """The plane in the words of the statement."""
        return self.name or equation(self.normal, self.distance)

    @property
    def text(self) -> str:
        """The statement."""
        return f"{self.what} {self.plane}{' smooth' if self.what == 'add' and self.texture == 'smooth' else ''}"


def as_vector(values: Iterable[float]) -> Vector:
    """Three numbers as they are written."""
    x, y, z = map(float, values)
    return x, y, z


def equation(normal: Iterable[float], distance: float) -> str:
    """Normal and distance as four numbers."""
    return " ".join(f"{value + 0.0:.4g}" for value in (*(round(n, 4) for n in normal), distance))


def is_same(
    normal: Iterable[float],
    distance: float,
    other_normal: Iterable[float],
    other_distance: float,
    *,
    angle_deg: float = SAME_ANGLE_DEG,
    share: float = SAME_DISTANCE,
) -> bool:
    """Whether two planes are the same after another solve; distances are those from the camera."""
    cosine = sum(a * b for a, b in zip(normal, other_normal, strict=True))
    if cosine < 0:
        cosine, distance = -cosine, -distance
    near = abs(distance - other_distance) <= share * abs(other_distance)
    return cosine >= math.cos(math.radians(angle_deg)) and near


def written(edits: Iterable[PlaneEdit]) -> str:
    """The text of statements; "" for none: the planes as they are found."""
    return "; ".join(edit.text for edit in edits)


def read(text: str) -> tuple[PlaneEdit, ...]:
    """The statements of a text. Raises SettingError for one that is none."""
    statements = [each.strip() for each in text.split(";")]
    edits = tuple(_read_one(each) for each in statements if each)
    if len(edits) > MOST_EDITS:
        raise SettingError(f"Planes can be changed by {MOST_EDITS} statements at most, got {len(edits)}.")
    return edits


def _read_one(text: str) -> PlaneEdit:
    what, _, rest = text.partition(" ")
    words = rest.split()
    if what not in ("remove", "smooth", "add") or not words:
        raise SettingError(
            f"'{text}' says nothing of planes: write remove PLANE, smooth PLANE or add NX NY NZ DISTANCE, with a "
            "semicolon between two of them; a plane is a name such as floor, or its normal and its distance."
        )
    texture: Texture = "clip"
    if what == "add" and words[-1] == "smooth":
        texture, words = "smooth", words[:-1]
    numbers = _numbers(words)
    if numbers is None:
        if what == "add":
            raise SettingError(f"'{text}' adds no plane: write its normal and its distance, such as add 0 1 0 1.2.")
        return PlaneEdit(what=what, name=" ".join(words))
    normal, distance = _normalised(text, numbers)
    return PlaneEdit(what=what, normal=normal, distance=distance, texture=texture)


def _numbers(words: list[str]) -> tuple[float, float, float, float] | None:
    try:
        x, y, z, distance = map(float, words)
    except ValueError:
        return None
    return x, y, z, distance


def _normalised(text: str, numbers: tuple[float, float, float, float]) -> tuple[Vector, float]:
    """Normal of length one and the distance along it."""
    x, y, z, distance = numbers
    length = math.hypot(x, y, z)
    if not all(map(math.isfinite, (*numbers, length))):
        raise SettingError(
            f"'{text}' holds a number beyond all lengths; write a normal and a distance, such as 0 1 0 1.6."
        )
    if not length > 1e-9:
        raise SettingError(f"'{text}' holds a normal without a direction; write one such as 0 1 0, which is downwards.")
    return (x / length, y / length, z / length), distance / length
