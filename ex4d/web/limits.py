"""How far one can walk around a shot before more of the picture is missing than is seen."""

from dataclasses import replace

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d.trajectory import preset
from ex4d.trajectory.presets import near_depth_of
from ex4d.trajectory.published import TARGET_MARGIN

LEAST_SEEN = 0.6
"""Share of the picture that the shot must hold at the limit, of what it holds at the source."""
ANGLES = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0)
"""Degrees that are tried."""
_WAYS = {"left": "orbit_left", "right": "orbit_right", "up": "orbit_up", "down": "orbit_down"}
_SIDE = 160
"""Pixels of the longer side of the pictures that are looked at."""


def target_distance(mesh: DWMesh) -> float:
    """Distance of the point that one walks around, on the view axis of frame 0: that of the presets."""
    return near_depth_of(mesh.clip, mesh.options.border_depth) + TARGET_MARGIN


def orbit_limits(mesh: DWMesh) -> dict[str, float]:
    """Degrees to the left, right, up and down; the median of the first, the middle and the last frame.

    In between of :data:`ANGLES` the share that is seen is taken as linear.
    """
    clip = mesh.clip
    frames = sorted({0, clip.num_frames // 2, clip.num_frames - 1})
    k = clip.intrinsics
    scale = min(1.0, _SIDE / max(k.width, k.height))
    small = k.resized(max(round(k.width * scale), 2), max(round(k.height * scale), 2))
    limits = {}
    for way, name in _WAYS.items():
        whole = preset(name, clip, intrinsics=small, amount=ANGLES[-1], num_frames=2)
        views = [preset(name, clip, intrinsics=small, amount=angle, num_frames=2) for angle in ANGLES]
        poses = np.stack([whole.world_from_camera[0], *(view.world_from_camera[-1] for view in views)])
        found = []
        for t in frames:
            move = replace(
                whole,
                world_from_camera=poses,
                intrinsics=np.repeat(whole.intrinsics[:1], len(poses), axis=0),
                source_time=np.full(len(poses), float(t)),
            )
            found.append(_limit(render_guides(mesh, move, rasterizer="cpu").coverage))
        limits[way] = float(np.median(found))
    return limits


def _limit(seen: np.ndarray) -> float:  # [1 + len(ANGLES)], the source first
    """The angle at which the share falls to ``LEAST_SEEN`` of the first."""
    angles, least = (0.0, *ANGLES), LEAST_SEEN * seen[0]
    for i in range(1, len(angles)):
        if seen[i] < least:
            part = (seen[i - 1] - least) / max(seen[i - 1] - seen[i], 1e-9)
            return float(max(angles[i - 1] + part * (angles[i] - angles[i - 1]), ANGLES[0] / 2))
    return ANGLES[-1]
