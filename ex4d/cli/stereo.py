"""The options of a take with two eyes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ex4d.cli.options import panel
from ex4d_ground.errors import SettingError

if TYPE_CHECKING:
    from ex4d.shots.take import Stereo

_option = panel(None)
StereoDistance = Annotated[
    str | None,
    _option(
        "--stereo",
        "Make a stereo take: the eyes' distance in the depth's unit, or auto, which fits the clip's depth.",
        metavar="NUMBER|auto",
    ),
]
StereoConvergence = Annotated[
    float | None, _option("--convergence", "Depth without parallax. Default: infinity, with --stereo auto what fits.")
]


def stereo_of(distance: str | None, convergence: float | None) -> Stereo | None:
    """What both options ask for; None for one eye. Raises SettingError."""
    from ex4d.shots.take import AUTO, Stereo

    if distance is None:
        if convergence is not None:
            raise SettingError("--convergence belongs to --stereo; give both or neither.")
        return None
    try:
        baseline = AUTO if distance == AUTO else float(distance)
    except ValueError:
        raise SettingError(f"--stereo is the eyes' distance or {AUTO}, got {distance!r}.") from None
    return Stereo(baseline, convergence)
