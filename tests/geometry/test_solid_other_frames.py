"""Other frames of a still camera, or of one whose motion is known: they fill what is hidden now, and only that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec import structs

from ex4d.clip import read_thickness_map, with_source_camera
from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.backdrop import Backdrop
from ex4d.dwmesh.frame_views import FrameViews
from ex4d.dwmesh.moving_backdrop import SAME_COLOUR, SAME_DEPTH, chosen_frames
from ex4d.raster import Camera, get_rasterizer
from ex4d.raster.cpu import CpuRasterizer
from ex4d.shots.draw import Drawing, draw_shot
from ex4d.shots.load import load_shot
from ex4d.shots.options import ShotOptions
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.camera_files import save_camera
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import InputError, SettingError, ShapeError, TrajectoryError
from ex4d_ground.options import MeshOptions
from ex4d_ground.source_camera import SourceCamera

from .conftest import make_clip
from .test_solid import turned

SIZE, NEAR, FAR, FRAMES = 64, 4.0, 12.0, 5
SOLID = MeshOptions(mode="solid", border_depth=40.0)
FILLED = structs.replace(SOLID, other_frames=True)


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


def plain_background(clip: Clip) -> tuple[Float32, UInt8]:  # [H, W], [H, W, 3]
    """Pixel by pixel: the medians of those frames that show the farthest surface alike, if two do."""
    depth, colour = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE, 3), np.uint8)
    for place in np.ndindex(SIZE, SIZE):
        depths, colours = clip.depth[(slice(None), *place)], clip.frames[(slice(None), *place)].astype(int)
        far = depths >= (1 - SAME_DEPTH) * depths.max()
        middle = np.sort(colours[far], axis=0)[far.sum() // 2]
        alike = far & (np.abs(colours - middle) <= SAME_COLOUR).all(axis=1)
        if alike.sum() >= 2:
            depth[place], colour[place] = np.sort(depths[alike])[alike.sum() // 2], middle
    return depth, colour


@pytest.mark.parametrize("count", [2, 7, 40])
def test_the_background_is_the_median_of_the_frames_that_show_the_farthest_surface_alike(count: int) -> None:
    rng = np.random.default_rng(count)
    wall = rng.integers(0, 256, (SIZE, SIZE, 3))
    noise = rng.uniform(-1, 1, (count, SIZE, SIZE, 3)) * np.linspace(2, 16, SIZE)[:, None]  # the camera stands still
    frames = (wall + noise).clip(0, 255).astype(np.uint8)
    depth = (FAR * rng.uniform(0.95, 1.05, (count, SIZE, SIZE))).astype(np.float32)
    depth[rng.random(depth.shape) < 0.4] = NEAR
    clip = replace(make_clip(depth=depth), frames=frames)
    chosen = chosen_frames(clip)
    none = np.zeros(0, np.float32)
    views = FrameViews(lambda t: depth[t], lambda _: (none, none), lambda _: (0.0, np.zeros(2)))
    layer = Backdrop(clip, views).layer(0)
    expected = plain_background(replace(clip, frames=frames[chosen], depth=depth[chosen]))
    assert 0.2 < (expected[0] > 0).mean() <= 1
    np.testing.assert_array_equal(layer.depth, expected[0])
    np.testing.assert_array_equal(layer.colour, expected[1])


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


# --- a camera whose motion is known ---------------------------------------------------------------------

WALL, POLE, BOX = 12.0, 6.0, 4.0
LENS = Intrinsics.from_focal(SIZE, SIZE, 60.0)


def cast(pose: Float64, box_x: float) -> tuple[UInt8, Float32]:
    """Ray-cast a wall, a pole that stands and a box at ``box_x``, all square to the world's z; picture and depth."""
    pixel = (np.arange(SIZE) + 0.5 - SIZE / 2) / LENS.fx
    rays = np.stack([*np.meshgrid(pixel, pixel), np.ones((SIZE, SIZE))], axis=-1) @ pose[:3, :3].T
    depth, colour = np.full((SIZE, SIZE), np.inf), np.zeros((SIZE, SIZE, 3))
    planes = ((WALL, 0.0, 99.0, 99.0, 200), (POLE, 0.6, 0.25, 99.0, 90), (BOX, box_x, 0.5, 0.7, 20))
    for z, middle, half_width, half_height, blue in planes:
        far = (z - pose[2, 3]) / rays[..., 2]
        x, y = (pose[axis, 3] + rays[..., axis] * far for axis in (0, 1))
        hit = (np.abs(x - middle) < half_width) & (np.abs(y) < half_height) & (far < depth)
        shade = np.stack([128 + 60 * np.sin(2 * x), 128 + 60 * np.cos(1.7 * y), np.full_like(x, blue)], axis=-1)
        depth, colour = np.where(hit, far, depth), np.where(hit[..., None], shade, colour)
    return colour.astype(np.uint8), depth.astype(np.float32)


