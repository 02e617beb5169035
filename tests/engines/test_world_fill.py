"""The world fill: a room's floor and walls are found, and painted where the source does not show them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ex4d import Clip
from ex4d.clip import with_source_camera
from ex4d.dwmesh import DWMesh
from ex4d.engines import GenerateRequest, get_engine
from ex4d.engines.world_fill import _sure
from ex4d.fill import world_of
from ex4d.fill.surfaces import TEXELS, _folded_round
from ex4d.fill.texture import completed
from ex4d.fill.world import Painted
from ex4d.guides import render_guides
from ex4d.progress import CancelToken, Progress
from ex4d.trajectory import preset
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import Cancelled
from ex4d_ground.options import MeshOptions
from ex4d_ground.source_camera import SourceCamera

SIZE, FRAMES = 128, 3
LENS = Intrinsics.from_fov(SIZE, SIZE)
FLOOR, BACK = 1.5, 9.0
RED, BLUE = np.array([180, 70, 60]), np.array([60, 80, 170])


def seen(pose: np.ndarray, *, box: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Colour [H, W, 3] and z-depth [H, W] of a room: a red floor with tiles, a blue wall with stripes, a box."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack([(x - LENS.cx) / LENS.fx, (y - LENS.cy) / LENS.fy, np.ones_like(x)], axis=-1) @ pose[:3, :3].T
    eye = pose[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        to_floor, to_back = (FLOOR - eye[1]) / rays[..., 1], (BACK - eye[2]) / rays[..., 2]
    to_floor[to_floor <= 0], to_back[to_back <= 0] = np.inf, np.inf
    depth = np.minimum(to_floor, to_back)
    point = eye + rays * depth[..., None]
    tiles = 20 * ((np.floor(point[..., 0] / 0.5) + np.floor(point[..., 2] / 0.5)) % 2)
    stripes = 25 * (np.floor(point[..., 0] / 0.7) % 2)
    floor = to_floor < to_back
    colour = np.where(floor[..., None], RED + tiles[..., None], BLUE + stripes[..., None])
    if box:
        to_front = (4.0 - eye[2]) / rays[..., 2]
        place = eye + rays * to_front[..., None]
        front = (to_front > 0) & (abs(place[..., 0]) < 0.6) & (place[..., 1] > 0.2) & (place[..., 1] < FLOOR)
        depth, colour = np.where(front, to_front, depth), np.where(front[..., None], (240, 220, 40), colour)
    return colour.astype(np.uint8), depth.astype(np.float32)


def room() -> Clip:
    colour, depth = seen(np.eye(4))
    return Clip(np.stack([colour] * FRAMES), np.stack([depth] * FRAMES), LENS)


def move(amount: float) -> Trajectory:
    times = np.arange(FRAMES, dtype=np.float64)
    return preset("orbit_right", num_frames=FRAMES, intrinsics=LENS, near_depth=5.0, amount=amount, source_time=times)


def request(clip: Clip, amount: float = 30.0, **settings: object) -> GenerateRequest:
    mesh = DWMesh(clip, MeshOptions(mode="solid"))
    return GenerateRequest(render_guides(mesh, move(amount), rasterizer="cpu"), move(amount), clip, settings)


def test_floor_and_wall_are_found_where_they_are() -> None:
    world = world_of(room())
    assert world is not None and len(world.planes) == 2
    by_height = sorted(world.planes, key=lambda plane: abs(plane.normal[1]))
    np.testing.assert_allclose(by_height[1].normal, [0, 1, 0], atol=0.01)
    np.testing.assert_allclose(by_height[0].normal, [0, 0, 1], atol=0.01)
    assert by_height[1].distance == pytest.approx(FLOOR, rel=0.01)
    assert by_height[0].distance == pytest.approx(BACK, rel=0.01)


def test_a_box_is_no_plane_that_bounds_the_room() -> None:
    world = world_of(room())
    assert world is not None and all(abs(plane.distance - 4.0) > 1 for plane in world.planes)


def test_holes_show_the_room_itself_nearer_to_the_truth_than_the_background_fill() -> None:
    def error(fill: str) -> float:
        wanted = request(room(), fill=fill)
        out, holes = np.asarray(get_engine("preview").generate(wanted)), ~np.asarray(wanted.guides.mask)
        truth = [seen(pose, box=False)[0] for pose in wanted.trajectory.world_from_camera]
        return float(np.abs(out.astype(float) - np.stack(truth))[holes].mean())

    assert error("world") < 0.8 * error("background")


def test_visible_pixels_are_kept_exactly() -> None:
    wanted = request(room(), fill="world")
    out, mask = np.asarray(get_engine("preview").generate(wanted)), np.asarray(wanted.guides.mask)
    np.testing.assert_array_equal(out[mask], np.asarray(wanted.guides.colour)[mask])


def test_another_move_of_the_clip_finds_its_world_and_another_clip_has_its_own() -> None:
    clip = room()
    first = world_of(clip)
    assert world_of(replace(clip, name="the same frames")) is first
    assert world_of(room()) is not first


def test_a_camera_that_moves_is_filled_as_background_is() -> None:
    rng = np.random.default_rng(0)
    clip = replace(room(), frames=rng.integers(0, 255, room().frames.shape, np.uint8))
    assert world_of(clip) is None
    said: list[str] = []

    def tell(progress: Progress) -> None:
        said.append(progress.message)

    world, background = (
        np.asarray(
            get_engine("preview").generate(request(clip, fill=fill), on_progress=lambda p: said.append(p.message))
        )
        for fill in ("world", "background")
    )
    np.testing.assert_array_equal(world, background)
    assert [text for text in said if text] == [
        "The place is not known where the filming camera moves far or zooms, or nobody knows how: holes are filled "
        "from what is beside them."
    ]


def filmed_by_hand(far: float, zoom: float = 1.0) -> Clip:
    """The room, by a camera that starts at the world's origin and sways ``far`` to the right and back.

    With ``zoom`` its last lens is said to be another than it was.
    """
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 0, 3] = far * np.array([0.0, 0.5, 1.0, 0.5, 0.0])
    pictures, depths = zip(*(seen(pose) for pose in poses), strict=True)
    rows = np.tile([LENS.fx, LENS.fy, LENS.cx, LENS.cy], (5, 1))
    rows[-1, :2] *= zoom
    camera = SourceCamera.of(poses, rows, size=(SIZE, SIZE))
    return with_source_camera(Clip(np.stack(pictures), np.stack(depths), LENS), camera)


def test_planes_of_a_clip_filmed_by_hand_live_in_the_steady_world() -> None:
    clip = filmed_by_hand(0.4)
    world = world_of(clip)
    assert world is not None
    pose = np.eye(4)
    pose[:3, 3] = -0.5, -0.2, 0.3
    lens = np.array([LENS.fx, LENS.fy, LENS.cx, LENS.cy])
    painted, (_, depth) = world.paint(np.ones((SIZE, SIZE), np.bool_), lens, pose), seen(pose, box=False)
    on = painted.on_plane
    assert on.mean() > 0.9
    assert np.median(np.abs(painted.inverse[on] * depth[on] - 1)) < 0.01
    box = clip.depth[2] < 5
    colour = painted.colour[~box & on & (painted.trust > 0.9)]
    assert np.abs(colour - seen(pose, box=False)[0][~box & on & (painted.trust > 0.9)]).mean() < 12, (
        "tiles lie in place"
    )
    assert world_of(filmed_by_hand(2.0)) is None, "the picture in the middle does not show what was seen before"
    assert world_of(filmed_by_hand(0.0, 1.5)) is None, "nor what a wider lens did"


def test_one_frame_has_a_world_too() -> None:
    clip = room()
    assert world_of(Clip(clip.frames[:1], clip.depth[:1], LENS)) is not None


def test_it_stops_when_it_is_cancelled() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        world_of(room(), token)


@pytest.mark.parametrize("depth", ["all alike", "noise", "steep"])
def test_depth_without_any_floor_or_wall_is_filled_all_the_same(depth: str) -> None:
    rng, clip = np.random.default_rng(1), room()
    made = {
        "all alike": np.full(clip.depth.shape, 3.0),
        "noise": rng.uniform(1, 20, clip.depth.shape),
        "steep": np.broadcast_to(np.geomspace(0.5, 5000, SIZE), clip.depth.shape),
    }[depth]
    wanted = request(replace(clip, depth=made.astype(np.float32)), fill="world")
    out = np.asarray(get_engine("preview").generate(wanted))
    assert out.shape == wanted.guides.colour.shape


def test_it_is_what_a_preview_does_unless_told_otherwise() -> None:
    wanted = request(room())
    asked = request(room(), fill="world")
    plain, world = (np.asarray(get_engine("preview").generate(each)) for each in (wanted, asked))
    np.testing.assert_array_equal(plain, world)


def test_planes_are_believed_near_what_is_seen_of_them_and_the_back_wall_far_from_it() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[:, :10] = True
    shape, on_plane = mask.shape, np.arange(100)[:, None] < 50
    trust = np.broadcast_to(np.linspace(1, 0.2, 100, dtype=np.float32), shape)
    nothing = np.zeros(shape, np.float32)
    on, off = np.broadcast_to(on_plane, shape), np.zeros(shape, np.bool_)
    share = _sure(mask, Painted(np.zeros((*shape, 3), np.float32), nothing, trust, on, off))
    assert (np.diff(share[0]) <= 0).all() and share[0, 0] == pytest.approx(1) and share[0, 99] == 0
    assert (np.diff(share[99]) >= 0).all() and share[99, 10] < 0.3 and share[99, 99] == 1


def test_a_level_texture_goes_on_along_its_rows() -> None:
    rows = np.linspace(40, 200, 64).astype(np.uint8)
    picture = np.broadcast_to(rows[:, None, None], (64, 64, 3)).copy()
    known = np.ones((64, 64), np.bool_)
    known[:, 20:40] = False
    known[:8] = False
    whole, trust = completed(np.where(known[..., None], picture, 255).astype(np.uint8), known, level=True)
    inside = slice(12, 60)
    np.testing.assert_allclose(whole[inside, 20:40, 0], picture[inside, 20:40, 0], atol=4)
    assert whole[:8].max() < 110  # no row of its own: from the rows below, never from what hides it
    assert trust[30, 30] < trust[30, 5] == 1


def test_what_a_picture_shows_at_its_side_goes_on_round_the_back_wall() -> None:
    inner = np.full((TEXELS, TEXELS // 3, 3), 200, np.float32)
    inner[:, :60] = 80
    outer, _ = _folded_round(inner, np.ones(inner.shape[:2], np.float32))
    first = (TEXELS - inner.shape[1]) // 2
    np.testing.assert_array_equal(outer[:, first : first + inner.shape[1]], inner)
    left, right = outer[TEXELS // 2, first - 40, 0], outer[TEXELS // 2, first + inner.shape[1] + 40, 0]
    usual = inner[0, :, 0].mean()
    assert 80 <= left < 110 < usual < right <= 200
    assert left < outer[TEXELS // 2, 10, 0] < usual
    inner[:, ::2], inner[:, 1::2] = 0, 255
    outer, _ = _folded_round(inner, np.ones(inner.shape[:2], np.float32))
    assert outer.min() >= 0 and outer.max() <= 255
