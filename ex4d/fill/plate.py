"""The clean plate: what a camera that stands still shows when nothing stands before it."""

from dataclasses import dataclass

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.backdrop import Backdrop
from ex4d.dwmesh.still import references
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.errors import SettingError
from ex4d_ground.options import MeshOptions

MEDIAN_FRAMES = 5
"""Frames whose median stands where no two frames agree on the background."""


@dataclass(frozen=True)
class Plate:
    """One picture of the background, in the source camera's axes, which are the world's."""

    colour: UInt8  # [H, W, 3]
    inverse: Float32  # [H, W] 1 / z
    lens: Float64  # [4] fx, fy, cx, cy in pixels, as of ``Intrinsics``


def clean_plate(clip: Clip) -> Plate | None:
    """The plate of ``clip``; None where its camera moves."""
    k = clip.intrinsics
    lens = np.array([k.fx, k.fy, k.cx, k.cy])
    if clip.num_frames == 1:
        return Plate(np.asarray(clip.frames[0]), (1 / np.asarray(clip.depth[0])).astype(np.float32), lens)
    if clip.moving_camera is not None:
        return None
    try:
        solid = DWMesh(clip, MeshOptions(mode="solid", other_frames=True)).solid
    except SettingError:  # it moves, and nobody knows how
        return None
    assert solid is not None and isinstance(solid.backdrop, Backdrop)  # the camera stands still
    layer = solid.backdrop.layer(0)
    chosen = references(clip.num_frames, MEDIAN_FRAMES)
    usual = np.median(np.stack([solid.depth_at(t) for t in chosen]), axis=0)
    colour = np.median(np.stack([clip.frames[t] for t in chosen]), axis=0)
    known = layer.depth > 0
    depth = np.where(known, layer.depth, usual)
    return Plate(
        np.where(known[..., None], layer.colour, colour).astype(np.uint8), (1 / depth).astype(np.float32), lens
    )
