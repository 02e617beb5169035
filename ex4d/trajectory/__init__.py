"""Camera moves: presets, true orbits and lenses, source time, camera files, and how far two moves are apart."""

from ex4d.trajectory.fitting import far_from_source, within
from ex4d.trajectory.metrics import TrajectoryErrors, trajectory_errors
from ex4d.trajectory.moves import (
    MoveSetup,
    dolly,
    lens_zoom,
    orbit,
    pedestal,
    relative_to_first,
    static,
    sway,
    truck,
    vertigo,
)
from ex4d.trajectory.presets import PRESETS, near_depth_of, preset
from ex4d.trajectory.published import TARGET_MARGIN
from ex4d.trajectory.timing import EASINGS, TIME_PATTERNS, Easing, TimePattern, eased, source_times

__all__ = [
    "EASINGS",
    "PRESETS",
    "TARGET_MARGIN",
    "TIME_PATTERNS",
    "Easing",
    "MoveSetup",
    "TimePattern",
    "TrajectoryErrors",
    "dolly",
    "eased",
    "far_from_source",
    "lens_zoom",
    "near_depth_of",
    "orbit",
    "pedestal",
    "preset",
    "relative_to_first",
    "source_times",
    "static",
    "sway",
    "trajectory_errors",
    "truck",
    "vertigo",
    "within",
]
