"""What frames are asked about a place: what they confirm, what goes with what moved, and which guesses they end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ex4d.dwmesh import DWMesh, memory, moving_backdrop
from ex4d.dwmesh import memory_kernels as kernels
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.errors import SettingError
from ex4d_ground.source_camera import SourceCamera

from .test_solid_other_frames import LENS, SIZE, motion, moving_clip
from .test_world_memory import REMEMBERS

FRAMES, SIDE, PLACE = 4, 9, (4, 4)
SMALL = np.array([8.0, 8.0, 4.0, 4.0])  # a lens in pixel indices


def asked(depths: Float32, colours: UInt8) -> tuple[int, Float32, UInt8]:
    """What frames at one place say of the middle pixel of the first, and its depth and colour then."""
    out, depth, colour = np.zeros((SIDE, SIDE), np.uint8), depths[0].copy(), colours[0].copy()
    nearest = np.stack([_least_around(each) for each in depths])
    crossed = np.zeros((len(depths), SIDE - 1, SIDE - 1), np.bool_)
    poses, lenses = np.tile(np.eye(4), (len(depths), 1, 1)), np.tile(SMALL, (len(depths), 1))
    limits = np.array([memory.SAME_DEPTH, memory.SAME_COLOUR, memory.LOOKED_THROUGH])
    kernels.vote(
        depths[0], colours[0], np.ones((SIDE, SIDE), np.bool_), depths, crossed, nearest, colours, poses, lenses,
        SMALL, limits, 0, SIDE, out, depth, colour,
    )  # fmt: skip
    return int(out[PLACE]), depth[PLACE], colour[PLACE]


def _least_around(depth: Float32) -> Float32:
    padded = np.pad(depth, 1, mode="edge")
    return np.min([padded[j : j + SIDE, i : i + SIDE] for j in range(3) for i in range(3)], axis=0)


def planes(*depths: float) -> Float32:
    return np.stack([np.full((SIDE, SIDE), depth, np.float32) for depth in depths])


def grey(count: int = FRAMES) -> UInt8:
    return np.full((count, SIDE, SIDE, 3), 90, np.uint8)


def test_what_something_hides_from_all_other_frames_is_believed() -> None:
    assert asked(planes(4, 2, 2, 2), grey())[0] == kernels.CONFIRMED
    assert asked(planes(4, 6, 6, 6), grey())[0] == kernels.CONTRADICTED
    beside = planes(4, 2, 2, 6)
    beside[3, 3, 4] = 3.9  # the last looks past it, but a surface just beside might be it
    assert asked(beside, grey())[0] == kernels.UNCONFIRMED


def test_colours_agree_with_what_is_around_the_place() -> None:
    """Stripes a pixel wide lie otherwise in every frame's pixels."""
    colours = grey(3)
    colours[0, :, ::2] = 200
    colours[1:, :, 1::2] = 200
    said, depth, colour = asked(planes(4, 4.04, 4.08), colours)
    assert said == kernels.CONFIRMED
    assert depth == pytest.approx(4.04)
    assert (colour == colours[1][PLACE]).all()  # what most frames see
    colours[1:] = 150  # nothing around is as bright as the first frame's stripes, or as dark
    colours[0] = 200
    assert asked(planes(4, 4.04, 4.08), colours)[0] == kernels.UNCONFIRMED


def test_what_lies_behind_something_that_moved_does_not_go_with_it() -> None:
    depth = np.full((SIDE, SIDE), 6.0, np.float32)
    depth[:, :3] = 3.0
    moved = memory._moved(depth, (depth == 3.0) & (np.arange(SIDE) == 1))
    np.testing.assert_array_equal(moved, np.broadcast_to(np.arange(SIDE) < 3, moved.shape))
    front = memory._moved(depth, np.broadcast_to(np.arange(SIDE) == 3, depth.shape))
    np.testing.assert_array_equal(front, np.broadcast_to((np.arange(SIDE) > 0) & (np.arange(SIDE) < 6), front.shape))


def strips() -> Float32:  # [3, 4, 3]
    """At depth 4: before the picture's middle, at its left, and beyond it."""
    ends = np.array([[-0.5, 0.5], [-1.9, -1.2], [-9.0, -8.0]])
    return np.array([[[x, y, 4] for y in (-0.1, 0.1) for x in pair] for pair in ends], np.float32)


