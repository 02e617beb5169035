"""The clean plate: what a camera shows when nothing stands before it."""

from dataclasses import dataclass, field

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.backdrop import Backdrop
from ex4d.dwmesh.solid import SolidBuilder
from ex4d.dwmesh.still import references
from ex4d.fill.usual import usual_colours
from ex4d.trajectory.metrics import rotation_angles
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.errors import SettingError
from ex4d_ground.options import MeshOptions
from ex4d_ground.poses import inverse

MEDIAN_FRAMES = 5
"""Frames whose median stands where no two frames agree on the background."""
NEAR_TURN, NEAR_SHIFT, NEAR_ZOOM = 0.15, 0.1, 0.1
"""How far the camera may be, at any time, from where it is in the middle of the clip: in terms of the picture's angle,
of the usual depth and of the focal length. What it sees farther away is not in that one picture: on filmed rooms a
hand's unrest gains by it, an orbit of 30 degrees and a zoom lose half a decibel."""


@dataclass(frozen=True)
class Plate:
    """One picture of the background."""

    colour: UInt8  # [H, W, 3]
    inverse: Float32  # [H, W] 1 / z
    lens: Float64  # [4] fx, fy, cx, cy in pixels, as of ``Intrinsics``
    world_from_camera: Float64 = field(default_factory=lambda: np.eye(4))  # [4, 4]


def clean_plate(clip: Clip) -> Plate | None:
    """The plate of ``clip``; None where its camera moves far, and where nobody knows how or other than is said."""
    k = clip.intrinsics
    lens = np.array([k.fx, k.fy, k.cx, k.cy])
    if clip.num_frames == 1:
        return Plate(np.asarray(clip.frames[0]), (1 / np.asarray(clip.depth[0])).astype(np.float32), lens)
    if not _stays_near(clip):
        return None
    try:
        solid = DWMesh(clip, MeshOptions(mode="solid", other_frames=True)).solid
    except SettingError:  # it moves, and nobody knows how
        return None
    assert solid is not None and isinstance(solid.backdrop, Backdrop)  # no world memory
    if clip.moving_camera is not None:
        return _of_one_frame(clip, solid.backdrop)
    return _of_all_frames(clip, solid, solid.backdrop, lens)


def _stays_near(clip: Clip) -> bool:
    """Whether the picture in the middle of the clip shows nearly all that the camera ever sees."""
    moving = clip.moving_camera
    if moving is None:
        return True
    t = clip.num_frames // 2
    there = inverse(clip.world_from_camera[t]) @ clip.world_from_camera
    turn = rotation_angles(np.broadcast_to(np.eye(3), there[:, :3, :3].shape), there[:, :3, :3]).max()
    shift = np.linalg.norm(there[:, :3, 3], axis=1).max()
    zoom = np.ptp(moving.intrinsics[:, 0]) / moving.intrinsics[t, 0]
    most_turn = NEAR_TURN * np.radians(clip.lens(t).fov_deg)
    return bool(turn <= most_turn and shift <= NEAR_SHIFT * np.median(clip.depth[t]) and zoom <= NEAR_ZOOM)


def _of_one_frame(clip: Clip, backdrop: Backdrop) -> Plate:
    """What the camera that moves shows in the middle of the clip, with what the other frames know behind it.

    Shadows that only that moment shows are gone (:mod:`ex4d.fill.usual`).
    """
    t = clip.num_frames // 2
    layer, k = backdrop.layer(t), clip.lens(t)
    lens = np.array([k.fx, k.fy, k.cx, k.cy])
    colour = usual_colours(clip, t, layer)
    return Plate(colour, (1 / layer.depth).astype(np.float32), lens, clip.world_from_camera[t])


def _of_all_frames(clip: Clip, solid: SolidBuilder, backdrop: Backdrop, lens: Float64) -> Plate:
    """What the camera that stands still shows at most times."""
    layer = backdrop.layer(0)
    chosen = references(clip.num_frames, MEDIAN_FRAMES)
    usual = np.median(np.stack([solid.depth_at(t) for t in chosen]), axis=0)
    colour = np.median(np.stack([clip.frames[t] for t in chosen]), axis=0)
    known = layer.depth > 0
    depth = np.where(known, layer.depth, usual)
    return Plate(
        np.where(known[..., None], layer.colour, colour).astype(np.uint8), (1 / depth).astype(np.float32), lens
    )
