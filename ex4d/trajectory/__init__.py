"""Camera moves: presets, true orbits and lenses, source time, camera files, and how far two moves are apart."""

from ex4d.trajectory.camera_files import CameraLayout, load_camera, save_camera
from ex4d.trajectory.metrics import TrajectoryErrors, trajectory_errors
from ex4d.trajectory.moves import (
    MoveSetup,
    dolly,
    from_matrices,
    lens_zoom,
    orbit,
    pedestal,
    relative_to_first,
    static,
    sway,
    truck,
    vertigo,
)
from ex4d.trajectory.presets import PRESETS, PresetInfo, near_depth_of, preset
from ex4d.trajectory.published import TARGET_MARGIN, poses_from_view, view_from_poses
from ex4d.trajectory.timing import EASINGS, TIME_PATTERNS, Easing, TimePattern, eased, source_times

__all__ = [
    "EASINGS",
    "PRESETS",
    "TARGET_MARGIN",
    "TIME_PATTERNS",
    "CameraLayout",
    "Easing",
    "MoveSetup",
    "PresetInfo",
    "TimePattern",
    "TrajectoryErrors",
    "dolly",
    "eased",
    "from_matrices",
    "lens_zoom",
    "load_camera",
    "near_depth_of",
    "orbit",
    "pedestal",
    "poses_from_view",
    "preset",
    "relative_to_first",
    "save_camera",
    "source_times",
    "static",
    "sway",
    "trajectory_errors",
    "truck",
    "vertigo",
    "view_from_poses",
]
