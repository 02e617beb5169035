"""Other frames of a still camera: they fill what is hidden now, and only that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ex4d.dwmesh import DWMesh
from ex4d.errors import SettingError
from ex4d.raster import Camera, get_rasterizer
from ex4d.types import Bool, Clip, Float64, MeshOptions, UInt8

from .conftest import make_clip
from .test_solid import turned

SIZE, NEAR, FAR, FRAMES = 64, 4.0, 12.0, 5
SOLID = MeshOptions(mode="solid", border_depth=40.0)
FILLED = replace(SOLID, other_frames=True)


def moving_box() -> tuple[Clip, UInt8]:
    """A flat red box that moves right before a textured wall; the wall's picture too."""
    rng = np.random.default_rng(3)
    wall = rng.integers(0, 200, (SIZE, SIZE, 3), dtype=np.uint8)
    frames, depth = np.stack([wall] * FRAMES), np.full((FRAMES, SIZE, SIZE), FAR, np.float32)
    for t in range(FRAMES):
        box = np.s_[t, 20:40, 4 + 11 * t : 14 + 11 * t]
        frames[box], depth[box] = (255, 0, 0), NEAR
    return replace(make_clip(depth=depth), frames=frames), wall


def seen(mesh: DWMesh, t: int, pose: Float64) -> tuple[UInt8, Bool]:
    return get_rasterizer("cpu").draw(mesh.surface(t), Camera(pose, mesh.clip.intrinsics))


def test_what_the_box_hides_is_filled_with_the_wall_that_other_frames_saw() -> None:
    clip, wall = moving_box()
    pose = turned(12.0, 8.0)
    alone, filled = seen(DWMesh(clip, SOLID), 2, pose), seen(DWMesh(clip, FILLED), 2, pose)
    bare = replace(clip, frames=np.stack([wall] * FRAMES), depth=np.full_like(clip.depth, FAR))
    truth = seen(DWMesh(bare, SOLID), 2, pose)
    new = filled[1] & ~alone[1]
    assert new.sum() > 50
    error = np.abs(filled[0].astype(int) - truth[0]).max(axis=2)[new & truth[1]]
    assert np.median(error) <= 1
    assert not (alone[1] & ~filled[1]).any()


def test_the_source_view_stays_exactly_the_source() -> None:
    clip, _ = moving_box()
    mesh = DWMesh(clip, FILLED)
    for t in range(FRAMES):
        colour, mask = seen(mesh, t, np.eye(4))
        assert mask.all()
        np.testing.assert_array_equal(colour, clip.frames[t])


def test_where_nothing_moves_nothing_changes() -> None:
    clip = make_clip(depth=np.repeat(moving_box()[0].depth[:1], FRAMES, axis=0))
    clip = replace(clip, frames=np.stack([clip.frames[0]] * FRAMES))
    one, two = (DWMesh(clip, options).surface(1) for options in (SOLID, FILLED))
    np.testing.assert_array_equal(one.vertices, two.vertices)
    np.testing.assert_array_equal(one.faces, two.faces)


def test_a_camera_that_moves_or_one_frame_is_refused_in_a_sentence() -> None:
    clip, _ = moving_box()
    panned = replace(clip, frames=np.stack([np.roll(f, 9 * t, axis=1) for t, f in enumerate(clip.frames)]))
    with pytest.raises(SettingError, match="stands still"):
        DWMesh(panned, FILLED)
    with pytest.raises(SettingError, match="stands still"):
        DWMesh(replace(clip, frames=clip.frames[:1], depth=clip.depth[:1]), FILLED)
    with pytest.raises(SettingError, match="solid"):
        MeshOptions(other_frames=True)


def test_a_place_that_only_one_frame_saw_is_not_known() -> None:
    clip, _ = moving_box()
    two = replace(clip, frames=clip.frames[:2], depth=clip.depth[:2])
    mesh = DWMesh(two, FILLED)
    alone = DWMesh(two, SOLID)
    pose = turned(12.0, 8.0)
    assert (seen(mesh, 0, pose)[1] == seen(alone, 0, pose)[1]).all()
