"""World memory: what a moving camera showed at any time stands behind and beside what it shows now, and only that."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from msgspec import structs

from ex4d.dwmesh import DWMesh, memory, witnesses
from ex4d.dwmesh.witnesses import rounds
from ex4d.frames import FrameStack
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer
from ex4d.types import Clip, SetClip
from ex4d_ground.arrays import Bool, Float64, UInt8
from ex4d_ground.errors import SettingError
from ex4d_ground.options import MeshOptions
from ex4d_ground.source_camera import SourceCamera

from .test_solid import turned
from .test_solid_other_frames import FILLED, LENS, SOLID, box_at, cast, motion, moving_box, moving_clip

REMEMBERS = structs.replace(FILLED, world_memory=True)


def pan(count: int = 12) -> Float64:
    """A camera that pans by 22 degrees while it trucks a little."""
    poses = np.stack([turned(2.0 * t, 0.0) for t in range(count)])
    poses[:, 0, 3] += 0.05 * np.arange(count)
    return poses


def guide(mesh: DWMesh, t: int, pose: Float64) -> tuple[UInt8, Bool, Bool]:
    """Colour, mask, and where what is shown is the true surface of that moment in its true colour."""
    rasterizer = CpuRasterizer()
    colour, mask = rasterizer.draw(mesh.surface(t), Camera(pose, LENS))
    assert mesh.clip.source_camera is not None
    poses = mesh.clip.source_camera.world_from_camera
    true_colour, true_depth = cast(poses[t] @ np.linalg.inv(pose), box_at(t))
    right = np.abs(1 - rasterizer.inverse_depth * true_depth) < 0.03
    right &= np.abs(colour.astype(int) - true_colour).max(axis=2) < 24
    return colour, mask, right


def test_what_lies_beside_the_picture_now_is_shown_and_is_right() -> None:
    clip = moving_clip(pan())
    alone, filled, remembers = (DWMesh(clip, options) for options in (SOLID, FILLED, REMEMBERS))
    shown = {name: [0, 0] for name in ("alone", "filled", "remembers")}
    for t in (0, 4, 8, 11):
        for degrees in (-14.0, 14.0):
            masks = {}
            for name, mesh in (("alone", alone), ("filled", filled), ("remembers", remembers)):
                _, masks[name], right = guide(mesh, t, turned(degrees, 0.0))
                shown[name][0] += int(masks[name].sum())
                shown[name][1] += int((masks[name] & right).sum())
            assert (masks["filled"] & ~masks["remembers"]).mean() < 0.002  # of what it shows, nothing is lost
    assert shown["remembers"][0] > 1.15 * shown["filled"][0] > 0
    assert shown["remembers"][1] > 0.98 * shown["remembers"][0]


def test_what_moved_is_not_remembered_where_it_was() -> None:
    """The box is alone in its blue; nowhere but where it is now does a guide show it."""
    clip = moving_clip(motion())
    mesh = DWMesh(clip, REMEMBERS)
    for t in (0, 6, 11):
        for degrees in (-14.0, 14.0):
            colour, mask, right = guide(mesh, t, turned(degrees, 0.0))
            box = mask & (np.abs(colour[..., 2].astype(int) - 20) < 12)
            assert (box & ~right).mean() < 0.003


def test_the_source_view_stays_exactly_the_source() -> None:
    clip = moving_clip(motion())
    mesh = DWMesh(clip, REMEMBERS)
    for t in (0, 5, 11):
        colour, mask, _ = guide(mesh, t, np.eye(4))
        assert mask.all()
        np.testing.assert_array_equal(colour, clip.frames[t])


def test_the_source_view_stays_the_source_where_depth_drifts_from_frame_to_frame() -> None:
    clip = moving_clip(motion())
    scale = (1 + 0.04 * np.sin(np.arange(12)))[:, None, None].astype(np.float32)
    clip = replace(clip, depth=np.asarray(clip.depth) * scale)
    mesh = DWMesh(clip, structs.replace(REMEMBERS, steady_depth="off"))
    for t in (0, 5, 11):
        colour, _, _ = guide(mesh, t, np.eye(4))
        np.testing.assert_array_equal(colour[1:-1, 1:-1], clip.frames[t][1:-1, 1:-1])


def test_before_a_camera_that_stands_still_it_is_what_other_frames_are() -> None:
    clip, _ = moving_box()
    for given in (clip, replace(clip, source_camera=SourceCamera.still(len(clip.frames), clip.intrinsics))):
        one, two = (DWMesh(given, options).surface(2) for options in (FILLED, REMEMBERS))
        np.testing.assert_array_equal(one.vertices, two.vertices)
        np.testing.assert_array_equal(one.faces, two.faces)


def test_a_motion_that_the_frames_contradict_is_refused_and_so_is_memory_without_other_frames() -> None:
    backwards = motion()
    backwards[:, :3, 3] *= -1
    with pytest.raises(SettingError, match="does not fit the clip"):
        DWMesh(replace(moving_clip(motion()), source_camera=SourceCamera.of(backwards, LENS)), REMEMBERS)
    with pytest.raises(SettingError, match="World memory is made of other frames"):
        MeshOptions(mode="solid", world_memory=True)


def test_the_world_the_poses_are_told_in_does_not_matter() -> None:
    poses, elsewhere = motion(), turned(40.0, 3.0)
    clip = moving_clip(poses)
    there = replace(clip, source_camera=SourceCamera.of(elsewhere @ poses, LENS))
    (one, mask, _), (two, other, _) = (guide_of(c) for c in (clip, there))
    assert (mask != other).mean() < 0.002
    assert (np.abs(one.astype(int) - two).max(axis=2)[mask & other] > 8).mean() < 0.005


def guide_of(clip: Clip) -> tuple[UInt8, Bool, Bool]:
    mesh, rasterizer = DWMesh(clip, REMEMBERS), CpuRasterizer()
    colour, mask = rasterizer.draw(mesh.surface(4), Camera(turned(14.0, 3.0), LENS))
    return colour, mask, mask


def test_large_clips_are_remembered_at_a_fraction_of_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = moving_clip(motion())
    whole = DWMesh(clip, REMEMBERS)
    monkeypatch.setattr(witnesses, "MOST_BYTES", 12 * 32 * 32 * witnesses.BYTES_PER_PIXEL)
    stack = FrameStack(expected=12, label="frames")
    for frame in clip.frames:
        stack.append(frame)
    small = DWMesh(replace(clip, frames=stack.frames()), REMEMBERS)
    parts = [mesh.solid.memory.memory for mesh in (whole, small) if mesh.solid and mesh.solid.memory]
    assert len(parts[1].faces) < 0.5 * len(parts[0].faces)
    share, right = [], []
    for mesh in (whole, small):
        _, mask, true = guide(mesh, 4, turned(14.0, 6.0))
        share.append(mask.mean())
        right.append((mask & true).sum() / mask.sum())
    assert share[1] > share[0] - 0.02
    assert right[1] > 0.97


def test_a_memory_that_is_full_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = moving_clip(motion())
    monkeypatch.setattr(memory, "MOST_FACES", 100)
    first = DWMesh(clip, REMEMBERS)
    assert first.solid and first.solid.memory
    assert 100 < len(first.solid.memory.memory.faces) <= 8 * 64 * 64  # the middle frame's sheet alone


@pytest.mark.parametrize("count", [1, 2, 3, 7, 25])
def test_rounds_name_every_frame_once_the_middle_first_and_double(count: int) -> None:
    found = rounds(count)
    assert sorted(k for together in found for k in together) == list(range(count)) and found[0] == [count // 2]
    assert all(len(b) <= 2 * len(a) for a, b in pairwise(found))
    assert len(found) <= 2 + np.log2(count + 1)


def beside(clip: Clip, poses: Float64) -> Clip:
    """The clip with another of the same place, whose cameras stood at ``poses`` in its world."""
    other = moving_clip(poses)
    return replace(clip, sets=(SetClip(other, poses[0]),))


def test_a_set_is_remembered_where_the_clip_never_looked() -> None:
    clip, away = moving_clip(motion()), turned(-30.0, 0.0) @ pan()
    without, with_set = DWMesh(clip, REMEMBERS), DWMesh(beside(clip, away), REMEMBERS)
    for t in (0, 6, 11):
        _, mask, _ = guide(without, t, turned(24.0, 0.0))
        _, more, right = guide(with_set, t, turned(24.0, 0.0))
        assert more.mean() > mask.mean() + 0.1
        assert (more & right).sum() > 0.97 * more.sum()
        colour, whole, _ = guide(with_set, t, np.eye(4))
        assert whole.all()
        np.testing.assert_array_equal(colour, clip.frames[t])


def test_a_still_clip_remembers_a_set_of_another_size() -> None:
    still = moving_clip(np.tile(np.eye(4), (12, 1, 1)))
    away = turned(-25.0, 0.0) @ pan()
    other = moving_clip(away)
    half = Clip(
        np.asarray(other.frames)[:, ::2, ::2].copy(),
        np.asarray(other.depth)[:, ::2, ::2].copy(),
        LENS.resized(LENS.width // 2, LENS.height // 2),
        source_camera=None if other.source_camera is None else other.source_camera.resized(32, 32),
    )
    with_set = DWMesh(replace(still, sets=(SetClip(half, away[0]),)), REMEMBERS)
    without = DWMesh(still, FILLED)
    rasterizer, pose = CpuRasterizer(), turned(14.0, 0.0)
    _, mask = rasterizer.draw(without.surface(3), Camera(pose, LENS))
    _, more = rasterizer.draw(with_set.surface(3), Camera(pose, LENS))
    true_depth = cast(np.linalg.inv(pose), box_at(3))[1]
    right = np.abs(1 - rasterizer.inverse_depth * true_depth) < 0.03
    assert more.mean() > mask.mean() + 0.05
    assert (more & right).sum() > 0.95 * more.sum()


def test_a_set_of_another_place_is_refused() -> None:
    clip, nearer = moving_clip(motion()), np.eye(4)
    nearer[2, 3] = 4.0
    wrong = replace(clip, sets=(SetClip(moving_clip(pan()), nearer),))
    with pytest.raises(SettingError, match="does not fit the clip: at most"):
        DWMesh(wrong, REMEMBERS)
