"""What the preview engine lets people choose, and what a take costs: known without what paints it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ex4d.engines.gpu import Gpu
from ex4d.settings import About, settings_of
from ex4d_ground import planes
from ex4d_ground.costs import Cost
from ex4d_ground.descriptions import EngineInfo

_SECONDS = 0.1  # per frame of a million pixels, two cores of a small server

_KNOWN_SECONDS = 0.06
"""For what else the clip shows, where that is drawn beside the guides; as rough."""
_WORLD_SECONDS = 0.06
"""For painting the place."""
_WORLD_ONCE = 2.0
"""Seconds in which a clip's place is found."""


@dataclass(frozen=True)
class PreviewSettings:
    """What the preview engine lets people choose."""

    fill: Annotated[
        Literal["world", "background", "nearest", "none"],
        About(
            "What fills the holes: the place, its floor and walls carried on where the source does not show them, and "
            "the background's colours where it is not known well enough, or the filming camera moves far ('world'); "
            "those alone ('background'); the nearest visible colour; or nothing (black)."
        ),
    ] = "world"
    known_first: Annotated[
        bool,
        About(
            "Show in holes what the clip itself shows there, at other times or behind the guides' edges, before "
            "anything is filled. Coverage does not count it."
        ),
    ] = True
    softness: Annotated[
        float,
        About("How soft the background fill is: 0 continues its fine texture, 1 keeps only smooth colour.", 0.0, 1.0),
    ] = 0.4
    temporal: Annotated[
        float,
        About(
            "How much of a filled pixel comes from the frame before, following the camera: steadier, but slower to "
            "change.",
            0.0,
            0.95,
        ),
    ] = 0.7
    mark_holes: Annotated[
        float, About("How strongly invented pixels are tinted, so that nobody takes them for footage.", 0.0, 1.0)
    ] = 0.0
    planes: Annotated[
        str,
        About(
            "What is changed of the planes that fill 'world' finds, with semicolons between: 'remove back wall', "
            "'smooth floor' (its smooth colours alone), 'add NX NY NZ DISTANCE' (perhaps with 'smooth' at the end). "
            "A plane is told by its name, or by its normal and distance; coverage lists them. Empty: as found."
        ),
    ] = ""


ABOUT = EngineInfo(
    name="preview",
    title="Preview (hole filling, no model)",
    settings=settings_of(PreviewSettings),
    licence="Apache-2.0",
    is_preview=True,
)


def preview_settings(given: Mapping[str, Any]) -> PreviewSettings:
    """The engine's settings with defaults for what is not ``given``. Raises SettingError, also for what it names."""
    settings = PreviewSettings(**ABOUT.validated(given))
    planes.read(settings.planes)  # also where no place is shown, which would leave it unread
    return settings


def preview_cost(frames: int, width: int, height: int, settings: Mapping[str, Any], gpu: Gpu | None) -> Cost:
    """Time on the processor alone. Raises SettingError."""
    chosen = preview_settings(settings)
    world = chosen.fill == "world"
    each = _SECONDS + _KNOWN_SECONDS * chosen.known_first + _WORLD_SECONDS * world
    seconds = each * frames * width * height / 1e6 + _WORLD_ONCE * world
    return Cost("preview", frames, width, height, seconds=seconds)