@pytest.mark.parametrize(
    ("depths", "kept"),
    [
        ((2, 2, 2), [True, True, True]),  # something stands before it
        ((4, 4, 2), [False, False, True]),  # a surface is there
        ((8, 2, 8), [False, False, True]),  # nothing is
        ((8, 2, 2), [True, True, True]),  # says one frame alone
    ],
)
def test_bridges_go_where_two_frames_know_what_is_there(depths: tuple[float, ...], kept: list[bool]) -> None:
    shown, found = planes(*depths), strips()
    crossed = np.zeros((3, SIDE - 1, SIDE - 1), np.bool_)
    poses, lenses = np.tile(np.eye(4), (3, 1, 1)), np.tile(SMALL, (3, 1))
    limits = np.array([memory.SAME_DEPTH, memory.WALL_DEPTH, memory.WALL_FRAMES])
    kernels.drop_known(found, shown, crossed, shown, poses, lenses, limits, memory.BRIDGE_STEPS)
    assert [bool((new == old).all()) for new, old in zip(found, strips(), strict=True)] == kept
    for strip, stays in zip(found, kept, strict=True):
        assert stays or (strip == strip[0]).all()


def gap_behind_a_post(poses: Float64) -> tuple[UInt8, Float32]:  # [T, H, W, 3], [T, H, W]
    """Two boards with a gap between them, which a post hides from the first camera, before a wall."""
    pixel = (np.arange(SIZE) + 0.5 - SIZE / 2) / LENS.fx
    frames, depth = np.zeros((len(poses), SIZE, SIZE, 3)), np.full((len(poses), SIZE, SIZE), np.inf, np.float32)
    for t, pose in enumerate(poses):
        rays = np.stack([*np.meshgrid(pixel, pixel), np.ones((SIZE, SIZE))], axis=-1) @ pose[:3, :3].T
        for z, from_x, to_x, blue in ((12, -99, 99, 200), (6, -9, -0.3, 90), (6, 0.3, 9, 90), (4, -0.35, 0.35, 20)):
            far = (z - pose[2, 3]) / rays[..., 2]
            x, y = (pose[axis, 3] + rays[..., axis] * far for axis in (0, 1))
            hit = (x > from_x) & (x < to_x) & (far < depth[t])
            shade = np.stack([128 + 60 * np.sin(2 * x), 128 + 60 * np.cos(1.7 * y), np.full_like(x, blue)], axis=-1)
            frames[t][hit], depth[t][hit] = shade[hit], far[hit]
    return frames.astype(np.uint8), depth


def test_a_gap_that_other_frames_look_through_is_open_behind_what_hides_it_now() -> None:
    poses = np.tile(np.eye(4), (12, 1, 1))
    poses[:, 0, 3] = 0.22 * np.arange(12)
    frames, depth = gap_behind_a_post(poses)
    clip = Clip(frames, depth, LENS, source_camera=SourceCamera.of(poses, LENS))
    aside = np.eye(4)
    aside[0, 3] = -1.5  # a camera 1.5 to the right of the first frame's
    _, mask = CpuRasterizer().draw(DWMesh(clip, REMEMBERS).surface(0), Camera(aside, LENS))
    true_depth = gap_behind_a_post(np.linalg.inv(aside)[None])[1][0]
    gap = np.zeros_like(mask)
    gap[:, SIZE // 4 : SIZE // 2] = true_depth[:, SIZE // 4 : SIZE // 2] > 10  # left of what this camera looks at
    assert gap.sum() > SIZE
    assert mask[gap].mean() > 0.9


def test_a_right_motion_is_taken_where_most_of_the_picture_is_leaves_in_the_wind() -> None:
    """Points of such pictures seldom meet; those of a wrong motion meet less often still."""
    clip, rng = moving_clip(motion()), np.random.default_rng(0)
    depth = np.asarray(clip.depth).copy()
    leaves = np.broadcast_to(np.arange(SIZE)[:, None] < 0.8 * SIZE, depth.shape)
    depth[leaves] *= rng.uniform(0.7, 1.3, int(leaves.sum())).astype(np.float32)
    swaying = replace(clip, depth=depth)
    DWMesh(swaying, REMEMBERS)
    backwards = motion()
    backwards[:, :3, 3] *= -1
    with pytest.raises(SettingError, match="does not fit the clip") as caught:
        DWMesh(replace(swaying, source_camera=SourceCamera.of(backwards, LENS)), REMEMBERS)
    share = float(str(caught.value).split("%")[0].split()[-1]) / 100
    assert share < moving_backdrop.LEAST_FIT