def motion(count: int = 12) -> Float64:
    """A camera that trucks right while it pans left."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for t in range(count):
        poses[t] = turned(-0.5 * t, 0.0)
        poses[t, :3, 3] = (0.18 * t, 0.02 * t, 0.05 * t)
    return poses


def box_at(t: int) -> float:
    return -1.2 + 0.35 * t


def moving_clip(poses: Float64) -> Clip:
    views = [cast(pose, box_at(t)) for t, pose in enumerate(poses)]
    return Clip(
        np.stack([v[0] for v in views]),
        np.stack([v[1] for v in views]),
        LENS,
        source_camera=SourceCamera.of(poses, LENS),
    )


def filled_and_right(clip: Clip, poses: Float64) -> tuple[float, float]:
    """Share of new pixels in views to either side, and of those the share that shows the true surface."""
    alone, filled, rasterizer = DWMesh(clip, SOLID), DWMesh(clip, FILLED), CpuRasterizer()
    new_pixels = right_pixels = looked = 0
    for t in (0, 4, 8, 11):
        for degrees in (-14.0, 14.0):
            pose = turned(degrees, 6.0)
            camera = Camera(pose, LENS)
            _, before = rasterizer.draw(alone.surface(t), camera)
            colour, after = rasterizer.draw(filled.surface(t), camera)
            new = after & ~before
            true_colour, true_depth = cast(poses[t] @ np.linalg.inv(pose), box_at(t))
            right = np.abs(1 - rasterizer.inverse_depth * true_depth) < 0.03
            right &= np.abs(colour.astype(int) - true_colour).max(axis=2) < 24
            new_pixels, right_pixels = new_pixels + int(new.sum()), right_pixels + int((new & right).sum())
            looked += new.size
    return new_pixels / looked, right_pixels / max(new_pixels, 1)


def test_a_camera_of_known_motion_fills_what_is_hidden_and_what_it_fills_is_right() -> None:
    share, right = filled_and_right(moving_clip(motion()), motion())
    assert share > 0.08
    assert right > 0.95


def test_the_world_the_poses_are_told_in_does_not_matter() -> None:
    poses = motion()
    elsewhere = turned(40.0, 3.0)
    clip = moving_clip(poses)
    here = DWMesh(clip, FILLED).surface(4)
    there = DWMesh(replace(clip, source_camera=SourceCamera.of(elsewhere @ poses, LENS)), FILLED).surface(4)
    np.testing.assert_allclose(there.vertices, here.vertices, rtol=1e-4, atol=1e-4)


def test_the_source_view_of_a_moving_camera_stays_exactly_the_source() -> None:
    clip = moving_clip(motion())
    colour, mask = seen(DWMesh(clip, FILLED), 5, np.eye(4))
    assert mask.all()
    np.testing.assert_array_equal(colour, clip.frames[5])


def test_motion_that_the_frames_contradict_or_that_is_not_theirs_is_refused_in_a_sentence() -> None:
    clip = moving_clip(motion())
    backwards, larger = motion(), motion()
    backwards[:, :3, 3] *= -1
    larger[:, :3, 3] *= 8  # another unit than the depth's
    for wrong in (backwards, larger):
        with pytest.raises(SettingError, match="does not fit the clip"):
            DWMesh(replace(clip, source_camera=SourceCamera.of(wrong, LENS)), FILLED)
    with pytest.raises(TrajectoryError, match="11 poses but the clip 12 frames"):
        replace(clip, source_camera=SourceCamera.of(motion(11), LENS))
    with pytest.raises(TrajectoryError, match=r"lens at frame 1 is 61\.0 px"):
        replace(clip, source_camera=SourceCamera.of(motion(), replace(LENS, fx=61.0)))
    with pytest.raises(SettingError, match="camera that stands still") as caught:
        DWMesh(replace(clip, source_camera=None), FILLED)
    assert "--source_camera" in caught.value.text("cli")


def camera_of(poses: Float64, *, focal: float = LENS.fx, size: int = SIZE) -> Trajectory:
    rows = np.tile([focal * size / SIZE] * 2 + [size / 2] * 2, (len(poses), 1))
    return Trajectory(poses, rows, np.arange(len(poses), dtype=float), size, size)


def test_a_camera_file_must_be_that_of_the_clip() -> None:
    poses = motion()
    bare = replace(moving_clip(poses), source_camera=None)
    known = with_source_camera(bare, camera_of(poses, size=128)).source_camera
    assert known is not None and np.array_equal(known.world_from_camera, poses)
    for camera, longer, what in (
        (camera_of(motion(11)), True, "11 poses but the clip 12 frames"),
        (camera_of(motion(13)), False, "13 poses but the clip 12 frames"),
        (camera_of(poses, focal=80.0), False, "focal length of 80.0 px in frame 1, the clip 60.0 px"),
        (replace(camera_of(poses), source_time=np.zeros(12)), False, "retimed"),
    ):
        with pytest.raises(TrajectoryError, match=what):
            with_source_camera(bare, camera, longer=longer)
    assert with_source_camera(bare, camera_of(motion(13)), longer=True).source_camera is not None


def test_a_camera_of_other_pictures_is_refused_and_one_of_the_same_at_another_size_is_not() -> None:
    poses = motion()
    clip = moving_clip(poses)
    bare = replace(clip, source_camera=None, intrinsics=Intrinsics.from_fov(clip.width, clip.height))
    given = camera_of(poses, focal=80.0, size=2 * clip.width)
    assert with_source_camera(bare, given).intrinsics.fx == 80
    wide = replace(given, width=2 * given.width)
    with pytest.raises(
        TrajectoryError, match=f"pictures of {wide.width}x{wide.height} pixels, but the clip's .* shape"
    ):
        with_source_camera(bare, replace(wide, intrinsics=given.intrinsics * (1, 1, 2, 1)))
    fine = replace(wide, intrinsics=given.intrinsics * (2, 1, 2, 1))  # the same pictures, pixels half as wide
    assert with_source_camera(bare, fine).intrinsics.fx == 80
    elsewhere = replace(given, intrinsics=given.intrinsics * (1, 1, 0.25, 1))
    about = f"looks at the pixel {clip.width / 8:.0f}, {clip.height / 2:.0f}, as one of pictures of about"
    with pytest.raises(TrajectoryError, match=about):
        with_source_camera(bare, elsewhere)


def test_a_clip_whose_lens_nobody_said_takes_the_source_cameras() -> None:
    """A solved camera knows the lens: it would be no help to refuse it for another that was only assumed."""
    poses = motion()
    clip = moving_clip(poses)
    bare = replace(clip, source_camera=None, intrinsics=Intrinsics.from_fov(SIZE, SIZE))
    known = with_source_camera(bare, camera_of(poses, focal=80.0, size=128))
    assert known.intrinsics == Intrinsics(80.0, 80.0, SIZE / 2, SIZE / 2, SIZE, SIZE, "given: custom")
    assert not known.intrinsics.is_assumed
    same = with_source_camera(bare, camera_of(poses, focal=bare.intrinsics.fx))  # poses alone have the clip's own lens
    assert same.intrinsics == bare.intrinsics
    zooming = camera_of(poses, focal=80.0, size=128)
    zooming.intrinsics[5, :2] *= 1.25
    clip = with_source_camera(bare, zooming)
    assert [clip.lens(t).fx for t in (0, 4, 5, 6)] == [80.0, 80.0, 100.0, 80.0]
    assert clip.lens(5).source == "given: custom"


def test_the_command_line_takes_the_cameras_motion_and_a_thickness_map(tmp_path: Path) -> None:
    poses = motion()
    clip = moving_clip(poses)
    (tmp_path / "clip").mkdir()
    for t, frame in enumerate(clip.frames):
        cv2.imwrite(str(tmp_path / "clip" / f"{t:03d}.png"), frame[..., ::-1])
    np.savez(tmp_path / "depth.npz", depth=clip.depth)
    for name in ("camera.npz", "transforms.json"):
        save_camera(tmp_path / name, camera_of(poses))
    painted = np.full(clip.depth.shape, np.nan, np.float32)
    painted[np.asarray(clip.depth) < 9] = 4.0
    np.savez(tmp_path / "map.npz", thickness=painted)
    given = ShotOptions(tmp_path / "clip", "orbit_left", tmp_path / "depth.npz", amount=14, focal=LENS.fx)

    def coverage(**more: object) -> float:
        options = replace(given, **more)
        options.check()
        shot = load_shot(options)
        return float(draw_shot(shot.mesh(), shot.trajectory(), Drawing.of(options)).guides.coverage.mean())

    plain = coverage()
    assert coverage(thickness_map=tmp_path / "map.npz") < plain
    known = [coverage(other_frames=True, source_camera=tmp_path / n) for n in ("camera.npz", "transforms.json")]
    assert min(known) > plain + 0.02 and np.ptp(known) < 1e-3
    with pytest.raises(SettingError, match="stands still"):
        coverage(other_frames=True)
    np.save(tmp_path / "bad.npy", np.zeros(5))
    with pytest.raises(ShapeError, match="must hold numbers"):
        read_thickness_map(tmp_path / "bad.npy")
    with pytest.raises(InputError, match="no thickness map that can be read"):
        read_thickness_map(tmp_path / "depth.csv")
